"""Resets: each reason by a real cause, told in-band, with the id from which the stream goes on; and whatever comes as a
cursor is answered with 200 and a reset, never with an error that kills an EventSource.
"""

import json
import tempfile
import time
import urllib.parse

import pytest
from checker import parse_id
from harness import publish_until_received, wait_until
from pair import Pair
from test_publish_durable import log_of, post
from test_publish_script import Domain
from test_resume import come_back, node, numbers_until, publish, publish_lines  # noqa: F401 (a fixture)

NODE = 100  # Redis trims a log by whole nodes of so many entries


def wait_reset(stream, reason, *topics):
    """The next reset, which has to be this one; its id."""
    reset = stream.wait_name("relay.reset")
    assert json.loads(reset.data) == {"topics": list(topics), "reason": reason}
    assert reset.id
    return reset.id


def goes_on(stream, relay, topic, data="after"):
    """A stream that lives: the next event comes, above the reset."""
    relay_id = publish(relay, topic, data)
    event = stream.wait_data(data)
    assert event.id == relay_id
    return event


def resets(stream):
    return [json.loads(e.data) for e in stream.named("relay.reset")]


# ---- trimmed ----


def test_trimmed_by_count(node, topic):  # noqa: F811
    """history=10: a client that was away for longer gets what there is, and is told that there was more."""
    cursor = post(node, f"topic={topic}&history=10", b"0")[topic]
    for n in range(1, 3 * NODE):
        post(node, f"topic={topic}&history=10", str(n).encode())
    with come_back(node, topic, cursor) as stream:
        assert wait_reset(stream, "trimmed", topic) == cursor
        stream.wait_data(str(3 * NODE - 1))
        numbers = [int(e.data) for e in stream.named("message")]
        assert numbers == list(range(numbers[0], 3 * NODE)) and 1 < numbers[0]
        assert goes_on(stream, node, topic) and len(resets(stream)) == 1


@pytest.mark.parametrize("options", [[], ["--ring-topic", "4KiB"], ["--linger", "0s"]], ids=["", "logs", "forgotten"])
def test_trimmed_by_hand(start_relay, own_redis, topic, options):
    """XTRIM: the reset names the topic that lost something and no other; a cursor behind the loss gets none."""
    relay = start_relay("--allow-anonymous-publish", *options, redis_url=own_redis.url).wait_ready()
    whole, cut = f"{topic}.whole", f"{topic}.cut"
    ids = [publish(relay, name, n) for n in range(50) for name in (whole, cut)]
    own_redis("XTRIM", f"sse:{{0}}:log:{cut}", "MAXLEN", "=", "10")
    with come_back(relay, f"{whole},{cut}", ids[21]) as stream:
        wait_reset(stream, "trimmed", cut)
        goes_on(stream, relay, cut)
        expected = [n for n in range(11, 50) for name in (whole, cut) if name == whole or n >= 40]
        assert [int(e.data) for e in stream.named("message")[:-1]] == expected
        assert len(resets(stream)) == 1
    # ids[78] is event 39 of `whole`: event 39 of `cut` is gone. ids[79] is that one: nothing is missing behind it.
    with come_back(relay, f"{whole},{cut}", ids[78]) as stream:
        wait_reset(stream, "trimmed", cut)
    with come_back(relay, f"{whole},{cut}", ids[79]) as stream:
        goes_on(stream, relay, cut, "again")
        assert not resets(stream) and [e.data for e in stream.named("message")][:2] == ["40", "40"]


@pytest.mark.parametrize("last_too", [False, True], ids=["log", "log and last"])
def test_log_that_vanished(start_relay, own_redis, topic, last_too):
    """DEL of the log, and of the topic's last id too: a reset, never silence."""
    relay = start_relay("--allow-anonymous-publish", "--linger", "0s", redis_url=own_redis.url).wait_ready()
    ids = [publish(relay, topic, n) for n in range(5)]
    own_redis("DEL", f"sse:{{0}}:log:{topic}")
    if last_too:
        own_redis("DEL", f"sse:{{0}}:last:{topic}")
        own_redis("HSET", "sse:{0}:clock", "memory", "1")  # a cursor of before is older than what Redis remembers
        relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    with come_back(relay, topic, ids[2]) as stream:
        wait_reset(stream, "trimmed", topic)
        own_redis("HSET", "sse:{0}:clock", "memory", str(7 * 24 * 3600 * 1000))
        goes_on(stream, relay, topic)
        assert len(stream.named("message")) == 1
    if not last_too:
        with come_back(relay, topic, ids[4]) as stream:
            goes_on(stream, relay, topic, "again")
            assert not resets(stream)


def test_stored_without_a_word(node, own_redis, topic):  # noqa: F811
    """An event that was stored and not announced, found by the next one of its topic. On a connection whose cursor an event
    of another topic has moved past it, it is told as lost; elsewhere it comes."""
    own_redis("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels")
    with own_redis.client() as client, node.live(topic) as one, node.live(f"/sse?topics={topic},{topic}.beside") as both:
        client("AUTH", "mute", "pw")
        quiet = Domain(own_redis, "sse", client)
        for number in (1, 4):
            for name, n in ((topic, number), (f"{topic}.beside", number + 1)):
                publish(node, name, n)
                both.wait_data(str(n))
            assert not quiet(topic, data=f"unheard {number}")[0]
            passing = publish(node, f"{topic}.beside", f"passing {number}")
            both.wait_data(f"passing {number}")
            publish(node, topic, number + 2)
            assert wait_reset(both, "trimmed", topic) == passing  # before its cursor goes on
            both.wait_data(str(number + 2))
        one.wait_data("6")
        assert [e.data for e in one.named("message")] == ["1", "unheard 1", "3", "4", "unheard 4", "6"] and not resets(one)
        expected = ["1", "2", "passing 1", "3", "4", "5", "passing 4", "6"]
        assert [e.data for e in both.named("message")] == expected and len(resets(both)) == 2


def test_all_was_seen_before_it_was_trimmed(node, own_redis, topic):  # noqa: F811
    """A cursor at the last event is complete though the log is empty."""
    cursor = publish(node, topic, 1, 2)
    own_redis("XTRIM", f"sse:{{0}}:log:{topic}", "MAXLEN", "=", "0")
    with come_back(node, topic, cursor) as stream:
        goes_on(stream, node, topic)
        assert not resets(stream)


# ---- birth ----


def test_flushall(node, own_redis, topic):  # noqa: F811
    """Another birth of the clock: whoever is connected is told, and whoever comes back with an old cursor."""
    with node.live(topic) as stream:
        old = publish(node, topic, 1)
        stream.wait_data("1")
        own_redis("FLUSHALL")
        new = publish(node, topic, 2)
        assert parse_id(new)[0] != parse_id(old)[0]
        at = wait_reset(stream, "birth", topic)
        assert parse_id(at)[0] == parse_id(new)[0]
        goes_on(stream, node, topic)
        assert [e.data for e in stream.named("message")] == ["1", "2", "after"] and len(resets(stream)) == 1
    with come_back(node, topic, old) as stream:
        wait_reset(stream, "birth", topic)
        goes_on(stream, node, topic, "again")
        assert [e.data for e in stream.named("message")] == ["2", "after", "again"] and len(resets(stream)) == 1


def test_flushall_while_nobody_watched(node, own_redis, topic):  # noqa: F811
    """The node had no subscription that could have told it: the cursor's birth is the one that it still believes in."""
    old = publish(node, topic, 1)
    own_redis("FLUSHALL")
    new = publish(node, topic, 2)
    with come_back(node, topic, old) as stream:
        at = wait_reset(stream, "birth", topic)
        assert parse_id(at)[0] == parse_id(new)[0]
        goes_on(stream, node, topic)
        assert [e.data for e in stream.named("message")] == ["2", "after"]


@pytest.mark.parametrize("options", [[], ["--ring-topic", "4KiB"]], ids=["ring", "log"])
def test_a_birth_and_a_log_that_is_short(start_relay, own_redis, topic, options):
    """The clock is deleted, and a burst pushes the first events of the new birth out of a short log: that something of
    what came since is gone is told as well, where the reset is."""
    own_redis("CONFIG", "SET", "stream-node-max-entries", "1")
    relay = start_relay("--allow-anonymous-publish", *options, redis_url=own_redis.url).wait_ready()
    old = publish(relay, topic, "old")
    own_redis("DEL", "sse:{0}:clock")
    for n in range(100):
        post(relay, f"topic={topic}&history=5", f"{n} {'x' * 500}".encode())
    assert len(log_of(own_redis, topic)) < 100
    with come_back(relay, topic, old) as stream:
        at = wait_reset(stream, "birth", topic)
        assert wait_reset(stream, "trimmed", topic) == at
        goes_on(stream, relay, topic)
        numbers = [int(e.data.split()[0]) for e in stream.named("message")[:-1]]
        assert numbers and numbers == list(range(numbers[0], 100)) and numbers[0] > 0
        assert len(resets(stream)) == 2


def test_cursor_of_another_deployment(node, topic):  # noqa: F811
    """Of another birth: told, and what came since the time of the cursor."""
    publish(node, topic, 1)
    time.sleep(0.01)  # ids of different milliseconds
    second = publish(node, topic, 2)
    elsewhere = "elsewhere." + second.split(".", 1)[1]
    with come_back(node, topic, elsewhere) as stream:
        wait_reset(stream, "birth", topic)
        stream.wait_live()
        goes_on(stream, node, topic)
        assert [e.data for e in stream.named("message")] == ["2", "after"] and len(resets(stream)) == 1


def test_cursor_on_a_redis_that_is_new(node, topic):  # noqa: F811
    with come_back(node, topic, "elsewhere.1.mf0000-0") as stream:
        assert stream.wait_name("relay.reset").data == json.dumps(
            {"topics": [topic], "reason": "birth"}, separators=(",", ":")
        )
        goes_on(stream, node, topic)


# ---- limit ----


def test_replay_limit(start_relay, own_redis, topic):
    """--replay-limit: a reconnect that would bring more is told, and goes on from now."""
    relay = start_relay("--allow-anonymous-publish", "--replay-limit", "100", redis_url=own_redis.url).wait_ready()
    cursor = publish(relay, topic, -1)
    publish_lines(own_redis, topic, range(500))
    with come_back(relay, topic, cursor) as stream:
        at = wait_reset(stream, "limit", topic)
        event = goes_on(stream, relay, topic)
        assert parse_id(event.id) > parse_id(at) and len(resets(stream)) == 1
        numbers = [int(e.data) for e in stream.named("message")[:-1]]
        assert numbers == list(range(len(numbers))), "what did come came from the beginning and without a hole"
    recent = [publish(relay, topic, n) for n in range(50)]
    with come_back(relay, topic, recent[0]) as stream:
        assert numbers_until(stream, 49)[-49:] == list(range(1, 50)) and not resets(stream)


# ---- failover ----


@pytest.fixture
def pair():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        made = Pair(directory)
        yield made
        made.stop()


@pytest.mark.parametrize("ahead_ms", [0, 5000], ids=["", "clock behind"])
def test_failover_that_lost_a_tail(start_relay, pair, topic, ahead_ms):
    """A promoted replica without the tail that clients have seen, its clock behind by seconds: who saw the tail is told,
    who did not misses nothing, and no id comes again for other content."""
    options = ["--allow-anonymous-publish", "--redis-timeout", "1s"]
    relay = start_relay(*options, redis_url=pair.url).wait_ready()
    publish(relay, topic, 0)
    if ahead_ms:  # the old master's clock ran ahead, so ids of now are in the future of the new one
        ms = int(pair.master("HGET", "sse:{0}:clock", "ms"))
        pair.master("HSET", "sse:{0}:clock", "ms", ms + ahead_ms)
    kept = publish(relay, topic, 1, 2)
    pair.replicated()
    pair.link.silence()
    with relay.live(topic) as stream:
        lost = [publish(relay, topic, f"lost {n}") for n in range(20)]
        stream.wait_data("lost 19")
        pair.fail_over()
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"3").status == 200, "a publish after the failover")
        at = wait_reset(stream, "failover", topic)
        assert parse_id(at) <= parse_id(kept) or parse_id(at)[1] > parse_id(kept)[1]
        goes_on(stream, relay, topic, "4")
        events = stream.named("message")
        assert [e.data for e in events] == [f"lost {n}" for n in range(20)] + ["3", "4"]
        ids = [parse_id(e.id) for e in events]
        assert ids == sorted(set(ids)) and len(resets(stream)) == 1
    with come_back(relay, topic, kept) as stream:
        assert numbers_until(stream, 4) == [3, 4] and not resets(stream)
    for cursor in (lost[0], lost[-1]):
        with come_back(relay, topic, cursor) as stream:
            wait_reset(stream, "failover", topic)
            stream.wait_data("4")
            assert [e.data for e in stream.named("message")] == ["3", "4"] and len(resets(stream)) == 1


def test_failover_that_lost_nothing(start_relay, pair, topic):
    """Nobody is told anything."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "1s", redis_url=pair.url).wait_ready()
    with relay.live(topic) as stream:
        publish(relay, topic, 1, 2)
        stream.wait_data("2")
        pair.replicated()
        pair.fail_over()
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"3").status == 200, "a publish after the failover")
        assert numbers_until(stream, 3) == [1, 2, 3]
        first = stream.named("message")[0].id
    with come_back(relay, topic, first) as stream:
        assert numbers_until(stream, 3) == [2, 3]


def test_restart_from_an_old_file(start_relay, own_redis, topic):
    """SAVE, some events more, kill -9: Redis comes back with what it had saved."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "1s", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        kept = publish(relay, topic, 1, 2)
        own_redis("SAVE")
        lost = publish(relay, topic, "lost")
        stream.wait_data("lost")
        own_redis.stop()
        own_redis.start()
        assert len(log_of(own_redis, topic)) == 2
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"3").status == 200, "a publish after the restart")
        wait_reset(stream, "failover", topic)
        stream.wait_data("3")
        assert [e.data for e in stream.named("message")] == ["1", "2", "lost", "3"]
    with come_back(relay, topic, kept) as stream:
        assert numbers_until(stream, 3) == [3]
    with come_back(relay, topic, lost) as stream:
        wait_reset(stream, "failover", topic)
        stream.wait_data("3")


def restart_from(redis, file):
    """Restart Redis with @file, of epoch 1, in another second than the present epoch began in; wait for the next one, and
    return its number."""
    begun = int(redis("HGET", "sse:{0}:clock", "epoch"))
    birth_ms = int(redis("HGET", "sse:{0}:clock", "from:1").split(b"-")[0])
    wait_until(lambda: int(redis("TIME")[0]) * 1000 >= birth_ms + begun * 1000, "another second")
    redis.stop()
    (redis.directory / "dump.rdb").write_bytes(file)
    redis.start()
    return int(wait_until(lambda: (n := redis("HGET", "sse:{0}:clock", "epoch")) != b"1" and n, "another epoch"))


def until_published(relay, topic):
    """/readyz may not know yet that Redis was away, and each of the relay's connections comes back for itself."""
    wait_until(lambda: relay.post(f"/sse?topic={topic}", b"x").status == 200, "a publish")


def live_id(relay, topic):
    with relay.live(topic) as stream:
        return stream.named("relay.live")[0].id


@pytest.mark.parametrize("quiet", [False, True], ids=["", "nothing published in it"])
def test_epoch_that_was_lost(start_relay, own_redis, topic, quiet):
    """A restart begins an epoch; then the file of before is restored, and another begins, behind the same one: whoever
    holds a cursor of the lost one is told, and gets what was published since."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "1s", redis_url=own_redis.url).wait_ready()
    kept = publish(relay, topic, 1, 2)
    own_redis("SAVE")
    file = (own_redis.directory / "dump.rdb").read_bytes()
    epoch = restart_from(own_redis, file)
    relay.wait_ready()
    if not quiet:
        until_published(relay, f"{topic}.other")
    lost = publish(relay, topic, "lost 1", "lost 2", "lost 3") if not quiet else None
    lost = wait_until(lambda: parse_id(at := lost or live_id(relay, topic))[1] == epoch and at, "the epoch's cursor")
    assert restart_from(own_redis, file) > epoch, "the number of the lost epoch was given again"
    until_published(relay, f"{topic}.other")
    publish(relay, topic, 3, 4)
    with come_back(relay, topic, kept) as stream:
        assert numbers_until(stream, 4) == [3, 4]
    with come_back(relay, topic, lost) as stream:
        at = wait_reset(stream, "failover", topic)
        assert parse_id(at) == parse_id(kept)
        goes_on(stream, relay, topic)
        assert [e.data for e in stream.named("message")] == ["3", "4", "after"] and len(resets(stream)) == 1


# What a replica holds that lacks the last event, and got another one since.
FAILED_OVER = """
local log, last, clock = KEYS[1], KEYS[2], KEYS[3]
redis.call('XDEL', log, ARGV[1])
redis.call('HSET', clock, 'epoch', '2', 'from:2', ARGV[2], 'ms', ARGV[3], 'seq', '0')
redis.call('XADD', log, ARGV[3] .. '-0', 'e', '{"data":"3"}', 'p', ARGV[4], 'g', '2')
redis.call('SET', last, ARGV[5])
"""


def test_failover_that_a_log_tells_first(start_relay, own_redis, topic):
    """A topic's last id is of an epoch that the node has not heard of: nothing of the log may be given out before the
    clock has said what of the past is gone."""
    relay = start_relay("--allow-anonymous-publish", "--linger", "0s", redis_url=own_redis.url).wait_ready()
    kept, lost = publish(relay, topic, 1), publish(relay, topic, "lost")
    birth, _, ms, seq = parse_id(kept)
    lost_ms, lost_seq = parse_id(lost)[2:]
    new = f"{birth}.2.{base36(lost_ms + 1)}-0"
    keys = [f"sse:{{0}}:log:{topic}", f"sse:{{0}}:last:{topic}", "sse:{0}:clock"]
    own_redis("EVAL", FAILED_OVER, "3", *keys, f"{lost_ms}-{lost_seq}", f"{ms}-{seq}", str(lost_ms + 1), kept, new)
    with come_back(relay, topic, lost) as stream:
        assert wait_reset(stream, "failover", topic) == kept
        assert stream.wait_data("3").id == new
        goes_on(stream, relay, topic)
        assert [e.data for e in stream.named("message")] == ["3", "after"] and len(resets(stream)) == 1


# ---- live ----


def test_live_events_that_were_dropped(node, own_redis, topic):  # noqa: F811
    """A lost connection on a topic that carried live events: told, and the durable ones of the same topic come anyway."""
    with node.live(topic) as stream:
        publish_until_received(own_redis, stream, topic, "live")
        publish(node, topic, 1)
        stream.wait_data("1")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        publish(node, topic, 2, 3)
        stream.read_until(lambda: resets(stream) and stream.named("message")[-1].data == "3")
        assert resets(stream) == [{"topics": [topic], "reason": "live"}]
        assert [e.data for e in stream.named("message") if e.data != "live"] == ["1", "2", "3"]


# ---- cursors that are none ----

BAD = {
    "malformed": "not-an-id",
    "number": "12345",
    "dots": "...",
    "of another form": "1600000000000-0",
    "10 KB": "x" * 10240,
    "10 KB of digits": "b.1." + "9" * 10240 + "-0",
    "control": "a\tb",
    "quotes": "\"'<>&",
    "huge numbers": "b.zzzzzzzzzzzzz.zzzzzzzzzzzzz-zzzzzzzzzzzzz",
}


@pytest.mark.parametrize("way", ["header", "query"])
@pytest.mark.parametrize("cursor", BAD.values(), ids=BAD.keys())
def test_bad_cursor(node, topic, cursor, way):  # noqa: F811
    """200, a reset, and then the stream as from now on."""
    publish(node, topic, 1)
    if way == "header":
        stream = come_back(node, topic, cursor)
    else:
        stream = node.stream(f"/sse?topic={topic}&lastEventId={urllib.parse.quote(cursor, safe='')}")
    with stream:
        assert stream.head.status == 200
        wait_reset(stream, "birth", topic)
        stream.wait_live()
        goes_on(stream, node, topic)
        assert len(stream.named("message")) == 1 and len(resets(stream)) == 1


@pytest.mark.parametrize("field", [1, 2, 3], ids=["epoch", "ms", "seq"])
def test_cursor_from_the_future(node, topic, field):  # noqa: F811
    """Above everything that was ever published: what it saw is gone, as after a failover."""
    parts = list(parse_id(publish(node, topic, 1)))
    parts[field] += 1000
    cursor = f"{parts[0]}.{base36(parts[1])}.{base36(parts[2])}-{base36(parts[3])}"
    with come_back(node, topic, cursor) as stream:
        at = wait_reset(stream, "failover", topic)
        event = goes_on(stream, node, topic)
        assert parse_id(at)[1:] < parse_id(event.id)[1:] and len(resets(stream)) == 1


def base36(number):
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


@pytest.mark.parametrize("way", ["header", "query"])
def test_empty_cursor(node, topic, way):  # noqa: F811
    """None at all: from now on, without a word."""
    publish(node, topic, 1)
    stream = come_back(node, topic, "") if way == "header" else node.stream(f"/sse?topic={topic}&lastEventId=")
    with stream:
        stream.wait_live()
        goes_on(stream, node, topic)
        assert len(stream.named("message")) == 1 and not resets(stream)


def test_cursor_that_redis_has_to_be_asked_about(node, own_redis, topic):  # noqa: F811
    """An id that this node has not heard of yet, of an event of a moment ago: not the future, no reset."""
    with node.live(f"{topic}.other"):
        for n in range(20):
            cursor = publish(node, topic, n)
            with come_back(node, f"{topic}.{n}", cursor) as stream:
                stream.wait_live()
                assert not resets(stream)


def test_event_source_gets_resets(node, own_redis, node_client, topic):  # noqa: F811
    """The npm package `eventsource` survives FLUSHALL and sees the reset as an event."""
    publish(node, topic, 1)
    client = node_client(f"{node.url}/sse?topic={topic}")
    client.wait_type("relay.live")
    own_redis("FLUSHALL")
    publish(node, topic, 2)
    reset = client.wait_type("relay.reset")
    assert json.loads(reset["data"]) == {"topics": [topic], "reason": "birth"}
    publish(node, topic, 3)
    client.wait_for(lambda r: r["type"] == "message" and r["data"] == "3")
