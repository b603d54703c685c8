"""HTTP/2 in cleartext, with prior knowledge: streams, publishing, windows, limits, the end; and what stays as on HTTP/1.1."""

import json
import shutil
import subprocess

import pytest

pytest.importorskip("h2", reason="python-h2 is missing: make deps-test installs it")

from harness import wait_until  # noqa: E402
from http2 import REFUSED_STREAM, RST_STREAM, Client, Raw  # noqa: E402
from settings import sanitized  # noqa: E402

STREAM_HEAD = {
    ":status": "200",
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "vary": "Origin",
}


@pytest.fixture
def client(relay):
    with Client(relay.address) as one:
        yield one


def test_stream_and_publish(client, topic):
    """A stream and publishes on one connection: the same head but for what belongs to HTTP/1, the same events."""
    stream = client.live(topic)
    assert {name: stream.head[name] for name in STREAM_HEAD} == STREAM_HEAD
    assert set(stream.head) == {*STREAM_HEAD, "date"}
    answer = client.answer("POST", f"/sse?topic={topic}&event=hi", body=b"one")
    assert answer.status == 200 and answer.head["content-type"] == "application/json"
    assert int(answer.head["content-length"]) == len(answer.body)
    number = json.loads(answer.body)["ids"][topic]
    client.read_until(lambda: any(e == ("hi", "one", number) for e in stream.events), "the event")


def test_same_as_http1(relay, client, redis, topic):
    """An event of each shape comes over HTTP/2 byte for byte as over HTTP/1.1."""
    with relay.live(topic) as old:
        new = client.live(topic)
        for data in ("", "a\nb\r\nc", "x" * 100_000, "ü" * 3000, "end"):
            redis.publish(topic, data)
        old.wait_data("end")
        client.read_until(lambda: "end" in new.data(), "the last event")
        assert [e for e in new.events if e.name == "message"] == old.named("message")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
def test_pages(relay, client, path):
    old = relay.get(path)
    new = client.answer("GET", path)
    assert new.status == old.status
    assert new.head["content-type"] == old.get("content-type")
    assert path == "/metrics" or bytes(new.body) == old.body
    assert "connection" not in new.head and "transfer-encoding" not in new.head
    head = client.answer("HEAD", path)
    assert head.status == new.status and head.body == b""


def test_errors_and_cors(client, topic):
    """Problems, preflights and CORS fields are the same as on HTTP/1.1."""
    origin = [("origin", "https://page.example")]
    problem = client.answer("GET", "/sse?topic=a*b", origin)
    assert problem.status == 400 and problem.head["content-type"] == "application/problem+json"
    assert client.answer("GET", "/nowhere").status == 404
    assert client.answer("PUT", "/sse", body=b"x").status == 405
    preflight = client.answer("OPTIONS", f"/sse?topic={topic}", [*origin, ("access-control-request-method", "POST")])
    assert preflight.status == 204 and "POST" in preflight.head["allow"]
    assert client.answer("POST", f"/sse?topic={topic}", origin, b"x").status == 403


def test_large_body_and_head(relay, client, topic):
    """The limits of HTTP/1.1 hold: 1 MiB of a body, 16 KiB of a head, 100 fields; the connection goes on behind them."""
    assert client.answer("GET", "/healthz", [("x-large", "y" * 20_000)]).status == 431
    assert client.answer("GET", "/healthz", [(f"x-{i}", "y") for i in range(101)]).status == 431
    refused = client.answer("POST", f"/sse?topic={topic}", [("content-length", str(1024 * 1024 + 1))])
    assert refused.status == 413 or refused.reset is not None  # a length without a body is malformed, too
    body = b"z" * (1024 * 1024)
    stream = client.request("POST", f"/sse?topic={topic}", end=False)
    sent = 0
    while sent < len(body):
        room = min(client.h2.local_flow_control_window(stream.number), 16384, len(body) - sent)
        if room == 0:
            before = client.h2.local_flow_control_window(stream.number)
            client.read_until(lambda: client.h2.local_flow_control_window(stream.number) > before, "a window update")
            continue
        client.h2.send_data(stream.number, body[sent : sent + room], end_stream=sent + room == len(body))
        client.flush()
        sent += room
    client.read_until(lambda: stream.ended, "the answer")
    assert stream.status == 200
    assert relay.get("/healthz").status == 200


def test_resume(client, relay, topic):
    """Last-Event-ID: what came meanwhile, then live."""
    first = client.live(topic)
    ids = [json.loads(client.answer("POST", f"/sse?topic={topic}", body=str(n).encode()).body)["ids"][topic] for n in range(20)]
    client.read_until(lambda: first.data() == [str(n) for n in range(20)], "all events")
    again = client.live(topic, headers=[("last-event-id", ids[9])])
    assert again.data() == [str(n) for n in range(10, 20)]


def test_reset_of_one_stream(client, relay, redis, topic):
    """The client ends one of 100 streams: its subscriber is gone, the others get everything."""
    streams = [client.live(f"{topic}.{n % 10}") for n in range(100)]
    before = relay.metrics()["sse_relay_subscribers"]
    client.reset(streams[50])
    wait_until(lambda: relay.metrics()["sse_relay_subscribers"] == before - 1, "the end of one subscriber")
    for n in range(10):
        redis.publish(f"{topic}.{n}", f"to {n}")
    for n, stream in enumerate(streams):
        if n != 50:
            client.read_until(lambda: stream.data() == [f"to {n % 10}"], f"the event of stream {n}")
    assert streams[50].data() == []


def test_too_many_streams(start_relay, redis, topic):
    """Beyond --max-streams a stream is refused, so that the client may try elsewhere; the others live."""
    relay = start_relay("--max-streams", "3").wait_ready()
    with Client(relay.address) as client:
        streams = [client.live(topic) for _ in range(3)]
        assert client.h2.remote_settings.max_concurrent_streams == 3
        redis.publish(topic, "all three live")
        client.read_until(lambda: all(s.data() == ["all three live"] for s in streams), "the event")
        with Raw(relay.address) as raw:  # one that does not wait to be told the limit
            raw.send(b"".join(raw.head(n, f"/sse?topic={topic}") for n in (1, 3, 5, 7)))
            raw.read_until(RST_STREAM)
            assert [(s, p[-1]) for kind, _, s, p in raw.frames if kind == RST_STREAM] == [(7, REFUSED_STREAM)]


def test_closed_window_lags_and_resumes(start_relay, redis, topic):
    """A stream whose window is shut is a slow client of its own: it lags, loses no durable event, and its neighbour on the
    same connection gets each at once."""
    relay = start_relay("--outbox-limit", "64KiB", "--write-timeout", "1h", "--allow-anonymous-publish").wait_ready()
    events = [f"{n} ".ljust(1000, "x") for n in range(300)]
    with Client(relay.address, window=2000) as client:
        slow, fast = client.live(topic), client.live(topic)
        client.open_window(fast, 2**29)
        for data in events:
            assert relay.post(f"/sse?topic={topic}", data.encode()).status == 200
        client.read_until(lambda: fast.data() == events, "all events on the open stream")
        assert len(slow.body) == 2000
        wait_until(lambda: relay.metrics()["sse_relay_subscribers_lagging"] == 1, "that the shut stream lags")
        client.open_window(slow, 2**29)
        client.read_until(lambda: slow.data() == events, "all events on the stream that was shut")
        assert not any(e.name == "relay.reset" for e in slow.events)
        assert relay.metrics()["sse_relay_subscribers_lagging"] == 0


def test_closed_window_is_told_of_live_events(start_relay, redis, topic):
    relay = start_relay("--outbox-limit", "16KiB", "--write-timeout", "1h").wait_ready()
    with Client(relay.address, window=1000) as client, relay.live(topic) as other:
        slow = client.live(topic)
        for n in range(100):
            redis.publish(topic, f"{n} ".ljust(1000, "x"))
        other.wait_for(lambda e: e.data.startswith("99 "))
        client.open_window(slow, 2**29)
        client.read_until(lambda: any(e.name == "relay.reset" for e in slow.events), "a reset")
        assert json.loads(next(e for e in slow.events if e.name == "relay.reset").data)["reason"] == "live"


def test_window_shut_for_good(start_relay, redis, topic):
    """A stream that takes nothing within the write timeout is ended, and no other of its connection."""
    relay = start_relay("--write-timeout", "500ms").wait_ready()
    with Client(relay.address, window=500) as client:
        shut, other = client.live(topic), client.live(f"{topic}.other")
        redis.publish(topic, "x" * 10_000)
        client.read_until(lambda: shut.reset is not None, "the end of the shut stream")
        redis.publish(f"{topic}.other", "still here")
        client.read_until(lambda: other.data() == ["still here"], "an event of the other stream")
    assert relay.metrics().get("sse_relay_disconnects_total", reason="write_timeout") == 1


def test_connection_window_is_shared(relay, redis, topic):
    """Streams take turns: a small event does not wait for the megabyte of another stream of the connection."""
    with Client(relay.address) as client:
        large, small = client.live(topic), client.live(f"{topic}.small")
        redis.publish(topic, "x" * 1_000_000)
        redis.publish(f"{topic}.small", "quick")
        client.read_until(lambda: small.data() == ["quick"], "the small event")
        client.read_until(lambda: len(large.data()) == 1, "the large event")


def test_drain(start_relay, redis, topic):
    """SIGTERM: GOAWAY; each stream ends with relay.close and END_STREAM, then the connection."""
    relay = start_relay("--drain-grace", "0s", "--drain", "300ms", quick=False).wait_ready()
    with Client(relay.address) as client:
        streams = [client.live(topic) for _ in range(20)]
        relay.signal(15)
        client.read_until(lambda: client.goaways and all(s.ended for s in streams), "GOAWAY and the end of all streams")
        assert client.goaways[-1] == 0
        for stream in streams:
            close = stream.events[-1]
            assert close.name == "relay.close" and json.loads(close.data) == {"reason": "drain"}
            assert stream.parser.retries and stream.reset is None
        client.read_to_end()
    assert relay.wait() == 0


def test_deadlines(start_relay, topic):
    """A connection that never speaks, one that is idle, a head and a body that do not end: each is ended; a stream is not."""
    relay = start_relay(
        "--header-timeout", "300ms", "--body-timeout", "300ms", "--idle-timeout", "300ms", "--allow-anonymous-publish"
    ).wait_ready()
    with Client(relay.address) as quiet, Client(relay.address) as idle, Client(relay.address) as busy:
        stream = busy.live(topic)
        assert idle.answer("GET", "/healthz").status == 200
        for client in (quiet, idle):
            client.read_until(lambda: client.goaways, "GOAWAY")
            assert client.goaways == [0]
        body = busy.request("POST", f"/sse?topic={topic}", end=False)
        busy.read_until(lambda: body.ended or body.reset is not None, "408")
        assert body.status == 408
        assert busy.answer("POST", f"/sse?topic={topic}&live", body=b"on").status == 200
        busy.read_until(lambda: stream.data() == ["on"], "the event")


def test_many_streams_leave_in_one_write(start_relay, redis, topic, tmp_path):
    """100 streams of one connection get an event by one system call, not by 100."""
    strace = shutil.which("strace")
    if strace is None or sanitized():
        pytest.skip("strace is missing, or a sanitizer is in its way")
    relay = start_relay("--workers", "1").wait_ready()
    with Client(relay.address) as client:
        streams = [client.live(topic) for _ in range(100)]
        log = tmp_path / "strace.txt"
        trace = subprocess.Popen(
            [strace, "-f", "-qq", "-e", "trace=sendmsg,sendto", "-p", str(relay.child.pid), "-o", str(log)],
            stderr=subprocess.PIPE,
        )
        try:
            for n in range(200):
                redis.publish(topic, f"{n}")
                client.read_until(lambda: all(s.data() and s.data()[-1] == f"{n}" for s in streams), f"event {n}")
                if log.exists() and log.stat().st_size > 0 and n > 20:
                    break
        finally:
            trace.terminate()
            trace.wait()
        calls = [line for line in log.read_text().splitlines() if "sendmsg(" in line and "iov_len" in line]
        if not calls:
            pytest.skip("nobody may trace a process here")
        assert any("msg_iovlen=200" in line for line in calls), calls[-3:]


def test_curl_and_h2load(relay, topic):
    """Programs that others wrote: curl streams, h2load asks thousands of times without one failure."""
    for name in ("curl", "h2load"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is missing: make deps-test installs it")
    out = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version}", f"{relay.url}/healthz"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert out.startswith("ok") and out.endswith("2")
    out = subprocess.run(
        ["h2load", "-n", "5000", "-c", "5", "-m", "50", f"{relay.url}/healthz"], capture_output=True, text=True, timeout=120
    ).stdout
    assert "5000 succeeded, 0 failed, 0 errored" in out, out
