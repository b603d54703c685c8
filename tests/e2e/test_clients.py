"""Two relays on one Redis, and the clients that people use: curl, Python, the npm package `eventsource`."""

import datetime
import json
import subprocess

import pytest

import harness
from harness import Process, run_publish, wait_until
from settings import tool
from test_stream import data_table

CURL = tool("curl") or "curl"


@pytest.fixture(scope="module")
def pair(relay_with):
    """Two relays that know each other only through Redis."""
    return [relay_with("--allow-anonymous-publish") for _ in "ab"]


def publish_everywhere(pair, redis, topic):
    """Four events on four ways: any Redis client, a POST to each relay, the command line."""
    subprocess.run(
        ["redis-cli", "-p", str(redis.port), "PUBLISH", f"sse:{topic}", "by redis-cli"], check=True, capture_output=True
    )
    for number, relay in enumerate(pair):
        assert relay.post(f"/sse?topic={topic}", f"by POST to {number}".encode()).status == 200
    assert run_publish("--redis", redis.url, topic, "by sse-publish").returncode == 0
    return ["by redis-cli", "by POST to 0", "by POST to 1", "by sse-publish"]


def test_python(pair, redis, topic):
    """An event that is published through any of the ways arrives at both relays, in the same order."""
    streams = [relay.live(topic) for relay in pair]
    sent = publish_everywhere(pair, redis, topic)
    for stream in streams:
        stream.wait_data(sent[-1])
        assert [e.data for e in stream.named("message")] == sent
        stream.close()


def test_curl(pair, redis, topic, tmp_path):
    """`curl -N` on both relays shows each event as it comes."""
    curls = []
    for number, relay in enumerate(pair):
        argv = [CURL, "-sN", f"{relay.url}/sse?topic={topic}"]
        curls.append(Process(argv, tmp_path, f"curl{number}"))
    for curl in curls:
        wait_until(lambda: "event: relay.live\n" in curl.out, "relay.live in curl")
    sent = publish_everywhere(pair, redis, topic)
    for curl in curls:
        wait_until(lambda: f"data: {sent[-1]}\n\n" in curl.out, "the last event in curl")
        at = [curl.out.index(f"\ndata: {data}\n") for data in sent]
        assert at == sorted(at) and curl.running
        curl.kill()


def test_curl_as_publisher(pair, topic):
    """The curl line of the README: -d, with its form content type, publishes the body as it is."""
    with pair[0].live(topic) as stream:
        argv = [CURL, "-sS", "-w", " %{http_code}", "-d", "a=b&c%20 d", f"{pair[1].url}/sse?topic={topic}"]
        out = subprocess.run(argv, check=True, capture_output=True).stdout.decode()
        assert out.split()[-1] == "200"
        stream.wait_data("a=b&c%20 d")


def test_eventsource(pair, redis, topic, node_client):
    """The npm package on both relays: onopen, then every event."""
    clients = [node_client(f"{relay.url}/sse?topic={topic}") for relay in pair]
    for client in clients:
        client.wait_type("relay.live")
    sent = publish_everywhere(pair, redis, topic)
    for client in clients:
        client.wait_for(lambda r: r.get("data") == sent[-1])
        assert [r["data"] for r in client.records if r["type"] == "message"] == sent
        assert client.records[0]["type"] == "open"


def test_eventsource_sees_names(pair, topic, node_client):
    """Named events arrive under their name, and under the topic's with as=topic."""
    plain = node_client(f"{pair[0].url}/sse?topic={topic}", "greeting")
    named = node_client(f"{pair[0].url}/sse?topic={topic}&as=topic", topic)
    plain.wait_type("relay.live"), named.wait_type("relay.live")
    pair[1].post(f"/sse?topic={topic}&event=greeting", b"hello")
    assert plain.wait_type("greeting")["data"] == "hello"
    assert named.wait_type(topic)["data"] == "hello"


@pytest.fixture(scope="module")
def browser_like(tmp_path_factory, relay, npm):
    """One npm client for the whole table of data."""
    client = harness.NodeClient(tmp_path_factory.mktemp("node"), "node", f"{relay.url}/sse?topic=round.trip")
    client.wait_type("relay.live")
    yield client
    client.kill()


@data_table
def test_data_round_trip(relay, browser_like, published, shown):
    """Bad input: data with CR, LF, CRLF, empty, 1 MiB, leading space, through POST into the npm EventSource."""
    count = lambda: [r for r in browser_like.records if r["type"] == "message"]
    before = len(count())
    assert relay.post("/sse?topic=round.trip", published.encode()).status == 200
    wait_until(lambda: len(count()) > before, "the event in the npm client")
    assert count()[before]["data"] == shown


def test_eventsource_survives_the_relay(start_relay, redis, topic, node_client, proxy_to):
    """Failure table: a relay is killed; clients reconnect anywhere. A balancer leads them to the other one."""
    first, second = (start_relay("--retry", "200ms").wait_ready() for _ in "ab")
    balancer = proxy_to(first.address)
    client = node_client(f"http://127.0.0.1:{balancer.port}/sse?topic={topic}")
    client.wait_type("relay.live")
    balancer.upstream = second.address
    first.expect_clean = False
    first.kill()
    wait_until(lambda: sum(r["type"] == "relay.live" for r in client.records) == 2, "the second relay.live")
    redis.publish(topic, "found you")
    client.wait_for(lambda r: r.get("data") == "found you")


def test_eventsource_meets_a_full_relay(start_relay, topic, node_client):
    """Section 5: a full node does not kill an EventSource: it opens, is asked to wait, and comes back."""
    relay = start_relay("--max-connections", "1", "--retry", "200ms").wait_ready()
    # The last request for /readyz may still take the only place.
    with wait_until(lambda: relay.try_live(topic), "the only place"):
        client = node_client(f"{relay.url}/sse?topic={topic}")
        client.wait_type("open")
        assert client.wait_type("error")["state"] == 0  # CONNECTING: it will try again


def test_the_clock_ticks_as_its_moments_begin(redis, topic):
    """Each tick is a multiple of the pace, none comes twice or before its time: a clock that ticks just beside the second shows
    one twice and leaves out the next, which looks like an event doubled and one lost."""
    for every, count in ((100, 20), (1000, 2)):
        done = harness.run_publish("clock", "--every", f"{every}ms", "--count", str(count), f"{topic}.{every}", "--redis", redis.url)
        assert done.returncode == 0, done.stderr
        entries = redis("XRANGE", f"sse:{{0}}:log:{topic}.{every}", "-", "+")
        texts = [json.loads(dict(zip(fields[::2], fields[1::2]))[b"e"])["data"] for _, fields in entries]
        ticks = [round(datetime.datetime.fromisoformat(text).timestamp() * 1000) for text in texts]
        assert len(ticks) == count and ticks == sorted(set(ticks)), texts
        assert all(tick % every == 0 for tick in ticks), texts
        assert all(tick <= int(entry.split(b"-")[0]) for tick, (entry, _) in zip(ticks, entries)), texts


def test_demo_publishers(redis, relay, tmp_path):
    """sse-publish clock --every and letters: what `make run` shows."""
    ticking = [
        Process([harness.PUBLISH, *args, "--redis", redis.url], tmp_path, args[0], env=harness.relay_env())
        for args in (["clock", "--every", "100ms", "demo.time"], ["letters", "demo.letters"])
    ]
    with relay.live("/sse?topics=demo.time&as=json") as clock, relay.live("/sse?topics=demo.letters&as=json") as text:
        ours = lambda e: not e.name.startswith("relay.")
        times = [json.loads(clock.wait_for(ours).data)["data"] for _ in range(3)]
        letters = json.loads(text.wait_for(ours).data)["data"]
        assert len(set(times)) > 1 and letters
    for process in ticking:
        assert process.running, process.err
        process.kill()
