"""The figures on /metrics, the health pages, the log and the console page."""

import json
import re
import subprocess

import pytest

from harness import wait_until
from settings import tool


@pytest.fixture
def quiet(start_relay):
    """A relay that nobody else asks anything."""
    return start_relay("--allow-anonymous-publish").wait_ready()


def test_promtool(quiet, topic):
    """The issue: the text passes Debian's `promtool check metrics`."""
    if not tool("promtool"):
        pytest.skip("promtool is missing: it is in the package prometheus")
    with quiet.live(topic) as stream:
        quiet.post(f"/sse?topic={topic}", b"x")
        stream.wait_data("x")
        text = quiet.get("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_form(quiet):
    """Prometheus text: its content type, HELP and TYPE for every metric, one prefix."""
    answer = quiet.get("/metrics")
    assert answer.status == 200 and answer.get("content-type").startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert families == {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for name, _, _ in quiet.metrics().samples:
        family = name if name in families else name.rpartition("_")[0]
        assert family in families and name.startswith("sse_relay_"), name


def test_deliveries_move(quiet, redis, topic):
    """Connections, subscribers, topics, events received, deliveries, bytes, the histogram."""
    before = quiet.metrics()
    streams = [quiet.live(topic), quiet.live(topic), quiet.live(f"{topic}.other")]
    for n in range(10):
        redis.publish(topic, f"{n}")
    for stream in streams[:2]:
        stream.wait_data("9")
    redis.publish(topic, b"\xff")
    redis.publish(topic, "end")
    for stream in streams[:2]:
        stream.wait_data("end")

    def delivered():
        return quiet.metrics()["sse_relay_deliveries_total"] - before["sse_relay_deliveries_total"] == 22

    wait_until(delivered, "22 deliveries")
    after = quiet.metrics()
    moved = lambda name, **labels: after.get(name, **labels) - before.get(name, **labels)
    assert after["sse_relay_subscribers"] == 3 and after["sse_relay_topics"] >= 2
    assert after["sse_relay_connections"] >= 3
    assert moved("sse_relay_events_received_total", kind="live") == 11
    assert moved("sse_relay_events_received_total", kind="malformed") == 1
    assert moved("sse_relay_events_received_total", kind="durable") == 0
    assert moved("sse_relay_delivery_duration_seconds_count") == 22
    assert moved("sse_relay_stream_bytes_total") > 22 * len("data: 1\n\n")
    for stream in streams:
        stream.close()
    wait_until(lambda: quiet.metrics()["sse_relay_subscribers"] == 0, "the end of the streams")


def test_reasons_of_disconnects(start_relay, topic):
    """Disconnects by reason: the client left, the maximum age."""
    relay = start_relay("--max-age", "1s").wait_ready()
    reason = lambda name: relay.metrics().get("sse_relay_disconnects_total", reason=name)
    with relay.live(topic) as stream:
        stream.wait_end()
    wait_until(lambda: reason("max_age") == 1, "a disconnect for its age")
    relay.live(topic).close()
    wait_until(lambda: reason("client") == 1, "a disconnect by the client")


def test_redis_figures(quiet):
    """Redis state and reconnects, probe round trip, loop lag, queue depth, memory, CPU, build info."""
    wait_until(lambda: quiet.metrics()["sse_relay_redis_probe_duration_seconds"] > 0, "a probe")
    metrics = quiet.metrics()
    assert metrics.get("sse_relay_redis_connected", connection="subscriber") == 1
    assert metrics.get("sse_relay_redis_connected", connection="publisher") == 1
    assert metrics["sse_relay_redis_connections_lost_total"] == 0
    assert metrics["sse_relay_worker_queue_messages"] >= 0 and metrics["sse_relay_loop_lag_seconds_count"] >= 0
    assert metrics["sse_relay_resident_memory_bytes"] > 100000
    assert 0 < metrics["sse_relay_cpu_seconds_total"] < 1000
    assert metrics["sse_relay_build_info"] == 1


def test_health(quiet):
    """/healthz and /readyz: 200 when all is well, never from a cache."""
    for path in ("/healthz", "/readyz"):
        answer = quiet.get(path)
        assert answer.status == 200 and "no-" in answer.get("cache-control")
        head = quiet.request("HEAD", path)
        assert head.status == 200 and head.body == b""


def test_log_is_json(start_relay, redis, topic):
    """Logs: JSON lines where there is no terminal, one line per event of a connection's life at debug, and no
    payload, no query in them."""
    relay = start_relay("--log-level", "debug", "--allow-anonymous-publish").wait_ready()
    with relay.live(f"/sse?topic={topic}&token=s3cret") as stream:
        relay.post(f"/sse?topic={topic}", b"very private")
        stream.wait_data("very private")
    relay.get("/nowhere?token=s3cret")
    assert relay.terminate() == 0
    lines = relay.logs()
    assert len(lines) > 3
    for line in lines:
        assert {"time", "level", "msg"} <= line.keys(), line
    assert {"stream opened", "stream ended"} <= {line["msg"] for line in lines}
    assert "very private" not in relay.err and "s3cret" not in relay.err


def test_log_level(start_relay):
    """--log-level warn: a quiet life writes nothing."""
    relay = start_relay("--log-level", "warn").wait_ready()
    assert relay.terminate() == 0 and relay.err == ""


def test_logfmt(start_relay):
    """--log-format logfmt: name=value pairs, as on a terminal."""
    relay = start_relay("--log-format", "logfmt").wait_ready()
    assert relay.terminate() == 0
    for line in relay.err.splitlines():
        assert not line.startswith("{") and "level=" in line


def test_console_page(quiet):
    """The console at `/`: a page with a strict Content-Security-Policy, everything from the relay itself."""
    answer = quiet.get("/")
    assert answer.status == 200 and answer.get("content-type").startswith("text/html")
    policy = answer.get("content-security-policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.get("x-content-type-options") == "nosniff"
    assert not re.search(rb"(src|href)=[\"']?(https?:)?//", answer.body)
    for line in answer.body.decode().split('"'):
        if line.endswith((".js", ".css")):
            asset = quiet.get("/" + line.lstrip("/"))
            assert asset.status == 200 and asset.body, line


def test_no_console(start_relay):
    """--no-console: nothing at /, nor of its files, and no invitation to it; all else as before."""
    relay = start_relay("--no-console", "--demo").wait_ready()
    for path in ("/", "/console.js", "/words.js", "/console.css"):
        assert relay.get(path).status == 404
    assert relay.get("/healthz").status == relay.get("/metrics").status == 200
    assert "console" not in relay.out


@pytest.mark.parametrize("listen, options, warns", [
    ("0.0.0.0:0", ["--allow-anonymous-publish"], True),
    ("0.0.0.0:0", [], False),
    ("127.0.0.1:0", ["--allow-anonymous-publish"], False),
])
def test_publishing_that_is_open_to_others(start_relay, listen, options, warns):
    """Said in the log where others than this machine reach it."""
    relay = start_relay(*options, listen=listen)
    relay.wait_listening()
    told = [line for line in relay.logs() if "may publish to every topic" in line["msg"]]
    assert [line["listen"] for line in told] == [listen] * warns


def test_problem_is_json(quiet):
    """RFC 9457: type, title, status and a sentence that says what to do."""
    problem = json.loads(quiet.get("/nowhere").body)
    assert problem["status"] == 404 and problem["title"] and problem["detail"]
