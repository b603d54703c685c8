"""The stream as seen by one client: heads, first bytes, events and their forms, heartbeats, the end."""

import json
import socket
import threading
from urllib.parse import quote

import pytest

from http_raw import Closed
from sse import Parser

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "vary": "Origin",
    "content-length": None,
}

# Data as published, and as EventSource shows it: line ends have become LF, nothing else has changed.
DATA = {
    "plain": ("hello", "hello"),
    "empty": ("", ""),
    "lf": ("a\nb", "a\nb"),
    "cr": ("a\rb", "a\nb"),
    "crlf": ("a\r\nb", "a\nb"),
    "lfcr": ("a\n\rb", "a\n\nb"),
    "ends-in-lf": ("a\n", "a\n"),
    "only-cr": ("\r", "\n"),
    "only-crlfs": ("\r\n\r\n", "\n\n"),
    "leading-space": (" a\n  b", " a\n  b"),
    "forged-fields": ("a\rid: 1\rdata: b\r\revent: c", "a\nid: 1\ndata: b\n\nevent: c"),
    "colon": (": no comment", ": no comment"),
    "unicode": ("\ufeffgr\u00fc\u00df \u2028 \U0001f600", "\ufeffgr\u00fc\u00df \u2028 \U0001f600"),
    "1MiB": ("x" * 1048576, "x" * 1048576),
    "1MiB-of-lines": ("ab\r\n" * 262144, "ab\n" * 262144),
}
data_table = pytest.mark.parametrize("published, shown", DATA.values(), ids=DATA.keys())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "text/html, text/event-stream;q=0.5", None])
def test_head(relay, topic, method, accept):
    """Section 5: the exact headers of the stream; HEAD shows the same; `Accept: */*` and none are accepted."""
    with relay.conn() as conn:
        conn.request(method, f"/sse?topic={topic}", [("Accept", accept)] if accept else [])
        head = conn.read_head()
        assert head.status == 200
        assert {name: head.get(name) for name in STREAM_HEADERS} == STREAM_HEADERS
        assert head.get("transfer-encoding") in (("chunked",) if method == "GET" else ("chunked", None))


def test_head_request_ends(relay, topic):
    """Section 5: HEAD is the head of the stream's answer, then the end; the connection goes on or closes."""
    with relay.conn() as conn:
        conn.request("HEAD", f"/sse?topic={topic}")
        head = conn.read_head()
        if head.get("connection") == "close":
            assert conn.ended()
        else:
            conn.request("GET", "/healthz")
            assert conn.read_answer().status == 200


def test_first_bytes(relay, topic):
    """Section 5: `retry:` and a comment go out at once, before `relay.live`."""
    with relay.live(topic) as stream:
        kinds = [kind for kind, _ in stream.parser.log]
        assert kinds[0] == "retry" and "comment" in kinds[: kinds.index("event")]
        assert stream.raw.startswith(b"retry: ")


def test_no_block_without_data(relay_with, redis, topic):
    """Many libraries deliver an empty message for a block without data, at each connect and heartbeat: there is none."""
    relay = relay_with("--heartbeat", "100ms", "--max-age", "3s")
    with relay.live(topic) as stream:
        redis.publish(topic, "between heartbeats")
        stream.wait_data("between heartbeats")
        stream.read_until(lambda: len(stream.parser.comments) > 3)
        stream.wait_end()
        *blocks, rest = stream.raw.decode().split("\n\n")
        assert rest == "" and len(blocks) == len(stream.events) == 3
        assert all("data: " in block for block in blocks)
        assert stream.events[-1].name == "relay.close" and stream.parser.log[-2][0] == "retry"


def test_retry_is_jittered(relay, topic):
    """Section 5: `retry: <jittered>`, so that clients do not come back all at once."""
    retries = set()
    for _ in range(12):
        with relay.live(topic) as stream:
            retries.update(stream.parser.retries)
    assert len(retries) > 1 and min(retries) > 0


def test_live_event_names_the_topics(relay, topic):
    """Section 5: `event: relay.live` with `data: {"topics":[...]}`."""
    with relay.stream(f"/sse?topics={topic}.a,{topic}.b") as stream:
        live = stream.wait_name("relay.live")
        assert sorted(json.loads(live.data)["topics"]) == [f"{topic}.a", f"{topic}.b"]


def test_events_arrive_in_order(relay, redis, topic):
    """What is published on a topic arrives there, in order, and nothing of another topic does."""
    with relay.live(topic) as stream, redis.client() as client:
        for n in range(500):
            client("PUBLISH", f"sse:{topic}", f"{n}")
            client("PUBLISH", f"sse:{topic}.other", "not for you")
        stream.wait_data("499")
        assert [e.data for e in stream.named("message")] == [str(n) for n in range(500)]


def test_http_1_0_is_close_delimited(relay, redis, topic):
    """The relay: close-delimited for HTTP/1.0, so no chunks there."""
    with relay.stream(topic, version="1.0") as stream:
        assert stream.head.get("transfer-encoding") is None
        stream.wait_live()
        redis.publish(topic, "old but well")
        stream.wait_data("old but well")
        assert stream.raw.startswith(b"retry: ")


def test_topics_parameter_is_split_after_decoding(relay, redis, topic):
    """Section 5: `topics` is split after decoding."""
    with relay.live(f"/sse?topics={topic}.a%2C{topic}.b") as stream:
        for name in "ab":
            redis.publish(f"{topic}.{name}", name)
            stream.wait_data(name)


def test_topic_parameter_is_never_split(relay, redis, topic):
    """Section 5: `topic` is never split; both can be mixed; unknown parameters are ignored."""
    with relay.live(f"/sse?topic={topic}.a,b&what=ever&topics={topic}.c&topic={topic}.d%2Ce&=&x") as stream:
        live = json.loads(stream.named("relay.live")[0].data)
        wanted = [f"{topic}.a,b", f"{topic}.c", f"{topic}.d,e"]
        assert sorted(live["topics"]) == wanted
        for name in wanted:
            redis.publish(name, name)
            stream.wait_data(name)


def test_a_topic_named_twice_delivers_once(relay, redis, topic):
    """A topic that stands twice in the request is still one subscription."""
    with relay.live(f"/sse?topics={topic},{topic}&topic={topic}") as stream:
        redis.publish(topic, "1")
        redis.publish(topic, "2")
        stream.wait_data("2")
        assert [e.data for e in stream.named("message")] == ["1", "2"]


def test_topic_of_any_characters(relay, redis, topic):
    """Section 4: a topic is 1 to 256 bytes of UTF-8; here with spaces, percent, umlauts and an emoji."""
    name = f"{topic} 100% gr\u00fc\u00df \U0001f600 /?&=#\"'"
    name += "x" * (256 - len(name.encode()))
    with relay.live(f"/sse?topic={quote(name, safe='')}") as stream:
        assert json.loads(stream.named("relay.live")[0].data)["topics"] == [name]
        redis.publish(name, "x")
        stream.wait_data("x")


def test_last_event_id_is_accepted(relay, redis, topic):
    """Section 5: a cursor as header or query; without a log it moves nothing, and breaks nothing."""
    headers = [("Last-Event-ID", "abc.0.k2-1")]
    with relay.live(f"/sse?topic={topic}&lastEventId=abc.0.k2-1&since=10m&last=5", headers=headers) as stream:
        redis.publish(topic, "on")
        stream.wait_data("on")


@data_table
def test_data_of_a_raw_message(relay, redis, topic, published, shown):
    """Bad input: data with CR, LF, CRLF, empty, 1 MiB, or starting with a space arrives unchanged."""
    with relay.live(topic) as stream:
        redis.publish(topic, published.encode())
        assert stream.wait_name("message").data == shown
        assert stream.named("message")[0].id == stream.named("relay.live")[0].id


def test_no_data_forges_a_field(relay, redis, topic):
    """Field notes: a CR in data must not begin a field of the publisher's choice."""
    with relay.live(topic) as stream:
        redis.publish(topic, "a\r\rid: 666\rretry: 1\r\revent: relay.reset\rdata: b\r\r")
        redis.publish(topic, "end")
        stream.wait_data("end")
        assert not stream.named("relay.reset")
        assert 1 not in stream.parser.retries and stream.events[-1].id != "666"


def test_as_topic(relay, redis, topic):
    """Section 5: `as=topic` makes the topic the event's name."""
    with relay.live(f"/sse?topics={topic}.a,{topic}.b&as=topic") as stream:
        redis.publish(f"{topic}.a", "1")
        redis.publish(f"{topic}.b", 'sse1 - - {"event":"named","data":"2"}')
        assert stream.wait_name(f"{topic}.a").data == "1"
        assert stream.wait_name(f"{topic}.b").data == "2"


def test_as_json(relay, redis, topic):
    """Section 5: `as=json` makes data an object with topic, event, id, time and data."""
    with relay.live(f"/sse?topic={topic}&as=json") as stream:
        redis.publish(topic, 'a "quoted"\r\nline \u2028')
        redis.publish(topic, 'sse1 - - {"event":"named","data":"2"}')
        is_ours = lambda e: not e.name.startswith("relay.")
        first, second = (json.loads(stream.wait_for(is_ours).data) for _ in range(2))
        assert first["topic"] == second["topic"] == topic
        assert first["data"].replace("\r\n", "\n") == 'a "quoted"\nline \u2028'
        assert (second["event"], second["data"]) == ("named", "2")
        assert first["id"] is None and {"topic", "event", "id", "time", "data"} <= first.keys()


def test_forms_share_a_topic(relay, redis, topic):
    """Each subscriber of one topic gets the form that it asked for."""
    forms = {form: relay.live(f"/sse?topic={topic}&as={form}") for form in ("data", "topic", "json")}
    redis.publish(topic, "same")
    forms["data"].wait_data("same")
    assert forms["topic"].wait_name(topic).data == "same"
    assert '"same"' in forms["json"].wait_for(lambda e: not e.name.startswith("relay.")).data
    for stream in forms.values():
        stream.close()


@pytest.mark.parametrize("form", ["xml", "", "JSON", "json%00", "json%00x", "%zz"])
def test_unknown_form(relay, topic, form):
    """Section 5: `as` is data, topic or json; anything else is refused with a sentence."""
    answer = relay.get(f"/sse?topic={topic}&as={form}")
    assert answer.status == 400 and "as" in json.loads(answer.body)["detail"]


def test_heartbeat(start_relay, topic):
    """Section 5: a comment as heartbeat; with `ping=1` it is the event `relay.ping` instead."""
    relay = start_relay("--heartbeat", "100ms").wait_ready()
    with relay.live(topic) as quiet, relay.live(f"/sse?topic={topic}&ping=1") as loud:
        seen = len(quiet.parser.comments)
        quiet.read_until(lambda: len(quiet.parser.comments) >= seen + 3)
        for _ in range(3):
            loud.wait_name("relay.ping")
        assert not quiet.named("relay.ping")


def test_heartbeat_does_not_cut_events(start_relay, redis, topic):
    """Heartbeats stand between events, never inside one."""
    relay = start_relay("--heartbeat", "100ms").wait_ready()
    with relay.live(topic) as stream, redis.client() as client:
        for n in range(300):
            client("PUBLISH", f"sse:{topic}", f"{n}\n" + "x" * 200)
        stream.wait_for(lambda e: e.data.startswith("299\n"))
        seen = len(stream.parser.comments)
        stream.read_until(lambda: len(stream.parser.comments) > seen)
        assert {len(e.data.partition("\n")[2]) for e in stream.named("message")} == {200}


def test_max_age(start_relay, redis, topic):
    """Options: with --max-age a stream ends by itself, properly, and the client is asked to come back."""
    relay = start_relay("--max-age", "1s").wait_ready()
    with relay.live(topic) as stream:
        stream.wait_end()
        assert stream.chunks[-1] == b"" and stream.parser.retries
    with relay.stream(topic, version="1.0") as stream:
        stream.wait_end()


def test_bytes_after_the_head_are_thrown_away(relay, redis, topic):
    """Bad input: bytes after a stream's request head are thrown away up to a limit."""
    with relay.stream(topic) as stream:
        stream.conn.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        stream.wait_live()
        stream.conn.send(b"\0\xff junk " * 10)
        redis.publish(topic, "still here")
        stream.wait_data("still here")


def test_endless_bytes_after_the_head_end_the_connection(relay, redis, topic):
    """Bad input: ... up to a limit, behind which the connection ends and nobody else notices."""
    ended = lambda: relay.metrics().get("sse_relay_disconnects_total", reason="input")
    before = ended()
    with relay.live(topic) as other, relay.live(topic) as stream:

        def pour():
            try:
                while True:
                    stream.conn.send(b"x" * 65536)
            except OSError:
                pass

        pourer = threading.Thread(target=pour)
        pourer.start()
        try:
            stream.wait_end()
        except Closed:
            pass
        pourer.join()
        redis.publish(topic, "unharmed")
        other.wait_data("unharmed")
        assert ended() == before + 1


def test_stream_with_a_body_in_the_request(relay, redis, topic):
    """A GET with a body: the body is bytes after the head, and no next request."""
    with relay.conn() as conn:
        conn.request("GET", f"/sse?topic={topic}", body=b"GET / HTTP/1.1\r\n\r\n")
        assert conn.read_head().status == 200
        parser = Parser()
        while not any(e.name == "relay.live" for e in parser.events):
            parser.feed(conn.read_chunk())


def test_keep_alive(relay):
    """The relay: keep-alive for everything but streams; `Connection: close` and HTTP/1.0 end it."""
    with relay.conn() as conn:
        for _ in range(3):
            conn.request("GET", "/healthz")
            assert conn.read_answer().status == 200
        conn.request("GET", "/nowhere")
        assert conn.read_answer().status == 404
        conn.request("HEAD", "/healthz")
        assert conn.read_answer("HEAD").status == 200
        conn.request("GET", "/healthz", [("Connection", "close")])
        assert conn.read_answer().get("connection") == "close"
        assert conn.ended()
    with relay.conn() as conn:
        conn.request("GET", "/healthz", version="1.0")
        assert conn.read_answer().status == 200
        assert conn.ended()


def test_empty_line_before_a_request(relay):
    """RFC 9112, 2.2: an empty line before the request line is ignored; old clients send one behind a body."""
    with relay.conn() as conn:
        for _ in range(2):
            conn.send(f"\r\nGET /healthz HTTP/1.1\r\nHost: {conn.host}\r\n\r\n".encode())
            assert conn.read_answer().status == 200


def test_keep_alive_of_http_1_0(relay):
    """An HTTP/1.0 client that asks for keep-alive is told whether it gets it."""
    with relay.conn() as conn:
        conn.request("GET", "/healthz", [("Connection", "keep-alive")], version="1.0")
        answer = conn.read_answer()
        assert answer.status == 200
        if (answer.get("connection") or "").lower() == "keep-alive":
            conn.request("GET", "/healthz", version="1.0")
            assert conn.read_answer().status == 200
        assert conn.ended()


def test_half_closed_client(relay, topic):
    """A client that has said all and shut its side still gets its answers, that of a POST too."""
    with relay.conn() as conn:
        conn.request("GET", "/nowhere")
        conn.request("POST", f"/sse?topic={topic}", body=b"x")
        conn.sock.shutdown(socket.SHUT_WR)
        assert [conn.read_answer().status for _ in range(2)] == [404, 200]
        assert conn.ended()


def test_head_of_errors(relay):
    """HEAD has no body, errors included: what follows on the connection is the next answer."""
    with relay.conn() as conn:
        for target, status in (("/nowhere", 404), ("/sse?topic=", 400), ("/", 200), ("/metrics", 200)):
            conn.request("HEAD", target)
            answer = conn.read_answer("HEAD")
            assert answer.status == status and int(answer.get("content-length")) > 0


def test_pipelining(relay, topic):
    """The relay: pipelined requests are answered in order, POSTs with bodies too, and a stream as the last."""
    with relay.conn() as conn:
        for n in range(20):
            conn.request("GET", "/healthz" if n % 2 else "/nowhere")
        conn.request("POST", f"/sse?topic={topic}", body=b"one")
        conn.request("POST", f"/sse?topic={topic}", body=b"two")
        conn.request("GET", f"/sse?topic={topic}")
        assert [conn.read_answer().status for _ in range(20)] == [404, 200] * 10
        assert [conn.read_answer().status for _ in range(2)] == [200, 200]
        assert conn.read_head().get("content-type") == "text/event-stream; charset=utf-8"


def test_request_in_single_bytes(relay, topic):
    """A request may arrive in any pieces."""
    with relay.conn() as conn:
        for byte in f"GET /healthz HTTP/1.1\r\nHost: {conn.host}\r\n\r\n".encode():
            conn.send(bytes([byte]))
        assert conn.read_answer().status == 200


def test_absolute_target(relay):
    """RFC 9112: a target in absolute form, as proxies send it, is understood."""
    host = "{}:{}".format(*relay.address)
    assert relay.get(f"http://{host}/healthz").status == 200
    assert relay.get("http://evil.example/healthz").status in (400, 421)


def test_many_streams(relay, redis, topic):
    """Encode once, share the bytes: 200 subscribers of one topic, over both workers, all get every event."""
    streams = [relay.stream(topic) for _ in range(200)]
    for stream in streams:
        stream.wait_live()
    for n in range(20):
        redis.publish(topic, f"{n}")
    for stream in streams:
        stream.wait_data("19")
        assert [e.data for e in stream.named("message")] == [str(n) for n in range(20)]
        stream.close()
