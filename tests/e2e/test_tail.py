"""`sse-publish tail`: what a relay streams, on standard output, each event once and in order, whatever happens on the way."""

import contextlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import ssl
import subprocess
import threading

import pytest

import harness
from harness import Process, json_lines, relay_env, run_publish, wait_until
from scripted import STREAM, Scripted, answer, flood, hold
from settings import DEADLINE, PUBLISH, sanitized, tool
from test_publish_durable import post

ENV = {"no_proxy": "*"}  # whatever the surroundings have


class Tail(Process):
    """A running `tail` with its output in files."""

    def __init__(self, directory, name, url, *args, env=None):
        argv = [PUBLISH, "tail", "--url", url, *args]
        super().__init__(argv, directory, name, env=relay_env(ENV | (env or {})))

    @property
    def lines(self):
        return self.out.split("\n")[:-1]

    def wait_lines(self, count):
        wait_until(lambda: len(self.lines) >= count or not self.running, f"{count} lines")
        assert len(self.lines) >= count, (self.out[-2000:], self.err)
        return self.lines

    def wait_err(self, words):
        wait_until(lambda: words in self.err, f"{words!r} in {self.err!r}")

    def end(self, number=signal.SIGTERM):
        self.signal(number)
        return self.wait()

    def peak_bytes(self):
        """Of its memory, so far."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture
def tail(tmp_path):
    """A function that starts `tail` on a URL; whatever still runs afterwards has to end well."""
    started = []

    def start(url, *args, **how):
        started.append(Tail(tmp_path, f"tail{len(started)}", url, *args, **how))
        return started[-1]

    yield start
    for one in started:
        if one.running:
            assert one.end() == 0, one.err
        assert not any(mark in one.err for mark in harness.SANITIZER_MARKS), one.err


@pytest.fixture
def serve():
    """A function that starts scripted servers."""
    started = []

    def start(*answers, **how):
        started.append(Scripted(*answers, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


def run_tail(url, *args, env=None):
    """`tail` to its end."""
    return run_publish("tail", "--url", url, *args, env=ENV | (env or {}))


def event(data, topic="t", name=None, id=None):
    """An event in the form as=json."""
    text = json.dumps({"topic": topic, "event": name, "id": id, "time": 1700, "data": data})
    return ((f"id: {id}\n" if id else "") + f"data: {text}\n\n").encode()


# ---- what it prints ----


def test_events_as_they_come(relay, redis, tail, topic):
    """From POST, from the command line and from redis-cli, in order; one topic: the data, lines and all."""
    watch = tail(relay.url, topic, "--since", "1h")
    post(relay, f"topic={topic}", b"by POST")
    watch.wait_lines(1)
    assert run_publish("--redis", redis.url, topic, "by the command line").returncode == 0
    watch.wait_lines(2)
    redis.publish(topic, "by redis-cli")
    watch.wait_lines(3)
    post(relay, f"topic={topic}&event=named", "two\nlines,\tgrüße\n".encode())
    assert watch.wait_lines(6) == ["by POST", "by the command line", "by redis-cli", "two", "lines,\tgrüße", ""]
    assert watch.err == ""


def test_several_topics(relay, tail, topic):
    """The topic and a tab in front of each line."""
    watch = tail(relay.url, f"{topic}.a", f"{topic}.b", "--since", "1h")
    post(relay, f"topic={topic}.a", b"1")
    post(relay, f"topic={topic}.b", b"2\n3")
    assert watch.wait_lines(3) == [f"{topic}.a\t1", f"{topic}.b\t2", f"{topic}.b\t3"]


@pytest.mark.parametrize("name", ["a,b", "a b", "a+b", "a&topic=b", "100%", "grüße", "#?/:", "%41", "=", "'\""])
def test_topics_of_all_kinds(relay, redis, topic, name):
    """None needs to be quoted for anything but the shell, a comma neither."""
    assert run_publish("--redis", redis.url, "-t", f"{topic}{name}", "x").returncode == 0
    done = run_tail(relay.url, "--since", "1h", "--count", "1", "--json", "--", f"{topic}{name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["topic"] == f"{topic}{name}"


def test_json(relay, redis, tail, topic):
    """An object a line, exactly as as=json has it."""
    watch = tail(relay.url, topic, f"{topic}.2", "--json", "--since", "1h")
    with relay.live(f"/sse?topic={topic}&topic={topic}.2&as=json") as stream:
        post(relay, f"topic={topic}&event=e&retry=2000", "a\r\n\0\x1b\"grüß\u2028".encode())
        post(relay, f"topic={topic}.2", b"")
        post(relay, f"topic={topic}", b"x" * 1000000)
        expected = [stream.wait_for(lambda e: not e.name.startswith("relay.")).data for _ in range(3)]
    assert watch.wait_lines(3) == expected
    first = json_lines(watch.out)[0]
    assert list(first) == ["topic", "event", "id", "time", "data"] and first["event"] == "e"


def test_live_events(relay, redis, tail, topic):
    """They have no id, and are printed all the same."""
    watch = tail(relay.url, topic, "--json")

    def attempt():
        redis.publish(topic, "raw")
        return watch.lines

    wait_until(attempt, "a live event")
    assert json_lines(watch.out)[0] | {"time": 0} == {
        "topic": topic, "event": None, "id": None, "time": 0, "data": "raw"
    }


def test_where_it_begins(relay, topic):
    """--since and --last; --count ends it."""
    for n in range(5):
        post(relay, f"topic={topic}", str(n).encode())
    for options, count, expected in [
        (["--since", "1h"], 5, "01234"), (["--since", "0"], 3, "012"), (["--last", "2"], 2, "34"), (["--last", "9"], 5, "01234")
    ]:
        done = run_tail(relay.url, topic, *options, "--count", count)
        assert (done.returncode, done.stdout, done.stderr) == (0, "".join(f"{c}\n" for c in expected), "")


def test_usage(relay):
    """What is wrong with the arguments is said before anything is asked."""
    for args in (["tail"], ["tail", "a", "--url", "http://"], ["tail", "a", "--url", "ftp://127.0.0.1"],
                 ["tail", "a", "--since", "x"], ["tail", "a", "--live"]):
        done = run_publish(*args, env=ENV)
        assert done.returncode == 2 and done.stderr.startswith("sse-publish: "), args


# ---- on a terminal ----


def on_terminal(url, *args, env=None):
    """What `tail` writes to a terminal, to its end."""
    ours, its = pty.openpty()
    child = subprocess.Popen([PUBLISH, "tail", "--url", url, *args], stdin=subprocess.DEVNULL, stdout=its,
                             stderr=subprocess.PIPE, env=relay_env(ENV | {"TERM": "xterm"} | (env or {})))
    os.close(its)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while piece := os.read(ours, 65536):
            seen += piece
    os.close(ours)
    assert child.wait(DEADLINE) == 0, child.stderr.read()
    child.stderr.close()
    return seen.decode().replace("\r\n", "\n")


def test_terminal(serve):
    """Topic and event name in colour, unless NO_COLOR says no; whatever an event holds, the terminal is not its to move."""
    server = serve(hold(STREAM + event("x", name="e") + event("\x1b[2J\x9b1m\x07\ty\x7f", topic="u")))
    plain = "t\te\tx\nu\t^[[2J^[[1m^G\ty^?\n"
    assert on_terminal(server.url, "t", "u", "--count", "2", env={"NO_COLOR": "1"}) == plain
    assert on_terminal(server.url, "t", "u", "--count", "2", env={"TERM": "dumb"}) == plain
    coloured = on_terminal(server.url, "t", "u", "--count", "2")
    assert coloured == "\x1b[36mt\x1b[0m\t\x1b[32me\x1b[0m\tx\n\x1b[36mu\x1b[0m\t^[[2J^[[1m^G\ty^?\n"
    assert on_terminal(server.url, "t", "--count", "1", env={"NO_COLOR": "1"}) == "e\tx\n"


# ---- coming back ----


def test_cursor(serve, tail):
    """By the standard: the last complete event's id, or an id alone; not of what broke off, nor one with a NUL. Without a
    word where streams end as they should."""
    head = b"retry: 100\n\n"
    server = serve(
        STREAM + head,
        STREAM + event("1", id="one") + b"id: never\ndata: {",
        STREAM + b"id: two\n\n" + b"id: never\0\n\nid: never\n",
        STREAM + event("3"),
        STREAM + b"\xef\xbb\xbfevent: relay.live\rid: four\rdata: {}\r\r",
        STREAM + b"id\n\n",
        hold(STREAM),
    )
    watch = tail(server.url, "t", "--last", "7")
    wait_until(lambda: len(server.requests) == 7, "seven requests")
    ids = [server.header(n, "Last-Event-ID") for n in range(7)]
    assert ids == [None, None, "one", "two", "two", "four", None]
    assert {server.target(n) for n in range(7)} == {"/sse?as=json&topic=t&last=7"}
    assert server.header(0, "Accept") == "text/event-stream"
    assert watch.wait_lines(2) == ["1", "3"] and watch.err == ""


def test_restarted_relay_while_events_are_published(start_relay, own_redis, tail, topic):
    """A relay that is killed and comes back, again and again: every durable event once and in order."""
    count, kills = 20000, 3
    port = harness.free_port()

    def start():
        one = start_relay("--retry", "100ms", redis_url=own_redis.url, listen=f"127.0.0.1:{port}").wait_ready()
        one.expect_clean = False
        return one

    node = start()
    watch = tail(node.url, topic, "--since", "1h")
    load = subprocess.Popen([PUBLISH, "--redis", own_redis.url, "--quiet", "--history", "1000000", "--lines", topic],
                            stdin=subprocess.PIPE, env=relay_env())

    def feed():
        with load.stdin as to:
            for n in range(count):
                to.write(f"{n}\n".encode())
                if n % (count // 20) == 0:  # as long as the kills take
                    wait_until(lambda: killed >= min(kills, n * kills // count) or not watch.running, "a kill")
                    to.flush()

    killed = 0
    feeder = threading.Thread(target=feed)
    feeder.start()
    for _ in range(kills):
        seen = len(watch.lines)
        watch.wait_lines(seen + 100)
        node.kill()
        killed += 1
        node = start()
    feeder.join()
    assert load.wait(DEADLINE) == 0
    assert watch.wait_lines(count) == [str(n) for n in range(count)]
    wait_until(lambda: watch.err.count("connected again") == kills, "the word that it is connected again")
    assert watch.err.count("trying again") == kills, watch.err


def test_another_relay(start_relay, own_redis, tail, proxy_to, topic):
    """It goes on at whichever relay answers at the address."""
    nodes = [start_relay("--retry", "100ms", "--allow-anonymous-publish", redis_url=own_redis.url).wait_ready() for _ in "ab"]
    proxy = proxy_to(nodes[0].address)
    watch = tail(f"http://127.0.0.1:{proxy.port}", topic, "--since", "1h")
    for n in range(6):
        post(nodes[0], f"topic={topic}", str(n).encode())
        watch.wait_lines(n + 1)
        proxy.upstream = nodes[(n + 1) % 2].address
        proxy.cut()
    assert watch.lines == [str(n) for n in range(6)]


def test_redirect(relay, serve, tail, topic):
    """Followed, cursor and all, from the beginning each time; the token goes with it as far as its own host and port."""
    there = answer(307, b"", f"Location: {relay.url}/sse?as=json&topic={topic}")
    final = serve(hold(STREAM + event("x")))
    here = serve(answer(302, b"", "Location: /other"), answer(302, b"", f"Location: {final.url}/sse"), there)
    done = run_tail(here.url, topic, "--count", "1", "--token", "secret")
    assert (done.returncode, done.stdout) == (0, "x\n")
    assert [here.header(n, "Authorization") for n in (0, 1)] == ["Bearer secret"] * 2
    assert here.target(1) == "/other"
    assert final.header(0, "Authorization") is None
    watch = tail(here.url, topic)
    wait_until(lambda: post(relay, f"topic={topic}", b"y") and watch.lines, "an event")


def test_outage(start_relay, redis, tail, topic):
    """Told once, however often it tries, and when it is over; it never gives up."""
    node = start_relay("--retry", "100ms", redis_url=redis.url).wait_ready()
    node.expect_clean = False
    port = node.address[1]
    watch = tail(node.url, topic, "--since", "1h", "--timeout", "100ms")
    wait_until(lambda: node.metrics()["sse_relay_subscribers"] == 1, "the subscriber")
    node.kill()
    watch.wait_err("trying again")
    with contextlib.closing(Scripted(answer(503), port=port)) as server:
        wait_until(lambda: len(server.requests) >= 3, "three attempts")
    again = start_relay("--retry", "100ms", redis_url=redis.url, listen=f"127.0.0.1:{port}").wait_ready()
    run_publish("--redis", redis.url, topic, "x")
    watch.wait_lines(1)
    assert re.fullmatch(
        rf"sse-publish: {again.url}/sse: .+; trying again\nsse-publish: {again.url}/sse: connected again\n", watch.err
    )


def test_drained_relay(start_relay, redis, tail, proxy_to, topic):
    """A stream that ends as HTTP says it does is no news."""
    first, second = (start_relay("--retry", "100ms", redis_url=redis.url).wait_ready() for _ in "ab")
    proxy = proxy_to(first.address)
    watch = tail(f"http://127.0.0.1:{proxy.port}", topic, "--since", "1h")
    wait_until(lambda: first.metrics()["sse_relay_subscribers"] == 1, "the subscriber")
    proxy.upstream = second.address
    assert first.terminate() == 0
    run_publish("--redis", redis.url, topic, "x")
    assert watch.wait_lines(1) == ["x"] and watch.err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_reset(start_relay, own_redis, tail, topic, form):
    """What is gone is told, on standard error, and as an object to programs."""
    publish = ["--redis", own_redis.url, "--history", "10", "--quiet", "--lines", topic]
    node = start_relay("--retry", "100ms", redis_url=own_redis.url).wait_ready()
    watch = tail(node.url, topic, "--since", "1h", "--output", form)
    run_publish(*publish, stdin=b"0\n")
    watch.wait_lines(1)
    assert node.terminate() == 0
    run_publish(*publish, stdin="".join(f"{n}\n" for n in range(1, 400)).encode())
    start_relay(redis_url=own_redis.url, listen=f"127.0.0.1:{node.address[1]}").wait_ready()
    watch.wait_err(f"sse-publish: events were missed on {topic}: trimmed\n")
    wait_until(lambda: "399" in watch.out, "the last event")
    if form == "text":
        numbers = [int(line) for line in watch.lines]
    else:
        before, reset, *behind = json_lines(watch.out)
        assert reset == {"event": "relay.reset", "id": before["id"], "data": {"topics": [topic], "reason": "trimmed"}}
        numbers = [int(one["data"]) for one in (before, *behind)]
    assert numbers[0] == 0 and numbers[1] > 1 and numbers[1:] == list(range(numbers[1], 400))


# ---- answers that are no stream ----


def test_204_ends_it(serve):
    done = run_tail(serve(answer(204)).url, "t")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("status, body, sentence", [
    (401, b'{"title":"Unauthorized","detail":"This topic needs a token."}', "it answers 401: This topic needs a token"),
    (404, b'{"title":"Not Found"}', "it answers 404: Not Found"),
    (403, b"<html>", "it answers 403"),
    (400, b'{"detail":"\\u001b[2J"}', "it answers 400: ^[[2J"),
    (418, b'["detail"]', "it answers 418"),
    (200, b"<html>", "it answers with application/problem+json and not with a stream; is that a relay?"),
    (304, b"", "it answers 304"),
])
def test_refused(serve, status, body, sentence):
    """What another attempt would not change ends it, with the sentence of the answer."""
    server = serve(answer(status, body))
    done = run_tail(server.url, "t")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sse-publish: {server.url}/sse: {sentence}\n"
    assert len(server.requests) == 1


def test_refused_by_a_relay(relay):
    done = run_tail(f"{relay.url}/nowhere", "t")
    assert done.returncode == 1
    assert done.stderr == (f"sse-publish: {relay.url}/nowhere/sse: it answers 404: Nothing is served at this path. "
                           "Streams and publishing are at /sse; the console is at /\n")


@pytest.mark.parametrize("status, headers", [(503, ["Retry-After: 1"]), (429, []), (500, []), (502, ["Retry-After: junk"])])
def test_refused_for_now(serve, status, headers):
    server = serve(answer(status, b'{"detail":"Come back."}', *headers), hold(STREAM + event("x")))
    done = run_tail(server.url, "t", "--count", "1")
    assert (done.returncode, done.stdout) == (0, "x\n")
    assert done.stderr == (f"sse-publish: {server.url}/sse: it answers {status}: Come back; trying again\n"
                           f"sse-publish: {server.url}/sse: connected\n")


def test_refused_for_too_long(serve):
    """--timeout bounds what comes before the first stream."""
    server = serve(answer(503, b'{"detail":"Full."}', "Retry-After: 3600"))
    done = run_tail(server.url, "t", "--timeout", "300ms")
    assert done.returncode == 1
    assert done.stderr.endswith("it answers 503: Full; given up after 0.3 s\n")


def test_nobody_there():
    url = f"http://127.0.0.1:{harness.free_port()}"
    done = run_tail(url, "t", "--timeout", "1s")
    assert done.returncode == 3
    assert re.fullmatch(rf"sse-publish: {url}/sse: .+; trying again\n"
                        rf"sse-publish: {url}/sse: .+; given up after 1 s; --url or SSE_URL says where the relay is\n", done.stderr)


def test_somebody_who_says_nothing(serve):
    done = run_tail(serve(hold()).url, "t", "--timeout", "300ms")
    assert done.returncode == 3 and "no answer; given up after 0.3 s" in done.stderr


@pytest.mark.parametrize("path, target", [
    ("", "/sse?"), ("/", "/sse?"), ("/sse", "/sse?"), ("/sse/", "/sse?"), ("/events", "/events/sse?"), ("/a/b/", "/a/b/sse?"),
    ("/a/sse", "/a/sse?"), ("/asse", "/asse/sse?"), ("?key=1", "/sse?key=1&"), ("/a%20b#c", "/a%20b/sse?"),
])
def test_base_url(serve, path, target):
    server = serve(answer(204))
    assert run_tail("http://127.0.0.1:1", "t", env={"SSE_URL": "x"}, *["--url", server.url + path]).returncode == 0
    assert server.target(0) == f"{target}as=json&topic=t"


def test_a_password_is_not_shown(serve):
    """The URL's user goes to the relay, not into messages; so does a token from the environment."""
    server = serve(answer(401))
    done = run_tail(server.url.replace("//", "//user:password@") + "?key=hidden", "t")
    assert server.header(0, "Authorization").startswith("Basic ")
    assert done.stderr == f"sse-publish: {server.url}/sse: it answers 401\n"
    done = run_publish("tail", "t", env=ENV | {"SSE_URL": server.url, "SSE_TOKEN": "secret"})
    assert server.header(1, "Authorization") == "Bearer secret" and "secret" not in done.stderr


# ---- headers and cookies ----


def cut_once():
    """A stream that ends after an event, then one that does not."""
    return STREAM + b"retry: 100\n\n" + event("x", id="a.1.0-1"), hold(STREAM + event("y", id="a.1.0-2"))


def test_headers(serve, tail, tmp_path):
    """From arguments, files and standard input, as curl has them; sent again each time; in place of our own."""
    server = serve(*cut_once())
    (tmp_path / "headers").write_bytes(b"Authorization: Custom secret\r\n\nX-Two: 2")
    watch = tail(server.url, "t", "-H", "X-One: 1", "-H", f"@{tmp_path}/headers", "--header", "X-Empty;", "-H", "Accept:",
                 "-H", "User-Agent: mine", env={"SSE_TOKEN": "unused"})
    assert watch.wait_lines(2) == ["x", "y"]
    for n in (0, 1):
        assert [server.header(n, name) for name in ("X-One", "X-Two", "Authorization", "User-Agent")] == [
            "1", "2", "Custom secret", "mine"]
        assert "\r\nX-Empty:\r\n" in server.requests[n] and server.header(n, "Accept") is None
        assert server.requests[n].count("Authorization") == 1
    argv = pathlib.Path(f"/proc/{watch.pid}/cmdline").read_text()
    assert "secret" not in argv
    done = run_publish("tail", "--url", server.url, "t", "--count", "1", "-H", "@-", env=ENV, stdin=b"X-In: put\n")
    assert done.returncode == 0 and server.header(2, "X-In") == "put"


def test_a_cursor_of_the_users(serve, tail):
    """-H Last-Event-ID says where the first stream begins; then the cursor is that of the last event."""
    server = serve(*cut_once())
    watch = tail(server.url, "t", "-H", "last-event-id: a.1.0-0")
    watch.wait_lines(2)
    assert [server.header(n, "Last-Event-ID") for n in (0, 1)] == ["a.1.0-0", "a.1.0-1"]
    assert server.requests[1].lower().count("last-event-id") == 1


def test_cookies(serve, tail, tmp_path):
    """name=value, or a file as curl writes it; those that come are kept for the next time."""
    first, second = cut_once()
    server = serve(first.replace(b"\r\n\r\n", b"\r\nSet-Cookie: node=7\r\n\r\n", 1), second)
    (tmp_path / "jar").write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tfrom\tjar\n")
    watch = tail(server.url, "t", "-b", "a=1; b=2", "--cookie", "c=3", "-b", tmp_path / "jar")
    watch.wait_lines(2)
    sent = [{*server.header(n, "Cookie").split("; ")} for n in (0, 1)]
    assert sent == [{"a=1", "b=2", "c=3", "from=jar"}, {"a=1", "b=2", "c=3", "from=jar", "node=7"}]


def test_secrets_stay_on_their_host(serve):
    """Authorization and cookies of the user's go no further than the token does."""
    final = serve(hold(STREAM + event("x")))
    here = serve(answer(302, b"", f"Location: {final.url}/sse"))
    done = run_tail(here.url, "t", "--count", "1", "-H", "Authorization: secret", "-H", "Cookie: secret=1")
    assert done.returncode == 0 and here.header(0, "Authorization") == "secret" and here.header(0, "Cookie") == "secret=1"
    assert "secret" not in final.requests[0]


@pytest.mark.parametrize("option, content, sentence", [
    ("@", None, "cannot read {}: No such file or directory"),
    ("@", b"A: b\nhunter2\n", "{}:2 is no header, which is \"Name: value\""),
    ("@", b"A: hunter2\0\n", "{}:1 holds a control character"),
    ("@", b"A: b\n" * 300000, "cannot read {}: it is longer than 1 MiB"),
    ("", None, "cannot read {}: No such file or directory"),
])
def test_files_that_do_not_serve(tmp_path, option, content, sentence):
    """2 and a sentence, before anything is asked for, which repeats nothing of what may be a secret."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    done = run_tail("http://127.0.0.1:1", "t", "-H" if option else "-b", f"{option}{path}")
    assert (done.returncode, done.stdout) == (2, "") and sentence.format(path) in done.stderr
    assert "hunter2" not in done.stderr


# ---- hostile servers ----


@pytest.mark.parametrize("head, piece, sentence", [
    (STREAM, b"x" * 65536, "it sends a line or an event of more than 8 MiB, as no relay does"),
    (STREAM, b"data: " + b"x" * 1000 + b"\n", "it sends a line or an event of more than 8 MiB, as no relay does"),
    (b"HTTP/1.1 200 OK\r\n", (b"A: " + b"b" * 1000 + b"\r\n") * 10, "the head of its answer does not end"),
    (b"HTTP/1.1 200 OK\r\nA: ", b"b" * 65536, ""),
    (b"HTTP/1.1 404 No\r\n\r\n", b"x" * 65536, "it answers 404"),
    (b"", b"\0" * 65536, ""),
], ids=["line", "event", "head", "header", "refusal", "nothing"])
def test_endless(serve, tail, head, piece, sentence):
    """It takes a bounded part of what never ends, and ends with a sentence."""

    server = serve(flood(head, piece))
    watch = tail(server.url, "t", "--timeout", "24h")
    peak = 0

    def look():
        nonlocal peak
        with contextlib.suppress(OSError, TypeError):  # it ended meanwhile
            peak = max(peak, watch.peak_bytes())
        return not watch.running

    wait_until(look, "its end")
    assert watch.wait() == 1 and watch.out == ""
    assert watch.err.startswith(f"sse-publish: {server.url}/sse: {sentence}") and watch.err.count("\n") == 1
    wait_until(lambda: server.cut, "the end of the connection")
    if not sanitized():
        assert peak < 100 * 1024 * 1024


def test_comments_for_ever(serve, tail):
    """They are no event and take no memory; nor does an event cost any once it is printed."""
    server = serve(flood(STREAM, (b":" * 1000 + b"\n") * 60 + event("x" * 4000)))
    watch = tail(server.url, "t")
    watch.wait_lines(1000)
    if not sanitized():
        assert watch.peak_bytes() < 50 * 1024 * 1024


def test_a_byte_at_a_time(serve):
    """A stream may come in any pieces."""

    def trickle(sock, _server):
        for byte in STREAM + b"\xef\xbb\xbfretry: 1\r\n\r\n" + event("grüße"):
            sock.sendall(bytes([byte]))
        sock.recv(1)

    done = run_tail(serve(trickle).url, "t", "--count", "1")
    assert (done.returncode, done.stdout) == (0, "grüße\n")


@pytest.mark.parametrize("data", [b"data: hello\n\n", b'data: {"topic":1,"data":"x"}\n\n', b"data: []\n\n",
                                  b'data: {"topic":"t","data":{}}\n\n', b"event: relay.reset\ndata: x\n\n"])
def test_a_stream_of_somebody_else(serve, data):
    """What is no relay's is not taken for one's."""
    server = serve(hold(STREAM + event("x") + data))
    done = run_tail(server.url, "t")
    assert (done.returncode, done.stdout) == (1, "x\n")
    assert done.stderr == f"sse-publish: what {server.url}/sse sends is not what a relay sends for as=json\n"


def test_json_over_several_lines_is_one(serve):
    """An object a line, also where a server writes it over several."""
    server = serve(hold(STREAM + b'data: {"topic":"t",\ndata:\ndata: "data":"x\\ny"}\n\n'))
    done = run_tail(server.url, "t", "--json", "--count", "1")
    assert done.stdout == '{"topic":"t",  "data":"x\\ny"}\n'


def test_retry_is_bounded(serve, tail):
    """A server can ask for patience, and not for a storm or for ever."""
    server = serve(STREAM + b"retry: 0\n\n", STREAM + b"retry: 1\n\n", hold(STREAM))
    watch = tail(server.url, "t")
    wait_until(lambda: len(server.requests) == 3, "three requests")
    assert watch.err == ""


# ---- its end ----


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(serve, tail, number):
    """A signal is the end of what is endless, and too early for --count."""
    server = serve(hold(STREAM + event("x")))
    for options, code in ([], 0), (["--count", "2"], 128 + number):
        watch = tail(server.url, "t", *options)
        watch.wait_lines(1)
        assert watch.end(number) == code and watch.err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_under_load(serve, tail, number):
    """A server that never pauses keeps no signal from being heard."""
    server = serve(flood(STREAM + event("x"), b":\n" * 30000))
    watch = tail(server.url, "t")
    watch.wait_lines(1)
    wait_until(lambda: server.sent > 10, "the flood")
    assert watch.end(number) == 0 and watch.err == ""


def start_into_pipe(url, *args):
    return subprocess.Popen([PUBLISH, "tail", "--url", url, "t", *args], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=relay_env(ENV))


def finish(child):
    err = child.communicate(timeout=DEADLINE)[1].decode()
    return child.returncode, err


def test_standard_output_closed(serve):
    """As by `head`: no error, and it does not take another event to notice."""
    child = start_into_pipe(serve(hold(STREAM + event("x"))).url)
    assert child.stdout.readline() == b"x\n"
    child.stdout.close()
    assert finish(child) == (0, "")


def test_standard_output_closed_under_load(serve):
    server = serve(flood(STREAM, event("x" * 1000)))
    child = start_into_pipe(server.url)
    assert child.stdout.readline() == b"x" * 1000 + b"\n"
    child.stdout.close()
    assert finish(child) == (0, "")


def test_disk_full(serve):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PUBLISH, "tail", "--url", serve(hold(STREAM + event("x"))).url, "t"], stdout=full,
                              stderr=subprocess.PIPE, env=relay_env(ENV), timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"sse-publish: cannot write to standard output: No space left on device\n"


def is_full(pid):
    """Whether the pipe that is its standard output has no room."""
    pipe = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [pipe], [], 0)[1]
    finally:
        os.close(pipe)


def is_asleep(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_signal_while_nobody_reads(serve):
    """A reader that stopped reading does not keep it from ending."""
    server = serve(flood(STREAM, event("x" * 1000)))
    child = start_into_pipe(server.url)
    assert child.stdout.read(1) == b"x"
    wait_until(lambda: is_full(child.pid) and is_asleep(child.pid), "its wait")
    child.terminate()
    assert child.wait(DEADLINE) == 0
    assert finish(child) == (0, "")


# ---- over TLS ----


@pytest.fixture
def certificate(tmp_path):
    """Of 127.0.0.1, signed by itself: (certificate, key)."""
    assert tool("openssl"), "openssl is missing: make deps-test installs it"
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
                   check=True, capture_output=True)
    return files


def test_https(serve, certificate):
    """With a certificate that the environment trusts, as curl does; without it, not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = serve(hold(STREAM + event("x")), tls=context)
    nothing = {"SSL_CERT_FILE": "", "CURL_CA_BUNDLE": ""}
    for name in nothing:
        done = run_tail(server.url, "t", "--count", "1", env=nothing | {name: str(certificate[0])})
        assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
    done = run_tail(server.url, "t", "--count", "1", "--timeout", "24h", env=nothing)
    assert (done.returncode, done.stdout) == (1, "") and "certificate" in done.stderr
