"""Publishing over HTTP, by any Redis client and by sse-publish: what arrives, and what Redis sees."""

import json
import re

import pytest

from harness import Redis, run_publish, wait_until

ENVELOPE = b"sse1 - - "


@pytest.fixture
def channel(redis, topic):
    """A Redis client that is subscribed to the topic's channel: what any other relay would read."""
    with redis.client() as client:
        assert client("SUBSCRIBE", f"sse:{topic}")[0] == b"subscribe"
        yield client


def envelope(client):
    """The next message, which has to be the envelope of a live event."""
    message = client.read()[2]
    assert message.startswith(ENVELOPE), message
    return json.loads(message[len(ENVELOPE) :])


def test_post_answers_with_null_ids(relay, topic):
    """Section 5: 200 `{"ids":{...}}` once Redis has it; null for a live event."""
    answer = relay.post(f"/sse?topics={topic}.a,{topic}.b&live", b"x")
    assert answer.status == 200 and answer.get("content-type") == "application/json"
    assert json.loads(answer.body) == {"ids": {f"{topic}.a": None, f"{topic}.b": None}}


def test_post_reaches_subscribers(relay, topic):
    """Event, retry and data of the POST are what EventSource sees."""
    with relay.live(topic) as stream:
        relay.post(f"/sse?topic={topic}&event=greeting&retry=4321", "gr\u00fc\u00df\r\ndich".encode())
        event = stream.wait_name("greeting")
        assert event.data == "gr\u00fc\u00df\ndich"
        assert 4321 in stream.parser.retries


def test_post_writes_an_envelope(relay, channel, topic):
    """Section 4: POST of a live event writes `sse1 - - <json>` to the channel of the topic."""
    relay.post(f"/sse?topic={topic}&live&event=greeting&retry=4321", b'"quoted" \\ \0 \n')
    assert envelope(channel) == {"event": "greeting", "data": '"quoted" \\ \0 \n', "retry": 4321}
    relay.post(f"/sse?topic={topic}&live", b"")
    assert envelope(channel)["data"] == ""


def test_post_to_several_topics(relay, topic):
    """Publishing to several topics is one event for each."""
    with relay.live(f"/sse?topics={topic}.a,{topic}.b&as=topic") as stream:
        relay.post(f"/sse?topics={topic}.a,{topic}.b", b"x")
        got = {stream.wait_for(lambda e: e.data == "x").name for _ in "ab"}
        assert got == {f"{topic}.a", f"{topic}.b"}


def test_post_in_any_dress(relay, topic):
    """The body is the data whatever its type; unknown parameters change nothing; chunks are joined."""
    with relay.live(topic) as stream:
        target = f"/sse?topic={topic}&live&x=y"
        for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", "image/png"):
            assert relay.post(target, content_type.encode(), [("Content-Type", content_type)]).status == 200
            stream.wait_data(content_type)
        with relay.conn() as conn:
            conn.request("POST", target, [("Transfer-Encoding", "chunked")], b"")
            conn.send(b"2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n")
            assert conn.read_answer().status == 200
            stream.wait_data("abc")
            conn.request("POST", target, body=b"the connection lives on")
            assert conn.read_answer().status == 200


def test_expect_100_continue(relay, topic):
    """curl sends Expect before a larger body and waits: 100, or the refusal at once."""
    with relay.conn() as conn:
        conn.request("POST", f"/sse?topic={topic}", [("Expect", "100-continue"), ("Content-Length", "3")])
        assert conn.read_head().status == 100
        conn.send(b"abc")
        assert conn.read_answer().status == 200
    with relay.conn() as conn:
        conn.request("POST", f"/sse?topic={topic}", [("Expect", "100-continue"), ("Content-Length", "1048577")])
        assert conn.read_head().status == 413


@pytest.mark.parametrize("kind", ["absent", "own host", "own host as localhost"])
def test_post_from_its_own_pages(relay, topic, kind):
    """Section 5: a POST needs an Origin that is the request's own host, or none (not a browser)."""
    host = f"localhost:{relay.address[1]}" if "localhost" in kind else f"{relay.address[0]}:{relay.address[1]}"
    headers = [] if kind == "absent" else [("Origin", f"http://{host}")]
    assert relay.post(f"/sse?topic={topic}", b"x", headers, host=host).status == 200


def test_post_from_a_listed_origin(start_relay, topic):
    """Section 5: ... or one that is on the CORS list."""
    relay = start_relay("--allow-anonymous-publish", "--cors-origin", "https://app.example").wait_ready()
    assert relay.post(f"/sse?topic={topic}", b"x", [("Origin", "https://app.example")]).status == 200
    assert relay.post(f"/sse?topic={topic}", b"x", [("Origin", "https://app.example:444")]).status == 403


def test_post_needs_permission(start_relay, redis, topic):
    """The relay: without --allow-anonymous-publish a POST is 403 and a sentence, and publishes nothing."""
    relay = start_relay().wait_ready()
    with relay.live(topic) as stream:
        answer = relay.post(f"/sse?topic={topic}", b"x")
        assert answer.status == 403 and answer.get("content-type") == "application/problem+json"
        assert "--allow-anonymous-publish" in json.loads(answer.body)["detail"]
        redis.publish(topic, "end")
        assert stream.wait_name("message").data == "end"


def test_raw_message(relay, redis, topic):
    """Section 4: `PUBLISH sse:news hello` from any client just works."""
    with relay.live(topic) as stream:
        assert redis.publish(topic, "hello") == 1
        assert stream.wait_name("message").data == "hello"


def test_envelope_message(relay, redis, topic):
    """Section 4: the envelope carries event, retry and data; null counts as absent, unknown members too."""
    with relay.live(topic) as stream:
        redis.publish(topic, 'sse1 - - {"event":"e","data":"1\\r2","retry":5000,"new":[]}')
        assert stream.wait_name("e").data == "1\n2" and 5000 in stream.parser.retries
        redis.publish(topic, 'sse1 - - {"event":null,"retry":null,"data":"2"}')
        assert stream.wait_data("2").name == "message"
        redis.publish(topic, 'sse1x is raw, since nothing but "sse1 " opens an envelope')
        stream.wait_for(lambda e: e.data.startswith("sse1x is raw"))


def test_prefix(start_relay, redis, topic):
    """Section 4: deployments that share a server use different prefixes."""
    relay = start_relay("--prefix", "other", "--allow-anonymous-publish").wait_ready()
    with relay.live(topic) as stream:
        redis("PUBLISH", f"sse:{topic}", "not for you")
        redis("PUBLISH", f"other:{topic}", "for you")
        assert stream.wait_name("message").data == "for you"
        relay.post(f"/sse?topic={topic}", b"posted")
        stream.wait_data("posted")


def test_publish_command(relay, redis, topic, channel):
    """sse-publish --live TOPIC DATA: exits 0 when Redis has it; it has no id, so nothing is printed."""
    with relay.live(topic) as stream:
        done = run_publish("--live", "--redis", redis.url, "--event", "greeting", "--retry", "5s", topic, "a\nb")
        assert done.returncode == 0 and not done.stdout and not done.stderr
        assert stream.wait_name("greeting").data == "a\nb"
        assert envelope(channel) == {"event": "greeting", "data": "a\nb", "retry": 5000}


def test_publish_command_durable(relay, redis, topic):
    """sse-publish TOPIC DATA: the event has the id that was printed, and is there for whoever comes later."""
    with relay.live(topic) as stream:
        first = run_publish("--redis", redis.url, topic, "one")
        assert first.returncode == 0, first.stderr
        ident = first.stdout.removesuffix("\n")
        assert stream.wait_data("one").id == ident
        again = run_publish("--redis", redis.url, "--lines", topic, stdin=b"two\nthree\n")
        assert again.returncode == 0
        assert stream.wait_data("three").id == again.stdout.split()[-1]
    with relay.live(f"/sse?topic={topic}&lastEventId={ident}") as stream:
        assert [e.data for e in stream.named("message")] == ["two", "three"]


def test_publish_command_waits_for_replicas(own_redis, socket_dir):
    """sse-publish --wait-replicas: 0 when they have it; 1, the id and what to do when they do not."""
    command = ["--redis", own_redis.url, "--wait-replicas", "1", "--key", "k", "a", "data"]
    unmet = run_publish(*command)
    assert unmet.returncode == 1
    ident = re.search(r"stored as (\S+), but 0 of 1 replicas", unmet.stderr)[1]
    assert unmet.stdout == ident + "\n"
    assert "retry with the same --key is safe" in unmet.stderr
    replica = Redis(socket_dir)
    try:
        replica("REPLICAOF", "127.0.0.1", own_redis.port)
        wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"), "replication")
        met = run_publish(*command)
        assert met.returncode == 0 and met.stdout == ident + "\n"
        assert replica("GET", "sse:{0}:last:a").decode() == ident
    finally:
        replica.stop()


def test_publish_command_reads_standard_input(relay, redis, topic):
    """sse-publish: data from standard input without DATA, or with `-`; --lines makes each line an event."""
    env = {"REDIS_URL": redis.url}
    with relay.live(topic) as stream:
        assert run_publish(topic, env=env, stdin=b"from a pipe").returncode == 0
        assert run_publish(topic, "-", env=env, stdin=b"from a dash").returncode == 0
        assert run_publish("--lines", topic, env=env, stdin=b"one\ntwo\r\nthree").returncode == 0
        for data in ("from a pipe", "from a dash", "one", "two", "three"):
            assert stream.wait_name("message").data == data


USAGE_ERRORS = {
    "no-topic": [],
    "reserved-topic": ["relay.x", "data"],
    "empty-topic": ["", "data"],
    "star": ["a*", "data"],
    "reserved-event": ["--event", "error", "a", "data"],
    "control-in-event": ["--event", "a\nb", "a", "data"],
    "retry-range": ["--retry", "1ms", "a", "data"],
    "no-unit": ["clock", "--every", "5", "a"],
    "unknown-option": ["--nonsense", "a", "data"],
}


@pytest.mark.parametrize("args", USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_publish_command_usage(redis, args):
    """sse-publish: 2 on usage; what the rules refuse is refused here, before Redis sees it."""
    done = run_publish("--redis", redis.url, *args)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_publish_command_without_redis(tmp_path):
    """sse-publish: 3 when Redis cannot be reached, and a sentence."""
    done = run_publish("--redis", f"unix:{tmp_path}/nothing.sock", "a", "data")
    assert done.returncode == 3 and "nothing.sock" in done.stderr
