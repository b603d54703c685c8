"""Events that some clients cannot read: several libraries take lines of 64 KiB at most, and stop at a longer one for good.
Publishing one is warned of, and `max-event=` puts a notice in its place.
"""

import json
import urllib.parse

import pytest
from harness import run_publish

KIB = 1024


@pytest.fixture(scope="module")
def node(relay_with):
    return relay_with("--allow-anonymous-publish", "--outbox-limit", "4MiB")


def publish(relay, topic, data, query=""):
    """The answer's JSON."""
    answer = relay.post(f"/sse?topic={topic}{query}", data)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def large(event):
    """What a notice says: the topic and how long the event's block is, or None for any other event."""
    return json.loads(event.data) if event.name == "relay.large" else None


@pytest.mark.parametrize("form", ["data", "topic", "json"])
def test_a_larger_event_becomes_a_notice(node, topic, form):
    """As it happens: the notice has the event's id, so the cursor moves; a stream without the parameter gets the event."""
    target = f"/sse?topic={topic}&as={form}"
    with node.live(target + "&max-event=64KiB") as limited, node.live(target) as whole:
        ids = [publish(node, topic, data)["ids"][topic] for data in (b"before", b"x" * 64 * KIB, b"after")]
        ids.append(publish(node, topic, b"y" * 70 * KIB, "&live")["ids"][topic])
        publish(node, topic, b"end")
        for stream in (limited, whole):
            stream.wait_for(lambda e: "end" in e.data)
        events = [e for e in limited.events if e.name != "relay.live"]
        assert [e.id for e in events[:3]] == ids[:3] and ids[3] is None
        assert ["before" in events[0].data, "after" in events[2].data] == [True, True]
        blocks = [b for b in whole.raw.split(b"\n\n") if len(b) > 64 * KIB]
        assert [large(events[1]), large(events[3])] == [{"topic": topic, "bytes": len(b) + 2} for b in blocks]
        assert not [e for e in whole.events if e.name == "relay.large"]


def test_in_replays_too(node, topic):
    """From the log, however many large ones stand among small ones; a cursor at a notice goes on behind it."""
    sizes = [10, 100 * KIB, 10, 10, 300 * KIB, 64 * KIB - 200, 500 * KIB, 10]
    ids = [publish(node, topic, b"z" * size)["ids"][topic] for size in sizes]
    expected = [size if size < 64 * KIB else None for size in sizes]
    target = f"/sse?topic={topic}&max-event=64KiB"
    seen = lambda stream: [None if large(e) else len(e.data) for e in stream.events if e.name != "relay.live"]
    with node.live(target + "&since=0") as stream:
        assert seen(stream) == expected and [e.id for e in stream.events[:-1]] == ids
        longest = max(len(line) for line in stream.raw.split(b"\n"))
        assert longest < 64 * KIB
    for number in (1, 4, 6):
        with node.live(f"{target}&lastEventId={urllib.parse.quote(ids[number])}") as stream:
            assert seen(stream) == expected[number + 1 :]


@pytest.mark.parametrize("value", ["", "0", "1023", "64kb", "-1", "64%00", "1KiB%"])
def test_a_size_that_is_none(node, topic, value):
    answer = node.get(f"/sse?topic={topic}&max-event={value}")
    assert answer.status == 400 and "`max-event` is a size" in answer.body.decode()


@pytest.mark.parametrize("query", ["", "&live"])
def test_publishing_one_is_warned_of(node, topic, query):
    """POST: a member `warning` beside the ids."""
    assert "warning" not in publish(node, topic, b"x" * 60 * KIB, query)
    answer = publish(node, topic, b"x" * 64 * KIB, query)
    assert "longer than 64 KiB" in answer["warning"] and "max-event=64KiB" in answer["warning"]


def test_the_command_line_warns_once(redis, topic):
    lines = b"small\n" + b"x" * 70_000 + b"\n" + b"y" * 70_000 + b"\n"
    done = run_publish("--redis", redis.url, "--quiet", "--lines", topic, stdin=lines)
    assert done.returncode == 0 and done.stderr.count("longer than 64 KiB") == 1
    assert ":2: the event is longer" in done.stderr
    done = run_publish("--redis", redis.url, "--quiet", topic, "x" * 60_000)
    assert done.returncode == 0 and not done.stderr
