"""Design section 7: slow, greedy and hostile clients, full nodes. Bounded by limits; the others notice nothing."""

import json
import time

import pytest

import http_raw
from harness import Metrics, frozen_thread, publish_until_received, wait_until
from http_raw import Closed
from settings import sanitized

BATCH = 16
QUEUE_MESSAGES = 65536  # WORKER_INBOX_MAX_MESSAGES of relay/worker.h


def flood(redis, fast, topic, events, size):
    """Publish numbered events of @size bytes, in batches that @fast has to have read before the next."""
    with redis.client() as client:
        for first in range(0, events, BATCH):
            numbers = range(first, min(first + BATCH, events))
            client.pipeline([("PUBLISH", f"sse:{topic}", str(n).ljust(size)) for n in numbers])
            fast.wait_for(lambda e: e.data.startswith(f"{numbers[-1]} "))


def numbers_of(stream):
    return [int(e.data) for e in stream.named("message") if e.data.strip().isdigit()]


def assert_gaps_are_told(stream):
    """Numbers rise by one; wherever some are missing, a `relay.reset` for live events stands in between.
    Returns the number of gaps."""
    last, told, gaps = None, False, 0
    for event in stream.events:
        if event.name == "relay.reset":
            assert json.loads(event.data)["reason"] == "live"
            told = True
        elif event.name == "message" and event.data.strip().isdigit():
            number = int(event.data)
            if last is not None and number != last + 1:
                assert number > last and told, f"{last} is followed by {number}, told: {told}"
                gaps += 1
            last, told = number, False
    return gaps


def test_slow_client(start_relay, redis, topic):
    """A client that stops reading: the other gets everything; the slow one gets a reset for the topic of which
    events were dropped when it reads on, and is served again."""
    relay = start_relay("--outbox-limit", "64KiB", "--send-buffer", "16KiB", "--write-timeout", "1h").wait_ready()
    both = f"/sse?topics={topic},{topic}.quiet"
    with relay.live(topic) as fast, relay.live(both, rcvbuf=4096) as slow:
        flood(redis, fast, topic, 2000, 2000)
        assert numbers_of(fast) == list(range(2000)) and not fast.named("relay.reset")
        assert relay.metrics()["sse_relay_subscribers_lagging"] == 1
        reset = slow.wait_name("relay.reset")
        assert json.loads(reset.data) == {"topics": [topic], "reason": "live"}
        redis.publish(topic, "2000")
        slow.wait_data("2000")
        assert assert_gaps_are_told(slow) == 1
    metrics = relay.metrics()
    assert metrics.get("sse_relay_resets_total", reason="live") == 1
    assert metrics["sse_relay_deliveries_dropped_total"] > 0


def test_slow_clients_take_bounded_memory(start_relay, redis, topic):
    """Memory per slow client is bounded: 64 MiB pass by 20 clients that never read."""
    if sanitized():
        pytest.skip("a sanitizer keeps freed memory: its size says nothing here")
    relay = start_relay("--outbox-limit", "256KiB", "--write-timeout", "1h").wait_ready()
    slow = [relay.live(topic, rcvbuf=4096) for _ in range(20)]
    with relay.live(topic) as fast:
        before = relay.rss_bytes()
        flood(redis, fast, topic, 4096, 16000)
        assert relay.rss_bytes() - before < 32 * 1024 * 1024
    for stream in slow:
        stream.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_slow_client_is_cut(socket_dir, start_relay, redis, topic, kind):
    """A client that does not drain at all within the write deadline is closed; the other notices nothing. The
    kernel's own deadline does not help on a unix socket."""
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{socket_dir}/r.sock"
    options = ["--outbox-limit", "64KiB", "--send-buffer", "16KiB", "--write-timeout", "500ms"]
    relay = start_relay(*options, listen=listen).wait_ready()
    with relay.live(topic) as fast, relay.live(topic, rcvbuf=4096) as slow:
        sent = iter(range(10**6))

        def cut():
            n = next(sent)
            redis.publish(topic, str(n).ljust(30000))
            fast.wait_for(lambda e: e.data.startswith(f"{n} "))
            return relay.metrics()["sse_relay_subscribers"] == 1

        wait_until(cut, "the end of the slow client")
        assert relay.metrics().get("sse_relay_disconnects_total", reason="write_timeout") == 1
        with pytest.raises(Closed):
            slow.wait_end()  # no last chunk: cut in the middle


def test_client_that_reads_slowly_is_not_cut(start_relay, redis, topic):
    """The write deadline is for clients that take no byte at all: one that reads now and then stays."""
    relay = start_relay("--outbox-limit", "1MiB", "--send-buffer", "16KiB", "--write-timeout", "3s").wait_ready()
    with relay.live(topic) as fast, relay.live(topic, rcvbuf=4096) as slow:
        flood(redis, fast, topic, 1000, 2000)
        until = time.monotonic() + 7
        while time.monotonic() < until:
            slow.conn.buffer += slow.conn.sock.recv(2048)
            time.sleep(0.02)
        slow.wait_name("relay.reset")
        redis.publish(topic, "1000")
        slow.wait_data("1000")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_events_larger_than_the_outbox(start_relay, redis, topic, version):
    """Section 6: an empty outbox takes one frame of any permitted size, however many writes that takes."""
    relay = start_relay("--outbox-limit", "1KiB", "--send-buffer", "4KiB").wait_ready()
    with relay.live(topic, version=version, rcvbuf=8192) as stream:
        for n in range(5):
            redis.publish(topic, str(n).ljust(1000000))
            stream.wait_for(lambda e: e.data.startswith(f"{n} "))
        assert not stream.named("relay.reset")


def test_flood(start_relay, redis, topic):
    """More than anybody can send: 100,000 events in one go. What is dropped is told, nothing is out of order."""
    relay = start_relay("--outbox-limit", "16KiB").wait_ready()
    streams = [relay.live(topic) for _ in range(4)]
    with redis.client() as client:
        for first in range(0, 100000, 1000):
            client.pipeline([("PUBLISH", f"sse:{topic}", str(n)) for n in range(first, first + 1000)])
    for stream in streams:
        publish_until_received(redis, stream, topic, "end")
        assert_gaps_are_told(stream)
        assert not stream.ended
        stream.close()


def test_worker_that_does_not_keep_up(start_relay, redis, topic):
    """More messages than a worker can send: its queue is bounded, the newest are dropped and a mark tells the
    subscribers; afterwards everything works as before."""
    relay = start_relay("--workers", "1", "--outbox-limit", "1KiB", "--admin-listen", "127.0.0.1:0").wait_listening(2)
    relay.wait_ready()
    streams = [relay.live(topic) for _ in range(5)]
    burst = "for i = 1, 10000 do redis.call('PUBLISH', KEYS[1], i) end"

    def count(name, **labels):
        page = http_raw.fetch(relay.addresses[1], "GET", "/metrics", [], None)
        return Metrics(page.body.decode()).get(name, **labels)

    with frozen_thread(relay.pid, "worker 0"):
        for sent in range(10000, 80000, 10000):
            redis("EVAL", burst, 1, f"sse:{topic}")
            wait_until(lambda sent=sent: count("sse_relay_events_received_total", kind="live") == sent, "a burst")
        assert count("sse_relay_worker_queue_dropped_total") >= 70000 - QUEUE_MESSAGES
    for stream in streams:
        publish_until_received(redis, stream, topic, "end")
        assert stream.named("relay.reset") and not stream.ended
        stream.close()


def test_full_relay(start_relay, redis, topic):
    """Section 5: a full node gives an EventSource 200, a large retry and the end; anything else 503 and
    Retry-After. The limit counts over all workers; a place that is free again is given again."""
    relay = start_relay("--max-connections", "4", "--admin-listen", "127.0.0.1:0").wait_listening(2)
    relay.wait_ready()
    # The last request for /readyz may still take a place.
    streams = [wait_until(lambda: relay.try_live(topic), "a place within the limit") for _ in range(4)]
    for _ in range(8):
        with relay.stream(topic) as refused:
            assert refused.head.status == 200 and refused.head.get("content-type") == "text/event-stream; charset=utf-8"
            refused.wait_end()
            assert refused.parser.retries[-1] > max(streams[0].parser.retries)
            assert [(e.name, e.data, e.id) for e in refused.events] == [("relay.close", '{"reason":"full"}', "")]
        answer = relay.get(f"/sse?topic={topic}", [("Accept", "application/json")])
        assert answer.status == 503 and int(answer.get("retry-after")) > 0
        assert answer.get("content-type") == "application/problem+json"
    redis.publish(topic, "unharmed")
    for stream in streams:
        stream.wait_data("unharmed")
    streams.pop().close()
    streams.append(wait_until(lambda: relay.try_live(topic), "a place that is free again"))
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("fds", [128, 200])
def test_file_descriptors_run_out(start_relay, redis, topic, fds):
    """The connection limit (by default the fd limit minus a reserve) is reached first, and answered; it neither
    crashes nor spins."""
    relay = start_relay(fds=fds).wait_ready()
    with relay.live(topic) as witness:
        opened = list(iter(lambda: relay.try_live(topic), None))
        assert fds / 8 < len(opened) < fds, f"{len(opened)} streams with {fds} descriptors"
        idle = [relay.conn() for _ in range(300)]
        before = relay.cpu_seconds()
        begin = time.monotonic()
        while time.monotonic() < begin + 1:
            redis.publish(topic, "still served")
            witness.wait_data("still served")
            time.sleep(0.05)
        assert relay.cpu_seconds() - before < 0.7 * (time.monotonic() - begin), "it spins"
        for conn in [*opened, *idle]:
            conn.close()
    wait_until(lambda: relay.try_live(topic), "a place after all have gone").close()


def test_connections_come_and_go(start_relay, redis, topic):
    """2,000 connections, one after the other and abandoned in every state, leave nothing behind."""
    relay = start_relay().wait_ready()
    with relay.live(topic) as witness:
        before = relay.open_files()
        for n in range(2000):
            conn = relay.conn()
            if n % 4:
                conn.request("GET", f"/sse?topic={topic}.{n}" if n % 4 == 1 else f"/sse?topic={topic}")
            if n % 4 == 2:
                conn.read_head()
            conn.close()
        wait_until(lambda: relay.metrics()["sse_relay_subscribers"] == 1, "the end of all others")
        wait_until(lambda: relay.open_files() <= before, "the end of their descriptors")
        redis.publish(topic, "unharmed")
        witness.wait_data("unharmed")


def test_idle_connection_is_closed(start_relay):
    """A kept-alive connection that asks nothing more is closed."""
    relay = start_relay("--idle-timeout", "300ms").wait_ready()
    with relay.conn() as conn:
        conn.request("GET", "/healthz")
        assert conn.read_answer().status == 200
        assert conn.ended()


def test_body_not_complete_in_time(start_relay, topic):
    """A client that trickles its request's body: 408."""
    relay = start_relay("--body-timeout", "300ms", "--allow-anonymous-publish").wait_ready()
    with relay.conn() as conn:
        conn.request("POST", f"/sse?topic={topic}", [("Content-Length", "100")])
        conn.send(b"x")
        answer = conn.read_answer()
        assert answer.status == 408 and answer.get("content-type") == "application/problem+json"
        assert conn.ended()


def test_streams_outlive_the_deadlines_of_requests(start_relay, redis, topic):
    """Deadlines for heads, bodies and idle connections are none for a quiet stream."""
    short = ["--idle-timeout", "100ms", "--body-timeout", "100ms", "--header-timeout", "100ms"]
    relay = start_relay(*short, "--heartbeat", "300ms", "--write-timeout", "100ms").wait_ready()
    with relay.live(topic) as stream:
        stream.read_until(lambda: len(stream.parser.comments) >= 4)
        redis.publish(topic, "on")
        stream.wait_data("on")
