"""The recipes of deploy/balancers, each run as it is shipped in front of real relays: what a browser and a publisher get
through them. Idle limits and drains have files of their own: test_balancers_idle.py, test_balancers_drain.py.
"""

import json
import shutil

import pytest

from balancers import ALL, H2Readers, HAProxy, Nginx, Relays, missing

import harness
from proxy import Proxy
from webdriver import Browser, Chromedriver

FOREIGN = "https://page.example"


@pytest.fixture(scope="module")
def relays(tmp_path_factory, redis):
    """Three relays that say nothing by themselves: whatever comes through, nothing else pushed it."""
    options = ["--heartbeat", "1h", "--allow-anonymous-publish", "--cors-origin", FOREIGN, "--workers", "1"]
    some = Relays(tmp_path_factory.mktemp("relays"), redis.url, *options)
    for _ in range(3):
        some.start()
    yield some
    some.finish()


@pytest.fixture(scope="module", params=ALL, ids=lambda kind: kind.name)
def balancer(request, tmp_path_factory, certificate, relays):
    if reason := missing(request.param):
        pytest.skip(reason)
    one = request.param(tmp_path_factory.mktemp("balancer"), certificate, relays.addresses)
    yield one.start()
    one.stop()


def test_the_program_accepts_the_recipe(balancer):
    if not balancer.check_argv:
        pytest.skip(f"{balancer.name} has no check of its own; it runs in the tests below")
    code, said = balancer.check()
    assert code == 0, said
    # Of a certificate made for a test; and what nginx 1.25 wants to be written in another way, which 1.22 does not know.
    said = [line for line in said.lower().splitlines() if "no ocsp" not in line and '"listen ... http2" directive' not in line]
    assert not [line for line in said if "warn" in line or "deprecated" in line], said


def test_the_head_and_the_first_bytes_come_at_once(balancer, topic):
    """Nothing follows them: were they held back until there is more, this would wait for ever."""
    for headers in ([], [("Accept-Encoding", "gzip, deflate, br, zstd")]):
        with balancer.live(f"/sse?topic={topic}", headers=headers) as stream:
            assert stream.head.status == 200
            assert stream.head.get("content-type").startswith("text/event-stream")
            assert stream.head.get("content-encoding") is None
            assert "no-transform" in stream.head.get("cache-control")
            assert stream.parser.log[0][0] == "retry" and stream.parser.comments


def test_many_streams_on_one_http2_connection(balancer, redis, topic):
    """150 of them: more than the six connections of HTTP/1.1, and than the 100 streams that some allow."""
    readers = H2Readers(None, "many", [topic], balancer, f"/sse?topics={topic}&as=json", 150)
    try:
        readers.wait(lambda: readers.live() == 150, "150 streams")
        answer = balancer.fetch("POST", f"/sse?topic={topic}", body=b"end")
        assert answer.status == 200, answer
        readers.wait(readers.reached, "the event on each of them")
        assert [(r["type"], r.get("alpn")) for r in readers.others] == [("session", "h2")]
        assert {len(memory.connections) for memory in readers.memories} == {1}
    finally:
        readers.finish()


@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no Chromium")
def test_twenty_event_sources_of_one_page(balancer, tmp_path, topic):
    """A browser opens six connections to an origin over HTTP/1.1; here all twenty are open, so they are HTTP/2."""
    driver = Chromedriver(tmp_path)
    try:
        browser = Browser(driver, tmp_path / "profile", any_certificate=True)
        browser.open(balancer.origin + "/healthz")
        browser.script(
            """
            window.live = new Set(); window.got = new Set();
            window.sources = Array.from({length: 20}, (_, i) => {
              const source = new EventSource(arguments[0]);
              source.addEventListener("relay.live", () => window.live.add(i));
              source.addEventListener("message", (e) => { if (e.data === "to all") window.got.add(i); });
              return source;
            });
            """,
            f"/sse?topic={topic}",
        )
        browser.wait("return window.live.size === 20", seconds=60)
        assert balancer.fetch("POST", f"/sse?topic={topic}", body=b"to all").status == 200
        browser.wait("return window.got.size === 20", seconds=60)
        spoken = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert browser.script(spoken) == "h2"
        browser.close()
    finally:
        driver.stop()


def test_a_cursor_passes(balancer, topic):
    ids = [json.loads(balancer.fetch("POST", f"/sse?topic={topic}", body=b"%d" % n).body)["ids"][topic] for n in range(3)]
    with balancer.live(f"/sse?topic={topic}", headers=[("Last-Event-ID", ids[0])]) as stream:
        assert [(e.id, e.data) for e in stream.events if e.name == "message"] == [(ids[1], "1"), (ids[2], "2")]


def test_publishing_passes_and_origins_are_seen_as_they_are(balancer, topic):
    with balancer.live(f"/sse?topic={topic}") as stream:
        for origin in (balancer.origin, FOREIGN):
            body = f"from {origin}".encode() + b"\0\r\n" + b"x" * 200_000
            answer = balancer.fetch("POST", f"/sse?topic={topic}&event=told", [("Origin", origin)], body)
            assert answer.status == 200, answer
            assert stream.wait_name("told").data.startswith(f"from {origin}")
    answer = balancer.fetch("POST", f"/sse?topic={topic}", [("Origin", "https://elsewhere.example")], b"no")
    assert answer.status == 403 and answer.get("content-type") == "application/problem+json"


def test_a_body_too_large_is_answered_by_the_relay(balancer, topic):
    answer = balancer.fetch("POST", f"/sse?topic={topic}", body=b"x" * (1024 * 1024 + 1))
    assert answer.status == 413 and answer.get("content-type") == "application/problem+json"


def test_head_and_preflight_pass(balancer, topic):
    answer = balancer.fetch("HEAD", f"/sse?topic={topic}")
    assert answer.status == 200 and answer.get("content-type").startswith("text/event-stream")
    asking = [("Origin", FOREIGN), ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "last-event-id")]
    answer = balancer.fetch("OPTIONS", f"/sse?topic={topic}", asking)
    assert answer.status == 204 and answer.get("access-control-allow-origin") == FOREIGN
    assert "last-event-id" in answer.get("access-control-allow-headers").lower()


def test_metrics_are_not_for_browsers(balancer):
    assert balancer.fetch("GET", "/metrics").status == 404
    assert balancer.fetch("GET", "/").status == 200


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not Nginx], ids=lambda kind: kind.name)
def test_health_is_asked_at_the_admin_port(kind, tmp_path, certificate, redis, topic):
    """Relays with an admin listener have their health there alone. One of the two has no Redis: nobody is sent to it."""
    if reason := missing(kind):
        pytest.skip(reason)
    port, admin = harness.free_port(), harness.free_port()
    nowhere = f"redis://127.0.0.1:{harness.free_port()}"
    relays = [
        harness.Relay(tmp_path, f"relay{n}", url, "--admin-listen", f"127.0.0.{n}:{admin}", "--allow-anonymous-publish",
                      listen=f"127.0.0.{n}:{port}")
        for n, url in ((1, nowhere), (2, redis.url))
    ]
    one = None
    try:
        relays[0].wait_listening(2)
        relays[1].wait_ready()
        assert relays[1].get("/readyz").status == 404
        one = kind(tmp_path, certificate, [relay.address for relay in relays], check_port=admin).start()
        publish = lambda: one.fetch("POST", f"/sse?topic={topic}&live", body=b"x").status  # noqa: E731
        harness.wait_until(lambda: {publish() for _ in range(6)} == {200}, "only the one with Redis being asked")
        for _ in range(10):
            one.live(f"/sse?topic={topic}").close()
        if kind is HAProxy:
            answer = harness.http_raw.fetch(("127.0.0.1", one.admin_port), "GET", "/readyz", [], None)
            assert answer.status == 200
    finally:
        for process in (one, *relays):
            if process:
                process.stop() if process is one else process.kill()


def test_plain_http_is_sent_to_https(balancer):
    answer = harness.http_raw.fetch(("127.0.0.1", balancer.plain_port), "GET", "/sse?topic=a", host="localhost")
    assert answer.status in (301, 308) and answer.get("location").startswith("https://localhost")
    assert answer.get("location").endswith("/sse?topic=a")


def test_streams_go_where_fewest_are(balancer, relays, topic):
    """Of 30, each relay has 10; Traefik looks at two relays only for each stream."""
    harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of the streams of other tests")

    def spread():
        streams = [balancer.live(f"/sse?topic={topic}") for _ in range(30)]
        found = relays.subscribers()
        for stream in streams:
            stream.close()
        harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of the streams")
        return min(found) >= (5 if balancer.name == "traefik" else 10)

    harness.wait_until(spread, "an even spread")  # at first, it may not know all of the relays


def test_a_client_that_leaves_is_gone_at_the_relay(balancer, relays, topic):
    """At once: no heartbeat runs into its closed connection."""
    harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of the streams of other tests")
    stream = balancer.live(f"/sse?topic={topic}")
    assert sum(relays.subscribers()) == 1
    stream.close()
    harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of a stream over HTTP/1.1")
    readers = H2Readers(None, "leaving", [topic], balancer, f"/sse?topic={topic}", 3)
    readers.wait(lambda: readers.live() == 3, "three streams")
    readers.finish()
    harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of the streams over HTTP/2")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_post_whose_answer_was_lost_is_not_sent_again(kind, tmp_path, certificate, topic):
    """A relay hands the event to Redis and dies before it can answer. The other one is well, and must not be asked."""
    if reason := missing(kind):
        pytest.skip(reason)
    redis = harness.Redis(tmp_path)
    ways = [Proxy(("127.0.0.1", redis.port)) for _ in range(2)]
    relays = Relays(tmp_path, redis.url, "--allow-anonymous-publish", "--workers", "1")
    for way in ways:
        relays.start(redis_url=f"redis://127.0.0.1:{way.port}")
    balancer = kind(tmp_path, certificate, relays.addresses).start()
    try:
        redis.pause()
        with balancer.connect() as conn:
            conn.request("POST", f"/sse?topic={topic}", body=b"only once")
            took = lambda way: any(b"only once" in link.seen for link in way.links)
            harness.wait_until(lambda: any(map(took, ways)), "a relay that hands it to Redis")
            relays.running[[took(way) for way in ways].index(True)].kill()
            redis.resume()
            answer = conn.read_answer("POST")
        assert answer.status in (502, 503, 504), answer
        harness.wait_until(lambda: redis("XLEN", f"sse:{{0}}:log:{topic}") > 0, "the event in its log")
        assert balancer.fetch("POST", f"/sse?topic={topic}", body=b"behind it").status == 200
        assert redis("XLEN", f"sse:{{0}}:log:{topic}") == 2
    finally:
        redis.resume()
        balancer.stop()
        relays.finish()
        for way in ways:
            way.close()
        redis.stop()


@pytest.mark.skipif(bool(missing(HAProxy)), reason=str(missing(HAProxy)))
def test_haproxy_follows_the_name_of_the_relays(tmp_path, certificate, redis, topic):
    """As `docker compose up --scale relay=5` does it: two become five, and then three."""
    relays = Relays(tmp_path, redis.url, "--workers", "1")
    relays.start(), relays.start()
    balancer = HAProxy(tmp_path, certificate, relays.addresses).start()
    try:

        def holds(count):
            """Streams go to so many of the relays, evenly."""
            streams = [balancer.live(f"/sse?topic={topic}") for _ in range(2 * count)]
            found = relays.subscribers()
            for stream in streams:
                stream.close()
            harness.wait_until(lambda: sum(relays.subscribers()) == 0, "the end of the streams")
            return sorted(found)[-count:] == [2] * count

        harness.wait_until(lambda: holds(2), "two relays")
        for _ in range(3):
            relays.start()
        balancer.names.addresses = [host for host, _ in relays.addresses]
        harness.wait_until(lambda: holds(5), "five relays")
        balancer.names.addresses = balancer.names.addresses[:3]
        harness.wait_until(lambda: holds(3), "three relays")
    finally:
        balancer.stop()
        relays.finish()
