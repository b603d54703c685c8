"""What one client may have of a node: connections of an address, connections and streams of a token's subject, publishes a
second, topics, new connections a second, tokens that fail. Each limit is reached and told, each way back under it is taken,
over HTTP/1.1 and HTTP/2; and while somebody beats against it, 100 well-behaved subscribers lose nothing.
"""

import contextlib
import functools
import json
import socket
import struct
import subprocess
import time

import pytest

pytest.importorskip("h2", reason="python-h2 is missing: make deps-test installs it")

from crowd import Crowd  # noqa: E402
from harness import wait_until  # noqa: E402
from http2 import Client  # noqa: E402
from http_raw import Closed, Conn  # noqa: E402
from jose import Secret, token  # noqa: E402
from settings import PUBLISH  # noqa: E402

OURS, THEIRS = "127.0.0.2", "127.0.0.3"  # the tests' own questions come from 127.0.0.1


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    return Secret(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def guarded(start_relay, secret):
    """A function that starts a relay that asks for tokens, but of those who read `open.**`."""

    def start(*options):
        return start_relay("--token-secret-file", secret.path, "--public", "open.**", *options).wait_ready()

    return start


def bearer(secret, sub="7", **claims):
    subject = {"sub": sub} if sub else {}
    return [("Authorization", f"Bearer {token(secret, subscribe=['**'], publish=['**'], **subject, **claims)}")]


def reached(relay, limit):
    return relay.metrics().get("sse_relay_limits_reached_total", limit=limit)


def from_address(source):
    return functools.partial(Conn, source=source)


def ask(relay, source, method, target, headers=(), body=None):
    """One request on a connection of its own from that address; None where it was closed at once."""
    with Conn(relay.address, source=source) as conn:
        try:
            conn.request(method, target, headers, body)
            return conn.read_answer(method)
        except (Closed, ConnectionResetError, BrokenPipeError):
            return None


def told_to_come_back(stream):
    """The end of an EventSource that one client's limit turned away: 200, and much later."""
    assert stream.head.status == 200 and stream.head.get("content-type").startswith("text/event-stream")
    stream.wait_end()
    assert [(e.name, json.loads(e.data), e.id) for e in stream.events] == [("relay.close", {"reason": "limit"}, "")]
    assert 30_000 <= stream.parser.retries[-1] < 90_000


def told_too_many(answer, option):
    assert answer.status == 429 and int(answer.get("retry-after")) > 0, answer
    assert answer.get("content-type") == "application/problem+json"
    assert option in json.loads(answer.body)["detail"]


def try_live(relay, target, **how):
    """The stream once it is live; None when it was turned away, or closed at once."""
    try:
        stream = relay.stream(target, **how)
    except (Closed, ConnectionError):
        return None
    stream.read_until(lambda: stream.ended or stream.named("relay.live"))
    if stream.ended:
        stream.close()
        return None
    return stream


# ---- connections of an address ----


def test_connections_of_an_address(start_relay, redis, topic):
    relay = start_relay("--max-connections-per-address", "3").wait_ready()
    ours = functools.partial(relay.stream, topic, connect=from_address(OURS))
    streams = [ours().wait_live() for _ in range(3)]
    for _ in range(3):
        with ours() as refused:
            told_to_come_back(refused)
        told_too_many(ask(relay, OURS, "GET", f"/sse?topic={topic}"), "--max-connections-per-address")
        assert ask(relay, OURS, "GET", "/healthz").status == 200
    with Client(relay.address, source=OURS) as client:
        refused = client.answer("GET", f"/sse?topic={topic}", [("accept", "text/event-stream")])
        assert refused.status == 200 and [e.name for e in refused.events] == ["relay.close"]
    assert reached(relay, "connections_per_address") == 10
    assert relay.metrics().get("sse_relay_streams_refused_total", reason="limit") == 7
    with relay.live(topic, connect=from_address(THEIRS)) as other:  # others are not concerned
        redis.publish(topic, "to all")
        for stream in [*streams, other]:
            stream.wait_data("to all")
    streams.pop().close()
    streams.append(wait_until(lambda: try_live(relay, topic, connect=from_address(OURS)), "a place that is free again"))
    for stream in streams:
        stream.close()


def test_http2_connections_of_an_address(start_relay, topic):
    """An HTTP/2 connection is one, however many streams it has; its end frees a place."""
    relay = start_relay("--max-connections-per-address", "1").wait_ready()
    with Client(relay.address, source=OURS) as client:
        for _ in range(20):
            client.live(topic)
        told_too_many(ask(relay, OURS, "GET", f"/sse?topic={topic}"), "--max-connections-per-address")
    wait_until(lambda: try_live(relay, topic, connect=from_address(OURS)), "the place").close()


def test_silent_connections_of_an_address(start_relay, topic):
    """Far beyond the limit a connection is closed at once: nobody fills the node with those that wait to be told."""
    relay = start_relay("--max-connections-per-address", "4").wait_ready()
    conns = [Conn(relay.address, source=OURS) for _ in range(200)]
    wait_until(lambda: reached(relay, "connections_per_address") >= 196, "all of them")
    wait_until(lambda: relay.metrics()["sse_relay_connections"] <= 4 + 8 + 1, "all others are closed")
    for conn in conns:
        conn.close()
    wait_until(lambda: try_live(relay, topic, connect=from_address(OURS)), "a place when they are gone").close()


def test_clients_behind_a_proxy(start_relay, topic):
    """Each stream that a proxy forwards stands for a connection of its client; the proxy itself is not limited."""
    relay = start_relay("--trusted-proxies", "loopback", "--max-connections-per-address", "2").wait_ready()
    client = lambda n: [("X-Forwarded-For", f"198.51.100.{n}")]
    with contextlib.ExitStack() as stack, Client(relay.address) as h2:
        first = stack.enter_context(relay.live(topic, headers=client(7)))
        h2.live(topic, headers=[("x-forwarded-for", "198.51.100.7")])
        with relay.stream(topic, headers=client(7)) as refused:
            told_to_come_back(refused)
        told_too_many(relay.get(f"/sse?topic={topic}", client(7)), "--max-connections-per-address")
        refused = h2.answer("GET", f"/sse?topic={topic}", [("x-forwarded-for", "198.51.100.7")])
        assert refused.status == 429
        for n in range(8, 12):  # other clients, on the proxy's connection and on their own
            h2.live(topic, headers=[("x-forwarded-for", f"198.51.100.{n}")])
            stack.enter_context(relay.live(topic, headers=client(n)))
        for _ in range(10):
            stack.enter_context(relay.live(topic))
        first.close()
        stack.enter_context(wait_until(lambda: try_live(relay, topic, headers=client(7)), "a place"))
    assert reached(relay, "connections_per_address") >= 3


@pytest.mark.parametrize("last", ["closes", "resets"])
def test_clients_that_the_proxy_protocol_names(start_relay, topic, last):
    """Their connections are counted as if they had come themselves."""
    listen = ["--listen", "proxy+http://127.0.0.1:0", "--trusted-proxies", "loopback"]
    relay = start_relay(*listen, "--max-connections-per-address", "2").wait_ready().wait_listening(2)

    def connect(address, rcvbuf=None, whose="198.51.100.7"):
        conn = Conn(relay.addresses[1], rcvbuf)
        conn.send(f"PROXY TCP4 {whose} 192.0.2.1 40000 443\r\n".encode())
        return conn

    streams = [relay.live(topic, connect=connect) for _ in range(2)]
    with relay.stream(topic, connect=connect) as refused:
        told_to_come_back(refused)
    silent = [connect(None) for _ in range(50)]
    wait_until(lambda: reached(relay, "connections_per_address") >= 51, "all of them")
    relay.live(topic, connect=functools.partial(connect, whose="198.51.100.8")).close()
    for conn in silent:
        conn.close()
    if last == "resets":
        reset(streams[0].conn)
    streams.pop(0).close()
    wait_until(lambda: try_live(relay, topic, connect=connect), "a place that is free again").close()
    streams.pop().close()


# ---- streams of a subject ----


def reset(conn):
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def go(relay, stream):
    stream.close()


def go_by_reset(relay, stream):
    reset(stream.conn)


def wait_for_the_end(relay, stream):
    stream.wait_end()
    stream.close()


def take_nothing(relay, stream):
    """The write timeout's: until it is cut."""
    topic = stream.topic
    with stream.redis.client() as client:
        wait_until(lambda: client("PUBLISH", f"sse:{topic}", "x" * 100_000) == 0 or relay.metrics()["sse_relay_subscribers"] == 0)
    stream.close()


def be_kicked(relay, stream):
    argv = [PUBLISH, "kick", "--redis", stream.redis.url, "--subject", "7"]
    subprocess.run(argv, check=True, capture_output=True)
    wait_for_the_end(relay, stream)


@pytest.mark.parametrize("limit", ["--max-streams-per-subject", "--max-connections-per-subject"])
@pytest.mark.parametrize(
    "way, options, claims",
    [
        (go, [], {}),
        (go_by_reset, [], {}),
        (wait_for_the_end, ["--max-age", "300ms"], {}),
        (wait_for_the_end, [], {"ttl": 2}),
        (be_kicked, [], {}),
        (take_nothing, ["--write-timeout", "300ms", "--send-buffer", "16KiB", "--outbox-limit", "16KiB", "--linger", "0"], {}),
    ],
    ids=["close", "reset", "max_age", "expired", "kicked", "write_timeout"],
)
def test_a_subjects_stream_ends(guarded, secret, redis, topic, limit, way, options, claims):
    """Whichever way a stream ends, its subject may have another."""
    relay = guarded(limit, "1", *options)
    stream = relay.stream(topic, headers=bearer(secret, **claims), rcvbuf=4096).wait_live()
    stream.topic, stream.redis = topic, redis
    if not claims and "--max-age" not in options:
        told_too_many(relay.get(f"/sse?topic={topic}", bearer(secret)), limit)
    way(relay, stream)
    wait_until(lambda: try_live(relay, topic, headers=bearer(secret)), "another stream of the subject").close()


@pytest.mark.parametrize("limit", ["--max-streams-per-subject", "--max-connections-per-subject"])
def test_a_subjects_stream_ends_on_http2(guarded, secret, topic, limit):
    """Of HTTP/2: by RST_STREAM, which leaves the connection, and by the connection's end."""
    relay = guarded(limit, "1")

    def is_free():
        if stream := try_live(relay, topic, headers=bearer(secret)):
            stream.close()
        return stream

    authorized = [(n.lower(), v) for n, v in bearer(secret)]
    with Client(relay.address) as client:
        stream = client.live(topic, headers=authorized)
        assert not is_free()
        client.reset(stream)
        wait_until(is_free, "the place of a stream that was reset")
        wait_until(lambda: relay.metrics()["sse_relay_subscribers"] == 0, "its end")
        client.live(topic, headers=authorized)
        assert not is_free()
    wait_until(is_free, "the place of a connection that has ended")


def test_streams_of_a_subject(guarded, secret, redis, topic):
    """Over both protocols together; nobody else is concerned, nor who has no token, or one without a subject."""
    relay = guarded("--max-streams-per-subject", "4")
    authorized = [(n.lower(), v) for n, v in bearer(secret)]
    with contextlib.ExitStack() as stack, Client(relay.address) as client:
        streams = [stack.enter_context(relay.live(topic, headers=bearer(secret))) for _ in range(2)]
        ours = [client.live(topic, headers=authorized) for _ in range(2)]
        with relay.stream(topic, headers=bearer(secret)) as refused:
            told_to_come_back(refused)
        told_too_many(relay.get(f"/sse?topic={topic}", bearer(secret)), "--max-streams-per-subject")
        answer = client.answer("GET", f"/sse?topic={topic}", authorized)
        assert answer.status == 429 and int(answer.head["retry-after"]) > 0
        # A refusal ends neither the connection nor the streams on it, and a HEAD is no stream.
        assert relay.request("HEAD", f"/sse?topic={topic}", bearer(secret)).status == 200
        for sub in ("8", None, None, None, None, None):
            streams.append(stack.enter_context(relay.live(topic, headers=bearer(secret, sub))))
        for _ in range(5):
            stack.enter_context(relay.live("open.a", headers=bearer(secret)))
        redis.publish(topic, "to all")
        for stream in streams:
            stream.wait_data("to all")
        client.read_until(lambda: all(s.data() == ["to all"] for s in ours), "the event")
    assert reached(relay, "streams_per_subject") == 3


def test_connections_of_a_subject(guarded, secret, topic):
    """Streams that share a connection count once."""
    relay = guarded("--max-connections-per-subject", "2")
    authorized = [(n.lower(), v) for n, v in bearer(secret)]
    with Client(relay.address) as client, Client(relay.address) as another:
        for _ in range(10):
            client.live(topic, headers=authorized)
        with relay.live(topic, headers=bearer(secret)):
            told_too_many(relay.get(f"/sse?topic={topic}", bearer(secret)), "--max-connections-per-subject")
            assert another.answer("GET", f"/sse?topic={topic}", authorized).status == 429
            client.live(topic, headers=authorized)  # on a connection that counts already
            another.live(topic, headers=[(n.lower(), v) for n, v in bearer(secret, "8")])
    assert reached(relay, "connections_per_subject") == 2


# ---- publishes ----


def publish(relay, source, headers=(), topic="open.p"):
    return ask(relay, source, "POST", f"/sse?topic={topic}&live", headers, b"x")


def test_publishes_of_an_address(start_relay, redis, topic):
    """Beyond the burst 429, and not published; after Retry-After it is taken again. Others are not concerned."""
    relay = start_relay("--publish-rate", "1", "--publish-burst", "5", "--allow-anonymous-publish").wait_ready()
    with relay.live(topic) as stream:
        taken, refused = 0, None
        while refused is None:
            answer = publish(relay, OURS, topic=topic)
            taken, refused = (taken + 1, None) if answer.status == 200 else (taken, answer)
        assert taken >= 5
        told_too_many(refused, "--publish-rate")
        assert refused.get("retry-after") == "1"
        assert publish(relay, THEIRS, topic=topic).status == 200
        wait_until(lambda: publish(relay, OURS, topic=topic).status == 200, "a publish after a while")
        redis.publish(topic, "end")
        stream.wait_data("end")
        assert len([e for e in stream.named("message") if e.data == "x"]) == taken + 2
    assert reached(relay, "publish_rate") >= 1


def test_publishes_of_a_subject(guarded, secret):
    """Who has a subject is counted by it, wherever he asks from; the other limit is the address's."""
    relay = guarded("--publish-rate", "1", "--publish-burst", "50")
    answers = [publish(relay, f"127.0.0.{n % 20 + 2}", bearer(secret)).status for n in range(150)]
    assert answers.count(200) >= 50 and answers.count(429) >= 1 and set(answers) == {200, 429}
    assert publish(relay, OURS, bearer(secret, "8")).status == 200
    authorized = [(n.lower(), v) for n, v in bearer(secret, "9")]
    with Client(relay.address) as client:
        statuses = [client.answer("POST", "/sse?topic=open.p&live", authorized, b"x").status for _ in range(150)]
        assert statuses.count(200) >= 50 and statuses.count(429) >= 1
    # Who may not publish at all is told that.
    assert publish(relay, OURS).status == 401


def test_unix_sockets_have_no_address(start_relay, socket_dir):
    """Whoever comes by one is a proxy, and is not limited by an address that it does not have."""
    options = ["--publish-rate", "1", "--publish-burst", "2", "--max-connections-per-address", "2", "--allow-anonymous-publish"]
    relay = start_relay(*options, listen=f"unix:{socket_dir}/r.sock").wait_ready()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(relay.live("open.a"))
            assert relay.post("/sse?topic=open.b&live", b"x").status == 200


# ---- topics, newcomers, failed tokens ----


def test_topics_are_counted(start_relay):
    relay = start_relay("--max-topics", "3", "--allow-anonymous-publish").wait_ready()
    assert relay.get("/sse?topics=a,b,c,d").status == 400
    assert relay.post("/sse?topics=a,b,c,d", b"x").status == 400
    assert relay.get("/sse?topics=a,,b").status == 400
    assert reached(relay, "topics") == 2


def test_full_node_is_counted(start_relay, topic):
    relay = start_relay("--max-connections", "2", "--admin-listen", "127.0.0.1:0").wait_listening(2)
    relay.wait_ready()
    relay.wait_listening(2).addresses.reverse()  # questions go to the admin listener, which is not limited
    conns = [Conn(relay.addresses[1]) for _ in range(2)]
    for conn in conns:
        conn.request("GET", f"/sse?topic={topic}")
        assert conn.read_head().status == 200
    with Conn(relay.addresses[1]) as beyond:
        beyond.request("GET", f"/sse?topic={topic}")
        assert beyond.read_answer().status == 503
    assert reached(relay, "connections") >= 1
    for conn in conns:
        conn.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_newcomers_wait(start_relay, socket_dir, redis, topic, kind):
    """More new connections than may be are not refused: they wait in the kernel's queue, and all of them are served. The
    admin listener is not limited."""
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{socket_dir}/r.sock"
    relay = start_relay("--accept-rate", "10", "--admin-listen", "127.0.0.1:0", listen=listen).wait_listening(2)
    relay.wait_ready()
    relay.wait_listening(2).addresses.reverse()
    begin = time.monotonic()
    conns = [Conn(relay.addresses[1]) for _ in range(40)]
    for conn in conns:
        conn.request("GET", f"/sse?topic={topic}")
    for n in range(100):
        assert relay.get("/healthz").status == 200
    for conn in conns:
        assert conn.read_head().status == 200
    assert time.monotonic() - begin > 2, "40 connections came faster than 10 at once and 10 a second"
    assert reached(relay, "accept_rate") > 0
    for conn in conns:
        conn.close()


def test_failed_tokens(guarded, secret, tmp_path):
    """An address whose tokens fail too often has them looked at no more; the others, and who needs none, go on."""
    relay = guarded("--max-failed-tokens", "5")
    forged = bearer(Secret(tmp_path, "f" * 40))
    for _ in range(5):
        assert ask(relay, OURS, "GET", "/sse?topic=a", forged).status == 401
    for headers in (forged, bearer(secret)):
        told_too_many(ask(relay, OURS, "GET", "/sse?topic=a", headers), "--max-failed-tokens")
    assert ask(relay, OURS, "GET", "/sse?topic=a").status == 401  # without one there is nothing to look at
    assert ask(relay, THEIRS, "GET", "/sse?topic=a", forged).status == 401
    relay.live("a", headers=bearer(secret), connect=from_address(THEIRS)).close()
    relay.live("open.a", connect=from_address(OURS)).close()
    assert reached(relay, "failed_tokens") == 2


# ---- floods ----


def flood_of_connections(relay, secret):
    for _ in range(40):
        conns = []
        for _ in range(100):
            with contextlib.suppress(OSError):
                conns.append(Conn(relay.address, source=OURS))
        for conn in conns:
            conn.close()


def flood_of_streams(relay, secret):
    """One subject on many connections."""
    headers = bearer(secret)
    for _ in range(1000):
        ask(relay, OURS, "GET", "/sse?topic=mine", headers)


def flood_of_http2_streams(relay, secret):
    authorized = [(n.lower(), v) for n, v in bearer(secret)]
    with Client(relay.address, source=OURS) as client:
        for _ in range(2000):
            client.answer("GET", "/sse?topic=mine", authorized)


def flood_of_publishes(relay, secret):
    authorized = [(n.lower(), v) for n, v in bearer(secret)]
    with Client(relay.address, source=OURS) as client:
        for _ in range(2000):
            client.answer("POST", "/sse?topic=open.other&live", authorized, b"x" * 100)


def flood_of_forged_tokens(relay, secret):
    with Client(relay.address, source=OURS) as client:
        for n in range(2000):
            client.answer("GET", "/sse?topic=mine", [("authorization", f"Bearer e30.e30.{n}")])


@pytest.mark.parametrize(
    "flood, limit",
    [
        (flood_of_connections, "connections_per_address"),
        (flood_of_streams, "streams_per_subject"),
        (flood_of_http2_streams, "streams_per_subject"),
        (flood_of_publishes, "publish_rate"),
        (flood_of_forged_tokens, "failed_tokens"),
    ],
)
def test_floods(guarded, secret, redis, flood, limit):
    options = ["--max-connections-per-address", "60", "--max-streams-per-subject", "2", "--publish-rate", "20"]
    options += ["--max-failed-tokens", "10", "--workers", "2"]
    relay = guarded(*options)
    crowd = Crowd(relay, redis, "open.crowd")
    try:
        with relay.live("mine", headers=bearer(secret)), relay.live("mine", headers=bearer(secret)):
            flood(relay, secret)
            crowd.check()
        assert reached(relay, limit) > 100
    finally:
        crowd.close()
