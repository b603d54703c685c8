"""The issue's table "Bad input", row by row. All of it hits the one relay that all files share, and a bystander
watches: after each attack it still receives what is published.
"""

import json
import socket

import pytest

from http_raw import Closed
from settings import DEADLINE


@pytest.fixture(autouse=True)
def bystander(relay, redis, topic):
    """Nobody else notices: this stream was there before, and works afterwards."""
    with relay.live(f"bystander.{topic}") as stream:
        yield
        redis.publish(f"bystander.{topic}", "unharmed")
        stream.wait_data("unharmed")


def assert_problem(answer, status, *words):
    """RFC 9457, with a sentence in it that says @words."""
    assert answer.status == status, answer
    assert answer.get("content-type") == "application/problem+json", answer
    problem = json.loads(answer.body)
    assert problem.get("status", status) == status
    sentence = problem["detail"]
    assert sentence[:1].isupper() and sentence.endswith("."), sentence
    for word in words:
        assert word in sentence, f"{word!r} is not in {sentence!r}"


def send_raw(relay, data):
    """Exactly these bytes on a connection of their own; the answer, after which the relay must close."""
    with relay.conn() as conn:
        try:
            conn.send(data)
        except ConnectionError:
            pass  # refused before all of it was sent: the answer is there to be read
        answer = conn.read_answer()
        try:
            assert conn.ended(), "something follows the refusal"
        except Closed:
            pass
        return answer


def head(relay, *lines, method="GET", target="/healthz"):
    """A request head with these lines in it."""
    host = f"Host: {relay.address[0]}:{relay.address[1]}"
    return "\r\n".join([f"{method} {target} HTTP/1.1", host, *lines, "", ""]).encode("latin-1")


BAD_TOPICS = {
    "none": ("/sse", "topic"),
    "none-but-others": ("/sse?as=json", "topic"),
    "empty": ("/sse?topic=", "1"),
    "empty-list": ("/sse?topics=", "1"),
    "empty-second": ("/sse?topics=a,,b", "2"),
    "empty-third": ("/sse?topic=a&topic=b&topic=&topic=c", "3"),
    "too-long": ("/sse?topic=a&topic=" + "x" * 257, "2"),
    "too-long-in-bytes": ("/sse?topic=" + "%C3%A4" * 129, "1"),
    "not-utf8": ("/sse?topics=a,%FF", "2"),
    "overlong-utf8": ("/sse?topic=%C0%AF", "1"),
    "surrogate": ("/sse?topic=%ED%A0%80", "1"),
    "nul": ("/sse?topic=a%00b", "1"),
    "line-feed": ("/sse?topic=a&topic=b%0Adata:x", "2"),
    "del": ("/sse?topic=%7F", "1"),
    "c1": ("/sse?topic=%C2%85", "1"),
    "star": ("/sse?topic=a*", "1"),
    "brace-open": ("/sse?topic=%7Ba", "1"),
    "brace-close": ("/sse?topic=a%7D", "1"),
    "reserved": ("/sse?topic=relay.x", "1"),
    "bad-percent": ("/sse?topic=a%zz", ""),
}


@pytest.mark.parametrize("target, word", BAD_TOPICS.values(), ids=BAD_TOPICS.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bad_topic(relay, method, target, word):
    """Row 1: no topic, or one that the rules refuse: 400, naming the topic by its position."""
    answer = relay.request(method, target, [("Accept", "text/event-stream")], b"x" if method == "POST" else None)
    assert_problem(answer, 400, word)


def test_longest_topic_is_good(relay, topic):
    """Row 1, the other side: 256 bytes are allowed."""
    relay.live(topic.ljust(256, "x")).close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_more_topics_than_allowed(start_relay, method):
    """Row 1: more topics than allowed; as many as are allowed work."""
    relay = start_relay("--max-topics", "3", "--allow-anonymous-publish").wait_ready()
    body = b"x" if method == "POST" else None
    assert_problem(relay.request(method, "/sse?topics=a,b,c,d", body=body), 400, "3")
    assert_problem(relay.request(method, "/sse?topics=a,b&topic=c&topic=d", body=body), 400, "3")
    relay.live("/sse?topics=a,b,c").close()


def test_ten_thousand_topics(relay):
    """Failure table: 10,000 topics: bounded by the head's limit, or by the number of topics."""
    many = ",".join(f"t{n}" for n in range(10000))
    assert_problem(send_raw(relay, head(relay, target=f"/sse?topics={many}")), 431)
    fitting = ",".join(f"{n:x}" for n in range(3500))
    assert_problem(relay.get(f"/sse?topics={fitting}"), 400)


@pytest.mark.parametrize("padding", [16 * 1024, 64 * 1024, 4 * 1024 * 1024])
def test_head_too_large(relay, padding):
    """Row 2: a request head over 16 KiB: 431, the connection ends."""
    assert_problem(send_raw(relay, head(relay, "X: " + "x" * padding)), 431)


def test_head_too_large_in_many_lines(relay):
    """Row 2: the sum counts, and the target too."""
    assert_problem(send_raw(relay, head(relay, *[f"X-{n}: {'x' * 1000}" for n in range(17)])), 431)
    assert_problem(send_raw(relay, head(relay, target="/" + "x" * 17000)), 431)


def test_too_many_headers(relay):
    """Row 2: thousands of tiny fields within 16 KiB neither."""
    assert send_raw(relay, head(relay, *["a:"] * 3500)).status in (400, 431)


def test_head_of_nearly_the_limit_is_good(relay):
    """Row 2, the other side: a head a little below 16 KiB is answered."""
    assert relay.get("/healthz", [("X", "x" * 16000)]).status == 200


def test_body_too_large_by_length(relay, topic):
    """Row 2: a body over 1 MiB: 413 as soon as the length says so."""
    lines = [f"Content-Length: {1048577}"]
    assert_problem(send_raw(relay, head(relay, *lines, method="POST", target=f"/sse?topic={topic}")), 413)


def test_absurd_length(relay, topic):
    """Row 2: a length that fits no integer, a negative one, one that is no number."""
    for length, allowed in (("9" * 30, (400, 413)), ("-1", (400,)), ("1e3", (400,)), ("0x10", (400,))):
        data = head(relay, f"Content-Length: {length}", method="POST", target=f"/sse?topic={topic}")
        assert send_raw(relay, data).status in allowed, length


def test_body_too_large_in_chunks(relay, topic):
    """Row 2: a body over 1 MiB whose length nobody announced: 413."""
    data = head(relay, "Transfer-Encoding: chunked", method="POST", target=f"/sse?topic={topic}")
    data += (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 17 + b"0\r\n\r\n"
    assert_problem(send_raw(relay, data), 413)


def test_body_of_exactly_the_limit_is_good(relay, topic):
    """Row 2, the other side: 1 MiB arrives whole, announced or in chunks."""
    with relay.live(topic) as stream:
        assert relay.post(f"/sse?topic={topic}", b"x" * 1048576).status == 200
        assert stream.wait_name("message").data == "x" * 1048576
        with relay.conn() as conn:
            conn.request("POST", f"/sse?topic={topic}", [("Transfer-Encoding", "chunked")], b"")
            conn.send((b"10000\r\n" + b"y" * 65536 + b"\r\n") * 16 + b"0\r\n\r\n")
            assert conn.read_answer().status == 200
        assert stream.wait_name("message").data == "y" * 1048576


def test_head_not_complete_in_time(start_relay):
    """Row 2: a head that is not complete in time (10 s, shorter here): 408; trickling does not buy time."""
    relay = start_relay("--header-timeout", "500ms").wait_ready()
    with relay.conn() as silent, relay.conn() as begun, relay.conn() as trickling:
        begun.send(b"GET /healthz HTTP/1.1\r\nHost:")
        trickling.send(b"GET /healthz HTTP/1.1\r\nX: ")
        trickling.sock.settimeout(0.05)
        for _ in range(int(DEADLINE / 0.05)):
            try:
                trickling.send(b"x")
                trickling.buffer += trickling.sock.recv(65536)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert_problem(begun.read_answer(), 408)
        assert begun.ended()
        assert_problem(trickling.read_answer(), 408)
        silent.take_all()  # never said a word: closed, with or without an answer


JUNK = {
    "words": b"hello there\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + bytes(range(1, 150)),
    "nul": b"\0" * 100,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "almost-http2": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "method": b"G\xc3\xa4T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no-version": b"GET /\r\n\r\n",
    "version-9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "version-word": b"GET / HTTP/one\r\nHost: localhost\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "space-in-target": b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_instead_of_http(relay, junk):
    """Row 2: junk instead of HTTP: 400 (505 for another version), the connection ends."""
    assert send_raw(relay, junk).status in (400, 505)


def test_client_that_leaves(relay, topic):
    """A client that goes in the middle of anything, by FIN or by RST, is no event for anybody."""
    for data in (b"", b"GET /s", head(relay)[:-1], head(relay, target=f"/sse?topic={topic}"), head(relay) * 50):
        with relay.conn() as conn:
            conn.send(data)
        with relay.conn() as conn:
            # With a linger of 0 close() resets.
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            conn.send(data)


@pytest.mark.parametrize("target", ["/nowhere", "/sse/", "/sse/a", "/SSE", "//", "/../etc/passwd", "/%73se?topic=a"])
def test_unknown_path(relay, target):
    """Row 3: an unknown path: 404."""
    assert_problem(relay.get(target), 404)


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    "path, allowed", [("/sse?topic=a", {"GET", "HEAD", "POST", "OPTIONS"}), ("/healthz", {"GET", "HEAD"}), ("*", {"OPTIONS"})]
)
def test_unknown_method(relay, method, path, allowed):
    """Row 3: an unknown method: 405 with Allow."""
    answer = relay.request(method, path)
    assert_problem(answer, 405)
    assert allowed <= {m.strip() for m in answer.get("allow").split(",")}


def test_post_elsewhere(relay):
    """Row 3: POST where nothing can be posted."""
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert_problem(relay.post(path, b"x"), 405)


BAD_POSTS = {
    "body-not-utf8": ("", b"\xff\xfe"),
    "body-cut-utf8": ("", "\u00e4".encode()[:1]),
    "body-surrogate": ("", b"\xed\xa0\x80"),
    "event-line-feed": ("&event=a%0Ab", b"x"),
    "event-cr": ("&event=a%0Db", b"x"),
    "event-nul": ("&event=%00", b"x"),
    "event-c1": ("&event=%C2%85", b"x"),
    "event-not-utf8": ("&event=%FF", b"x"),
    "event-error": ("&event=error", b"x"),
    "event-open": ("&event=open", b"x"),
    "event-relay": ("&event=relay.reset", b"x"),
    "event-too-long": ("&event=" + "x" * 129, b"x"),
    "retry-too-short": ("&retry=99", b"x"),
    "retry-too-long": ("&retry=3600001", b"x"),
    "retry-no-number": ("&retry=soon", b"x"),
    "retry-negative": ("&retry=-1000", b"x"),
    "retry-empty": ("&retry=", b"x"),
    "retry-huge": ("&retry=18446744073709552616", b"x"),
    "key-of-a-live-event": ("&live&key=k", b"x"),
    "history-of-a-live-event": ("&live&history=10", b"x"),
    "history-zero": ("&history=0", b"x"),
    "ttl-without-sense": ("&ttl=soon", b"x"),
}


@pytest.mark.parametrize("query, body", BAD_POSTS.values(), ids=BAD_POSTS.keys())
def test_bad_post(relay, redis, topic, query, body):
    """Row 4: invalid UTF-8, a control character in `event`, a reserved name: 400, and nothing is published."""
    with relay.live(topic) as stream:
        assert_problem(relay.post(f"/sse?topic={topic}{query}", body), 400)
        redis.publish(topic, "end")
        assert stream.wait_name("message").data == "end"


@pytest.mark.parametrize("name", ["errors", "Open", "relay", "relays.x", "x" * 128, "%C3%A4%20b"])
def test_good_event_names(relay, topic, name):
    """Row 4, the other side: what only looks like a reserved name is one's own."""
    assert relay.post(f"/sse?topic={topic}&event={name}", b"x").status == 200


FOREIGN_ORIGINS = ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", None])
def test_post_from_a_foreign_origin(relay, redis, topic, origin, content_type):
    """Row 5: POST from a foreign Origin, with text/plain too: 403, and nothing is published."""
    headers = [("Origin", origin)] + ([("Content-Type", content_type)] if content_type else [])
    with relay.live(topic) as stream:
        assert_problem(relay.post(f"/sse?topic={topic}", b"x", headers), 403, "rigin")
        redis.publish(topic, "end")
        assert stream.wait_name("message").data == "end"


FOREIGN_HOSTS = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8"]
FOREIGN_HOSTS += ["[::2]", ""]
LOCAL_HOSTS = ["localhost", "LocalHost:1234", "app.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:8080"]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("target", ["/sse?topic=a", "/healthz", "/"])
def test_foreign_host_on_a_loopback_listener(relay, host, target):
    """Row 5: a foreign Host on a loopback listener: 421, which stops DNS rebinding."""
    assert relay.get(target, host=host).status in ((421,) if host else (400, 421))


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_local_host(relay, host):
    """Row 5, the other side: names of this machine are no rebinding."""
    assert relay.get("/healthz", host=host).status == 200


def test_allowed_host(start_relay):
    """Row 5: --allowed-host names others, such as the one that a local proxy passes on."""
    relay = start_relay("--allowed-host", "sse.example").wait_ready()
    assert relay.get("/healthz", host="sse.example").status == 200
    assert relay.get("/healthz", host="SSE.example:443").status == 200
    assert relay.get("/healthz", host="x.sse.example").status == 421


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
BAD_HEADS = {
    "length-and-coding": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "coding-and-length": ["Transfer-Encoding: chunked", "Content-Length: 5"],
    "two-lengths": ["Content-Length: 5", "Content-Length: 6"],
    "two-equal-lengths": ["Content-Length: 5", "Content-Length: 5"],
    "list-of-lengths": ["Content-Length: 5, 5"],
    "coding-twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "coding-not-last": ["Transfer-Encoding: chunked, identity"],
    "obs-fold": ["X: a", " b"],
    "obs-fold-tab": ["X: a", "\tb"],
    "bare-cr-in-value": ["X: a\rb"],
    "bare-cr-before-name": ["\rX: a"],
    "nul-in-value": ["X: a\0b"],
    "space-before-colon": ["Content-Length : 5"],
    "space-in-name": ["X Y: a"],
    "no-colon": ["Nonsense"],
    "empty-name": [": a"],
}


@pytest.mark.parametrize("lines", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_bad_head(relay, topic, lines):
    """Row 6: what proxies and servers read differently: 400, and what follows is not taken for a request."""
    data = head(relay, *lines, method="POST", target=f"/sse?topic={topic}")
    answer = send_raw(relay, data + b"0\r\n\r\n" + SMUGGLED)
    assert answer.status in (400, 501) if "coding" in str(lines).lower() else answer.status == 400


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_bare_line_feed(relay, cut):
    """Row 6: a line of the head that ends in LF alone: 400."""
    lines = [f"GET /healthz HTTP/1.1", f"Host: {relay.address[0]}", "X: a"]
    data = "".join(line + ("\n" if n == cut else "\r\n") for n, line in enumerate(lines)) + "\r\n"
    assert_problem(send_raw(relay, data.encode()), 400)


def test_bare_line_feed_at_the_end(relay):
    """Row 6: the empty line that ends the head, too."""
    data = f"GET /healthz HTTP/1.1\r\nHost: {relay.address[0]}\r\n\n".encode()
    assert_problem(send_raw(relay, data), 400)


def test_host_is_needed_once(relay):
    """RFC 9112: a 1.1 request without Host, or with two: 400."""
    assert send_raw(relay, b"GET /healthz HTTP/1.1\r\n\r\n").status == 400
    assert send_raw(relay, head(relay, "Host: localhost")).status == 400


def test_coding_that_nobody_knows(relay, topic):
    """RFC 9112: a transfer coding other than chunked: 501 or 400, the connection ends."""
    data = head(relay, "Transfer-Encoding: gzip", method="POST", target=f"/sse?topic={topic}")
    assert send_raw(relay, data).status in (400, 501)


BAD_CHUNKS = [b"xyz\r\n", b"-1\r\n", b"5\r\nabcdeX", b"5\nabcde\r\n", b"F" * 17 + b"\r\n", b"5;\0\r\nabcde\r\n"]


@pytest.mark.parametrize("chunks", BAD_CHUNKS)
def test_bad_chunks(relay, topic, chunks):
    """Row 6: a body whose chunks are not well formed: 400 (413 where the size is absurd)."""
    data = head(relay, "Transfer-Encoding: chunked", method="POST", target=f"/sse?topic={topic}")
    assert send_raw(relay, data + chunks).status in (400, 413)


BAD_MESSAGES = {
    "not-utf8": b"\xff\xfe",
    "cut-utf8": b"abc\xe2\x82",
    "no-json": b"sse1 - - hello",
    "no-fields": b"sse1 ",
    "one-field": b"sse1 -",
    "half-json": b'sse1 - - {"data":"x"',
    "json-and-more": b'sse1 - - {"data":"x"}}',
    "array": b'sse1 - - ["data"]',
    "string": b'sse1 - - "data"',
    "null": b"sse1 - - null",
    "no-data": b'sse1 - - {"event":"a"}',
    "data-number": b'sse1 - - {"data":1}',
    "data-object": b'sse1 - - {"data":{}}',
    "event-number": b'sse1 - - {"data":"x","event":1}',
    "event-reserved": b'sse1 - - {"data":"x","event":"relay.live"}',
    "event-control": b'sse1 - - {"data":"x","event":"a\\nid: 1"}',
    "retry-text": b'sse1 - - {"data":"x","retry":"1000"}',
    "retry-range": b'sse1 - - {"data":"x","retry":1}',
    "id-alone": b'sse1 abc.0.1-1 - {"data":"x"}',
    "bad-id": b'sse1 no-id no-id {"data":"x"}',
    "data-not-utf8": b'sse1 - - {"data":"\xff"}',
    "lone-surrogate": b'sse1 - - {"data":"\\ud800"}',
    "deep": b"sse1 - - " + b'{"data":' * 50000,
    "huge-raw": b"x" * (1048576 + 1),
    "huge-data": b'sse1 - - {"data":"' + b"x" * (1048576 + 1) + b'"}',
    "huge-rest": b'sse1 - - {"data":"x","more":"' + b"x" * 7 * 1048576 + b'"}',
}


@pytest.mark.parametrize("message", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_bad_message(relay, redis, topic, message):
    """Row 8: a raw PUBLISH that is not UTF-8, an envelope that is wrong, or huge: dropped and counted."""
    before = relay.metrics().get("sse_relay_events_received_total", kind="malformed")
    with relay.live(topic) as stream:
        redis.publish(topic, message)
        redis.publish(topic, "end")
        assert stream.wait_name("message").data == "end"
    assert relay.metrics().get("sse_relay_events_received_total", kind="malformed") == before + 1


def test_bad_messages_are_logged_at_a_limited_rate(start_relay, redis, topic):
    """Row 8: a thousand of them make a few lines, none with the payload."""
    relay = start_relay().wait_ready()
    with relay.live(topic) as stream, redis.client() as client:
        before = len(relay.logs())
        client.pipeline([("PUBLISH", f"sse:{topic}", b"secret \xff")] * 1000)
        redis.publish(topic, "end")
        stream.wait_data("end")
        lines = relay.logs()[before:]
        assert 1 <= len(lines) < 100 and "secret" not in relay.err
    assert relay.metrics().get("sse_relay_events_received_total", kind="malformed") == 1000


@pytest.mark.parametrize("name", ["error", "open"])
def test_topic_that_is_no_event_name(relay, name):
    """as=topic makes the topic the event's name, and `error` and `open` are EventSource's own: 400 by position."""
    answer = relay.get(f"/sse?topics=fine,{name}&as=topic")
    assert answer.status == 400 and "Topic 2" in json.loads(answer.body)["detail"]
    with relay.stream(f"/sse?topic={name}&as=json") as stream:
        stream.wait_live()
