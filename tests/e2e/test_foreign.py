"""Durable messages that are no events of this Redis: of a publisher with another database number, or made up. They are
dropped, counted and logged, and nobody notices: what is published arrives once and in order, and Redis has little work.
"""

import json
import re
import time

import pytest

import harness
from harness import wait_until

KIND = "sse_relay_events_received_total"


@pytest.fixture
def node(start_relay, own_redis):
    return start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()


def publish(node, topic, data):
    """Its id."""
    answer = node.post(f"/sse?topic={topic}", str(data).encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)["ids"][topic]


def foreign(node):
    return node.metrics().get(KIND, kind="foreign")


def wait_foreign(node, count):
    wait_until(lambda: foreign(node) >= count, f"{count} foreign messages")
    assert foreign(node) == count


def lines(node):
    return [line for line in node.logs() if "another database number" in line["msg"]]


def data_of(stream):
    """What it has got, which are no resets."""
    assert not stream.named("relay.reset")
    return [e.data for e in stream.named("message")]


def test_forged_id(node, own_redis, topic):
    """The topic goes on, for those who are there and for those who come."""
    with node.live(topic) as stream:
        publish(node, topic, "one")
        own_redis("PUBLISH", f"sse:{topic}", 'sse1 05017aac05dc.1.mwwhkk7h-0 0 {"data":"secret"}')
        publish(node, topic, "two")
        stream.wait_data("two")
        wait_foreign(node, 1)
        with node.live(topic) as newcomer:
            publish(node, topic, "three")
            newcomer.wait_data("three")
        stream.wait_data("three")
        assert data_of(stream) == ["one", "two", "three"]
    (line,) = lines(node)
    assert line["level"] == "warn" and line["topic"] == topic and line["id"] == "05017aac05dc.1.mwwhkk7h-0"
    assert "secret" not in node.err


def test_another_database(node, own_redis, topic):
    """Channels are the same in all databases, keys are not: such a publisher has another clock, and another log."""
    with node.live(topic) as stream:
        publish(node, topic, 0)
        for n in range(1, 6):
            done = harness.run_publish(topic, "lost", "--redis", f"{own_redis.url}/5")
            assert done.returncode == 0, done
            publish(node, topic, n)
        stream.wait_data("5")
        wait_foreign(node, 5)
        assert data_of(stream) == [str(n) for n in range(6)]
    assert lines(node)


@pytest.mark.parametrize("prev", ["0", "last", "itself", "more"])
def test_id_from_the_future(node, own_redis, topic, prev):
    """Of this birth and epoch: whatever it says, what is published afterwards does not look old."""
    with node.live(f"/sse?topics={topic},{topic}.b") as stream:
        last = publish(node, topic, 0)
        place = last.rsplit(".", 1)[0]
        id = f"{place}.zzzzzzzz-0"
        prevs = {"0": "0", "last": last, "itself": id, "more": f"{place}.zzzzzzzz-1"}
        own_redis("PUBLISH", f"sse:{topic}", f'sse1 {id} {prevs[prev]} {{"data":"forged"}}')
        for n in range(1, 6):
            publish(node, f"{topic}.b" if n % 2 else topic, n)
        stream.wait_data("5")
        assert data_of(stream) == [str(n) for n in range(6)]
    kind = "foreign" if prev in ("0", "last") else "malformed"
    wait_until(lambda: node.metrics().get(KIND, kind=kind) == 1, f"a {kind} message")


@pytest.mark.parametrize("whose", ["another birth", "this birth"])
def test_flood(node, own_redis, topic, whose):
    """Tens of thousands, on the topic and on others: nobody waits, nothing is lost, and the clock is read a few times
    a second."""

    def clock_reads():
        stats = own_redis("INFO", "commandstats").decode()
        found = re.search(r"cmdstat_hgetall:calls=(\d+)", stats)
        return int(found[1]) if found else 0

    flooded = [f"{topic}.{n}" for n in range(10)]
    with node.live(f"/sse?topics={','.join(flooded)}") as stream, node.live(f"{topic}.calm") as calm:
        last = publish(node, flooded[0], 0)
        publish(node, f"{topic}.calm", 0)
        place = f"{last.rsplit('.', 1)[0]}.zzzzzzzz" if whose == "this birth" else "05017aac05dc.1.mwwhkk7h"
        before, began = clock_reads(), time.monotonic()
        with own_redis.client() as client:
            for n in range(1, 41):
                forged = [f'sse1 {place}-{i} 0 {{"data":"forged"}}' for i in range(1, 501)]
                client.pipeline([("PUBLISH", f"sse:{flooded[i % 10]}", text) for i, text in enumerate(forged)])
                publish(node, flooded[0], n)
                publish(node, f"{topic}.calm", n)
        stream.wait_data("40")
        calm.wait_data("40")
        wait_foreign(node, 20000)
        assert clock_reads() - before <= (time.monotonic() - began) * 10 + 2
        assert data_of(stream) == data_of(calm) == [str(n) for n in range(41)]
        assert len(stream.named("relay.live")) == len(calm.named("relay.live")) == 1
    assert node.metrics()["sse_relay_topic_gaps_total"] == 0
    assert 1 <= len(lines(node)) <= (time.monotonic() - began) / 10 + 1


def test_unmoved_by_other_messages(node, own_redis, topic):
    """Live messages pass one that is put aside."""
    with node.live(topic) as stream:
        own_redis("PUBLISH", f"sse:{topic}", 'sse1 abc.0.2-1 0 {"data":"forged"}')
        own_redis.publish(topic, "end")
        assert stream.wait_name("message").data == "end"
    wait_foreign(node, 1)
