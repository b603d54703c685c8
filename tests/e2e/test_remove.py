"""`sse-publish rm`: a topic's log is deleted in one step, and whoever reads it is told, wherever and whenever."""

import json
import subprocess
import threading

import pytest

from checker import parse_id
from harness import json_lines, run_publish, wait_until
from publisher import Publisher, length_of
from settings import DEADLINE

LOG, LAST = "sse:{{0}}:log:{}", "sse:{{0}}:last:{}"


def publish(redis, topic, *lines):
    """The ids of the events."""
    done = run_publish("--redis", redis.url, "--lines", topic, stdin="".join(f"{line}\n" for line in lines).encode())
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def remove(redis, *args, code=0, url=None):
    done = run_publish("rm", *args, "--redis", url or redis.url)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture
def nodes(start_relay, redis):
    return [start_relay().wait_ready() for _ in "ab"]


def told(stream):
    """The resets that it was sent."""
    return [json.loads(e.data) for e in stream.named("relay.reset")]


def trimmed(topic):
    return {"topics": [topic], "reason": "trimmed"}


def data_of(stream):
    return [e.data for e in stream.named("message")]


def test_who_is_connected_is_told_at_once(nodes, redis, topic):
    """On every node, without another event; the next one comes as if nothing had been, and nobody else notices."""
    publish(redis, topic, "one", "two")
    streams = [node.live(f"/sse?topics={topic},{topic}.other") for node in nodes] + [nodes[0].live(f"{topic}&last=1")]
    bystander = nodes[0].live(f"{topic}.other")
    assert remove(redis, topic).stdout == f"{topic}\t2\n"
    for stream in streams:
        assert json.loads(stream.wait_name("relay.reset").data) == trimmed(topic)
    (after,) = publish(redis, topic, "three")
    publish(redis, f"{topic}.other", "end")
    for stream in streams[:2]:
        assert stream.wait_data("end") and data_of(stream) == ["three", "end"]
        assert [e.id for e in stream.named("message")][0] == after and told(stream) == [trimmed(topic)]
    assert streams[2].wait_data("three") and data_of(streams[2]) == ["two", "three"]
    assert bystander.wait_data("end") and told(bystander) == []
    for node in nodes:
        assert node.metrics().get("sse_relay_events_received_total", kind="malformed") == 0
    for stream in [*streams, bystander]:
        stream.close()


@pytest.mark.parametrize("known", [True, False], ids=["a node that knew it", "a node that did not"])
def test_who_comes_back_is_told(nodes, redis, topic, known):
    """Whatever its cursor, before the next event and behind it; what was deleted is not replayed from anybody's memory."""
    ids = publish(redis, topic, "one", "two", "three")
    keeper = nodes[0].live(f"{topic}&last=3") if known else None  # the node has all of them at hand
    remove(redis, topic)
    if keeper:
        keeper.wait_name("relay.reset")
    for _ in range(2):
        for cursor in ids:
            with nodes[0].stream(f"{topic}&lastEventId={cursor}") as stream:
                stream.wait_name("relay.live")
                assert told(stream) == [trimmed(topic)] and data_of(stream) == data_of_log(redis, topic)
        publish(redis, topic, "four")
    if keeper:
        keeper.close()


def data_of_log(redis, topic):
    return [json.loads(fields[1])["data"] for _, fields in redis("XRANGE", LOG.format(topic), "-", "+")]


def test_who_begins_afterwards(nodes, redis, topic):
    """Without a cursor there is nothing to be told: last= and nothing begin with what there is; the cursor given is a good one."""
    publish(redis, topic, "one", "two")
    remove(redis, topic)
    with nodes[0].stream(topic) as plain, nodes[1].stream(f"{topic}&last=5") as last:
        cursors = [stream.wait_name("relay.live").id for stream in (plain, last)]
        publish(redis, topic, "three")
        for stream in (plain, last):
            stream.wait_data("three")
            assert told(stream) == [] and data_of(stream) == ["three"]
    for cursor in cursors:
        with nodes[1].stream(f"{topic}&lastEventId={cursor}") as stream:
            stream.wait_name("relay.live")
            assert told(stream) == [] and data_of(stream) == ["three"]


def test_ids_go_on(redis, topic):
    """What is published next has an id above all that were given out, in the order of the topic's events."""
    before = publish(redis, topic, "one")[-1]
    remove(redis, topic)
    last = redis("GET", LAST.format(topic)).decode()
    assert parse_id(before) < parse_id(last) < parse_id(publish(redis, topic, "two")[0])
    assert int(redis("PTTL", LAST.format(topic))) > 0


def test_many_at_once(redis, topic):
    """Each for itself; what has no log is said and is no failure; --json; -t."""
    publish(redis, f"{topic}.a", "one")
    publish(redis, f"{topic}.b", "one", "two")
    done = remove(redis, f"{topic}.a", f"{topic}.none", f"{topic}.b", "--json")
    rows = json_lines(done.stdout)
    assert [(row["topic"], row["deleted"], row["announced"]) for row in rows] == [(f"{topic}.a", 1, True), (f"{topic}.b", 2, True)]
    assert [row["id"] for row in rows] == [redis("GET", LAST.format(row["topic"])).decode() for row in rows]
    assert f"the topic {topic}.none has no log" in done.stderr
    assert length_of(redis, f"{topic}.a") == 0
    listed = json_lines(run_publish("topics", f"{topic}.*", "--json", "--redis", redis.url).stdout)
    assert {row["topic"]: row["length"] for row in listed} == {f"{topic}.a": 0, f"{topic}.b": 0}
    done = remove(redis, "-t", "rm", f"{topic}.a")
    assert done.stdout == "" and done.stderr.count("has no log") == 2
    assert not redis("EXISTS", LAST.format(f"{topic}.none"))


def test_beside_publishers_and_readers(nodes, redis, topic):
    """Deleted again and again while thousands of events are published: readers see numbers that rise, and are told of
    each gap; at the end all have the last one."""
    streams = [node.live(topic) for node in nodes]
    with Publisher(redis, "--rate", "5000/s", "--count", "10000", "--repeat", "10000", topic, "-") as publisher:
        publisher.child.stdin.close()
        deleted = 0
        while publisher.child.poll() is None:
            deleted += bool(remove(redis, topic).stdout)
        assert publisher.wait() == 0 and deleted > 0
    end = publish(redis, topic, "end")[0]
    for stream in streams:
        stream.wait_data("end")
        ids = [parse_id(e.id) for e in stream.named("message")]
        assert ids == sorted(set(ids)) and ids[-1] == parse_id(end)
        assert told(stream) in ([], *([trimmed(topic)] * n for n in range(1, deleted + 1)))
        assert len(ids) == 10001 or told(stream), "events are missing, and it was not told"
        stream.close()


# ---- what goes wrong ----


def test_a_key_of_somebody_else(redis, topic):
    """Nothing of theirs is deleted."""
    redis("LPUSH", LOG.format(topic), "x")
    done = remove(redis, topic, code=1)
    assert f"{topic}: Redis refused: a key in Redis" in done.stderr and redis("LLEN", LOG.format(topic)) == 1


def test_a_full_redis(start_relay, own_redis, topic):
    """The log goes all the same; its readers are told where that made room, and else it is said that they were not."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    publish(own_redis, topic, *["x" * 1000] * 3000)
    with relay.live(topic) as stream:
        used = int(next(line for line in own_redis("INFO", "memory").decode().split("\r\n") if line.startswith("used_memory:")).split(":")[1])
        own_redis("CONFIG", "SET", "maxmemory", used - 500000)
        assert remove(own_redis, topic).stdout == f"{topic}\t0\n"
        assert json.loads(stream.wait_name("relay.reset").data) == trimmed(topic)
    own_redis("CONFIG", "SET", "maxmemory", 0)
    publish(own_redis, topic, "x")
    own_redis("CONFIG", "SET", "maxmemory", 1)
    done = remove(own_redis, topic, code=1)
    assert f"{topic}: its log is deleted, but its readers cannot be told: Redis is out of memory" in done.stderr
    assert not own_redis("EXISTS", LOG.format(topic))


def test_rights(own_redis, topic):
    """Those of a publisher; without the channel's right it is said that who is connected is not told."""
    publish(own_redis, topic, "x")
    rights = ["+eval", "+info", "+time", "+get", "+set", "+del", "+pexpire", "+hmget", "+hget", "+hset", "+xadd", "+xrevrange",
              "+publish", "+xlen", "+exists", "+client|setname", "+ping"]
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "resetchannels", "~sse:{*", *rights)
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    done = remove(own_redis, topic, code=1, url=url)
    assert done.stdout == f"{topic}\t1\n" and "are told with its next event only" in done.stderr
    own_redis("ACL", "SETUSER", "some", "&sse:*")
    publish(own_redis, topic, "x")
    assert remove(own_redis, topic, url=url).stderr == ""
    own_redis("ACL", "SETUSER", "some", "-xlen")
    publish(own_redis, topic, "x")
    done = remove(own_redis, topic, code=1, url=url)
    assert "lacks a permission" in done.stderr and length_of(own_redis, topic) == 1


def test_no_redis(topic):
    assert "cannot reach Redis" in remove(None, topic, code=3, url="redis://127.0.0.1:1").stderr
