"""sse-publish history and topics: what Redis holds, as it holds it."""

import json
import os
import pty
import re
import subprocess

import pytest

from harness import json_lines, relay_env, run_publish, wait_until
from settings import DEADLINE, PUBLISH


def publish(redis, topic, *lines, options=()):
    """One durable event for each line."""
    text = "".join(f"{line}\n" for line in lines).encode()
    done = run_publish("--redis", redis.url, "--lines", *options, topic, stdin=text)
    assert done.returncode == 0, done.stderr


def ask(redis, *args, code=0):
    """The finished command; without complaint where it has to succeed."""
    done = run_publish(*args, "--redis", redis.url)
    assert done.returncode == code, (done.stdout[-2000:], done.stderr)
    return done


def history(redis, *args):
    """Its lines, of a run without complaint."""
    done = ask(redis, "history", *args)
    assert done.stderr == ""
    return done.stdout.splitlines()


def topics(redis, *args):
    """Its objects by topic; each topic once."""
    rows = json_lines(ask(redis, "topics", "--json", *args).stdout)
    by_topic = {row["topic"]: row for row in rows}
    assert len(by_topic) == len(rows)
    return by_topic


def on_terminal(*args, env=None):
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {"TERM": "xterm"} | (env or {})
    with subprocess.Popen(
        [PUBLISH, *args], stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=relay_env(env)
    ) as child:
        os.close(theirs)
        text = b""
        while piece := read_terminal(ours):
            text += piece
        os.close(ours)
        assert child.wait(DEADLINE) == 0, child.stderr.read()
    return text.decode().replace("\r\n", "\n")


def read_terminal(fd):
    try:
        return os.read(fd, 65536)
    except OSError:  # how a terminal ends
        return b""


# ---- history ----


def test_history_prints_the_data(redis, topic):
    publish(redis, topic, "one", "", "grüß dich")
    assert history(redis, topic) == ["one", "", "grüß dich"]


def test_history_is_what_a_relay_streams(relay, redis, topic):
    """--json has the objects of as=json, with their ids, in the same bytes."""
    relay.post(f"/sse?topic={topic}&event=greeting", '"q" \\ \u00e4 \n\t\x7f'.encode())
    relay.post(f"/sse?topic={topic}", b"")
    with relay.live(f"/sse?topic={topic}&as=json&last=2") as stream:
        streamed = [event.data for event in stream.events if event.name == "message"]
    assert history(redis, "--json", topic) == history(redis, "--output", "json", topic) == streamed
    assert [json.loads(line)["event"] for line in streamed] == ["greeting", None]


def test_history_on_a_terminal(redis, topic):
    """Nothing that was published acts on the terminal; elsewhere it is as it was published."""
    data = "red \033[31m\x07 C1 \x9b2J\r end\ntwo\tlines"
    done = run_publish("--redis", redis.url, topic, "-", stdin=data.encode())
    assert done.returncode == 0, done.stderr
    shown = on_terminal("history", topic, "--redis", redis.url)
    assert shown == "red ^[[31m^G C1 ^[[2J^M end\ntwo\tlines\n"
    assert ask(redis, "history", topic).stdout == data + "\n"


def test_history_in_pages(redis, topic):
    """Longer than any page; where to begin, and how many."""
    lines = [str(n) for n in range(5000)]
    publish(redis, topic, *lines, options=["--history", "10000"])
    assert history(redis, topic) == lines
    assert history(redis, topic, "--last", "3000") == lines[2000:]
    assert history(redis, topic, "--last", "9000") == lines
    assert history(redis, topic, "--count", "1500") == lines[:1500]
    assert history(redis, topic, "--last", "10", "--count", "2") == lines[-10:-8]


def test_history_since(redis, topic):
    publish(redis, topic, "a", "b", "c")
    events = [json.loads(line) for line in history(redis, "--json", topic)]
    log = f"sse:{{0}}:log:{topic}"
    redis("DEL", log)
    for event, ms in zip(events, (1000, 2000, 3000), strict=True):
        redis("XADD", log, f"{event['time'] + ms}-0", "e", json.dumps({"data": event["data"]}), "p", "0", "g", "1")
    begin = events[1]["time"] + 2000
    assert history(redis, topic, "--since", str(begin)) == ["b", "c"]
    assert history(redis, topic, "--since", str(begin + 1)) == ["c"]
    assert history(redis, topic, "--since", "1h") == ["a", "b", "c"]


def test_history_of_large_events(own_redis, topic):
    """A page that was made for small events, and then holds more than one answer of Redis may."""
    small = [str(n) for n in range(3000)]
    publish(own_redis, topic, *small, options=["--history", "10000"])
    event = json.dumps({"data": "x" * 1024 * 1024})
    with own_redis.client() as client:
        log = f"sse:{{0}}:log:{topic}"
        client.pipeline([("XADD", log, "*", "e", event, "p", "0", "g", "1")] * 66)
    sizes = [len(line) for line in history(own_redis, topic)]
    assert sizes == [len(line) for line in small] + [1024 * 1024] * 66
    assert len(history(own_redis, topic, "--last", "70")) == 70


def test_history_passes_over_what_is_no_event(redis, topic):
    """As a relay does; each is named, and the exit code says it."""
    publish(redis, topic, "a")
    log = f"sse:{{0}}:log:{topic}"
    for fields in (
        ("x", "y"),
        ("e", "no JSON", "p", "0", "g", "1"),
        ("e", '{"data":1}', "p", "0", "g", "1"),
        ("e", '{"data":"x"}', "p", "0"),
        ("e", '{"data":"x"}', "p", "zero", "g", "1"),
        ("e", '{"data":"x"}', "p", "0", "g", "one"),
    ):
        redis("XADD", log, "*", *fields)
    publish(redis, topic, "z")
    done = ask(redis, "history", topic, code=1)
    assert done.stdout == "a\nz\n"
    assert done.stderr.count("is passed over") == 6 and "6 entries are passed over" in done.stderr
    done = ask(redis, "history", topic, "--last", "2", code=1)
    assert done.stdout == "a\nz\n"
    for _ in range(20):
        redis("XADD", log, "*", "x", "y")
    done = ask(redis, "history", topic, code=1)
    assert done.stderr.count("is passed over") == 10 and "26 entries" in done.stderr


def test_history_of_an_older_birth(own_redis, relay_with, topic):
    """What the log holds of a clock that is gone has no id; no relay delivers it, and it is said."""
    publish(own_redis, topic, "old", "older")
    own_redis("DEL", "sse:{0}:clock")
    done = ask(own_redis, "history", topic)
    assert done.stdout == "" and "2 older events" in done.stderr
    publish(own_redis, topic, "new")
    done = ask(own_redis, "history", topic)
    assert done.stdout == "new\n" and "2 older events" in done.stderr
    assert history(own_redis, topic, "--last", "2") == ["new"]


def test_history_without_a_log(redis, topic):
    done = ask(redis, "history", topic)
    assert done.stdout == "" and "no log" in done.stderr and redis.url.removeprefix("redis://") in done.stderr
    redis("SET", f"sse:{{0}}:log:{topic}", "x")
    done = ask(redis, "history", topic, code=1)
    assert "WRONGTYPE" in done.stderr


def test_history_into_a_pipe_that_closes(redis, topic):
    """As in `sse-publish history news | head -1`."""
    publish(redis, topic, *["x" * 1000] * 2000, options=["--history", "10000"])
    argv = [PUBLISH, "--redis", redis.url, "history", topic]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=relay_env()) as child:
        assert child.stdout.readline() == b"x" * 1000 + b"\n"
        child.stdout.close()
        assert child.wait(DEADLINE) == 0
        assert child.stderr.read() == b""


def test_history_onto_a_full_disk(redis, topic):
    publish(redis, topic, "x")
    with open("/dev/full", "wb") as full:
        argv = [PUBLISH, "--redis", redis.url, "history", topic]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, env=relay_env(), check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr


# ---- topics ----


def test_topics(own_redis):
    publish(own_redis, "a", "1", "2", options=["--ttl", "2h"])
    publish(own_redis, "b", "1")
    publish(own_redis, "elsewhere", "1", options=["--prefix", "other"])
    events = [json.loads(line) for line in history(own_redis, "--json", "a")]
    rows = topics(own_redis)
    assert rows.keys() == {"a", "b"}
    assert rows["a"].keys() == {"topic", "length", "id", "time", "age_ms", "ttl_ms"}
    assert (rows["a"]["length"], rows["b"]["length"]) == (2, 1)
    assert (rows["a"]["id"], rows["a"]["time"]) == (events[1]["id"], events[1]["time"])
    assert 3600_000 < rows["a"]["ttl_ms"] <= 7200_000
    assert topics(own_redis, "--prefix", "other").keys() == {"elsewhere"}
    assert ask(own_redis, "topics", "--prefix", "none").stderr


def test_topics_as_text(own_redis):
    """Tabs between the columns, and nothing else."""
    publish(own_redis, "a b", "1")
    own_redis("PERSIST", "sse:{0}:log:a b")
    done = ask(own_redis, "topics")
    assert re.fullmatch(r"a b\t1\t[0-9a-z.-]+\t\d+[sm]\tnever\n", done.stdout)


def test_topics_without_a_log_or_a_last_id(own_redis):
    """The log is over, and the last id remembered; or the other way round; or neither is what it should be."""
    for topic in ("over", "forgotten", "broken", "older"):
        publish(own_redis, topic, "1", "2")
    before = topics(own_redis)
    own_redis("DEL", "sse:{0}:log:over", "sse:{0}:last:forgotten", "sse:{0}:log:broken")
    own_redis("SET", "sse:{0}:log:broken", "x")
    own_redis("DEL", "sse:{0}:last:broken", "sse:{0}:last:older", "sse:{0}:log:older")
    own_redis("XADD", "sse:{0}:log:older", "5-5", "e", "{}", "p", "0", "g", "1")
    rows = topics(own_redis)
    assert (rows["over"]["length"], rows["over"]["id"], rows["over"]["ttl_ms"]) == (0, before["over"]["id"], None)
    assert (rows["forgotten"]["length"], rows["forgotten"]["id"]) == (2, before["forgotten"]["id"])
    assert (rows["broken"]["length"], rows["broken"]["id"]) == (None, None)
    assert (rows["older"]["length"], rows["older"]["id"], rows["older"]["age_ms"]) == (1, None, None)
    assert "over\t0\t" in ask(own_redis, "topics").stdout


STRANGE = ["a?", "ab", "a[bc]", "ac", "a\\", "a\\\\", "a^", "a-b", "a:b", "ä", "]", "ax"]


def test_topics_by_pattern(own_redis):
    """`*` stands for anything, whatever else a topic may hold for itself."""
    for topic in STRANGE:
        publish(own_redis, topic, "x")
    assert topics(own_redis).keys() == set(STRANGE)
    for topic in STRANGE:
        assert topics(own_redis, topic).keys() == {topic}
    assert topics(own_redis, "a[*]").keys() == {"a[bc]"}
    assert topics(own_redis, "*\\").keys() == {"a\\", "a\\\\"}
    assert topics(own_redis, "a*b*").keys() == {"ab", "a[bc]", "a-b", "a:b"}
    assert topics(own_redis, "b").keys() == set()


def test_topics_are_not_confused_with_keys(own_redis):
    """An idempotency key may look like the end of another key."""
    publish(own_redis, "t", "x", options=["--key", "}:last:no", "--ttl", "1m"])
    own_redis("SET", "sse:{0}:last:{no}", "x")
    own_redis("SET", b"sse:{\0}:last:no", "x")
    own_redis("SET", b"sse:{0\0}:last:no", "x")
    assert topics(own_redis).keys() == {"t"}


@pytest.fixture
def many(own_redis):
    """12,000 topics."""
    names = [f"t{n}" for n in range(12000)]
    with own_redis.client() as client:
        for name in names:
            client.send("SET", f"sse:{{0}}:last:{name}", "b.1.5-0")
            client.send("XADD", f"sse:{{0}}:log:{name}", "5-0", "e", "{}", "p", "0", "g", "1")
        for _ in range(2 * len(names)):
            client.read()
    return names


def test_many_topics(own_redis, many):
    assert topics(own_redis).keys() == set(many)
    assert topics(own_redis, "t1*9").keys() == {t for t in many if t.startswith("t1") and t.endswith("9")}


def test_topics_on_a_terminal(own_redis):
    """Sorted and aligned under a heading."""
    for topic in ("zebra", "a-longer-topic", "Äther"):
        publish(own_redis, topic, "x")
    text = on_terminal("topics", "--redis", own_redis.url)
    assert text.startswith("\033[1mTOPIC ") and text.count("\033") == 2
    heading, *rows = on_terminal("topics", "--redis", own_redis.url, env={"NO_COLOR": "1"}).splitlines()
    assert [row.split()[0] for row in rows] == ["a-longer-topic", "zebra", "Äther"]
    assert len({len(row) for row in [heading, *rows]}) == 1
    assert {row.index(row.split()[2]) for row in rows} == {heading.index("LAST ID")}


def test_many_topics_on_a_terminal(own_redis, many):
    """More than are held back to be sorted: still each one of them, under one heading."""
    lines = on_terminal("topics", "--redis", own_redis.url, env={"NO_COLOR": "1"}).splitlines()
    assert lines[0].startswith("TOPIC")
    shown = [line.split()[0] for line in lines[1:]]
    assert sorted(shown) == sorted(many) and shown[:10000] == sorted(shown[:10000])


# ---- both ----


@pytest.mark.parametrize("command", [["history", "t"], ["topics"]])
def test_without_redis(own_redis, command):
    own_redis("ACL", "SETUSER", "blind", "on", ">pw", "+ping", "~*")
    blind = own_redis.url.replace("//", "//blind:pw@")
    done = run_publish(*command, "--redis", blind)
    assert done.returncode == 1 and "NOPERM" in done.stderr and "pw" not in done.stderr
    done = run_publish(*command, "--redis", own_redis.url.replace("//", "//blind:wrong@"))
    assert done.returncode == 1 and "REDIS_URL" in done.stderr and "wrong@" not in done.stderr
    own_redis.pause()
    done = run_publish(*command, "--redis", own_redis.url, "--timeout", "200ms")
    assert done.returncode == 3 and "in time" in done.stderr
    own_redis.resume()
    own_redis.stop()
    done = run_publish(*command, "--redis", own_redis.url)
    assert done.returncode == 3 and "cannot reach Redis" in done.stderr


def test_redis_dies_meanwhile(own_redis, topic):
    """Its answer will not come: that is the end, with what had come before."""
    publish(own_redis, topic, *["x" * 1000] * 20000, options=["--history", "100000"])
    argv = [PUBLISH, "--redis", own_redis.url, "history", topic]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=relay_env()) as child:
        child.stdout.readline()
        own_redis.stop()
        lines = child.stdout.read().splitlines()
        assert child.wait(DEADLINE) == 3 and b"lost Redis" in child.stderr.read()
    assert len(lines) < 19999 and set(lines) == {b"x" * 1000}
    wait_until(lambda: not own_redis.process.running, "the end of Redis")


@pytest.mark.parametrize(
    "command, rights",
    [
        (["history", "t", "--last", "1"], "+hgetall +time +xrange +xrevrange"),
        (["topics", "--json"], "+scan +hgetall +time +get +exists +xlen +pttl +xrevrange"),
    ],
)
def test_rights_that_suffice(own_redis, command, rights):
    """The lists of rights in the README are enough."""
    publish(own_redis, "t", "x")
    publish(own_redis, "orphan", "x")
    own_redis("DEL", "sse:{0}:last:orphan")
    own_redis("ACL", "SETUSER", "u", "reset", "on", ">p", "~sse:{*", *rights.split())
    done = run_publish(*command, "--redis", own_redis.url.replace("//", "//u:p@"))
    assert done.returncode == 0 and done.stdout and done.stderr == ""
