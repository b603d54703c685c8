"""Events in a log that no relay can deliver, since a publisher that does not use the script wrote them: told by a reset to
whoever replays them and to whoever is connected, and counted. The others come, each once and in order.
"""

import json

import pytest

from chaos import base36
from harness import wait_until
from test_publish_script import Domain
from test_resume import come_back

# Fields of an entry, with what stands for its JSON; where it is nothing, prev is what is broken.
BROKEN = {
    "no JSON": b'{"data":"x',
    "lone surrogate": b'{"data":"\\ud800"}',
    "no string": b'{"data":[1]}',
    "a member twice": b'{"data":"x","data":"y"}',
    "not UTF-8": b'{"data":"\xff"}',
    "a control character": b'{"data":"a\tb"}',
    "too large": b'{"data":"' + b"x" * (1 << 20) + b'x"}',
    "prev": None,
}


class Careless(Domain):
    """Writes as a publisher may that does not use the script."""

    def broken(self, topic, what, announced):
        """An event behind the latest, with all that the contract asks for but one thing."""
        clock = self.clock()
        ms, seq = clock["ms"], int(clock["seq"]) + 1
        prev, event = self.last(topic), BROKEN[what]
        ident = f"{clock['birth']}.{base36(int(clock['epoch']))}.{base36(int(ms))}-{base36(seq)}"
        fields = ["p", prev if event else "none", "g", clock["epoch"], "e", event or '{"data":"x"}']
        self.client("HSET", self.key("clock"), "seq", seq)
        self.client("XADD", self.key(f"log:{topic}"), f"{ms}-{seq}", *fields)
        self.client("SET", self.key(f"last:{topic}"), ident)
        if announced:
            message = event or b'{"data":"x"}'
            self.client("PUBLISH", f"sse:{topic}", f"sse1 {ident} {prev if event else 'none'} ".encode() + message)


@pytest.fixture
def domain(own_redis):
    with own_redis.client() as client:
        yield Careless(own_redis, "sse", client)


def resets(stream):
    return [json.loads(e.data) for e in stream.named("relay.reset")]


def told_once(stream, topic, *expected):
    stream.wait_data(expected[-1])
    stream.read_until(lambda: resets(stream))
    assert [e.data for e in stream.named("message")] == list(expected)
    assert resets(stream) == [{"topics": [topic], "reason": "trimmed"}]


def malformed(relay):
    return relay.metrics().get("sse_relay_events_received_total", kind="malformed")


@pytest.mark.parametrize("options", [[], ["--ring-topic", "4KiB"]], ids=["ring", "logs"])
@pytest.mark.parametrize("what", BROKEN)
def test_replayed(start_relay, own_redis, domain, topic, what, options):
    """To whoever comes back from before it, with other topics beside; not to who comes back from behind it."""
    first = domain.one(topic, data="1")
    domain.one(f"{topic}.beside", data="2")
    domain.broken(topic, what, announced=False)
    behind = domain.one(topic, data="4")
    domain.one(f"{topic}.beside", data="5")
    for n in range(6, 106):  # so that a small ring does not reach back
        domain.one(topic, data=str(n))
    rest = [str(n) for n in range(6, 106)]
    relay = start_relay(*options, redis_url=own_redis.url).wait_ready()
    for count in (1, 2):
        with come_back(relay, f"{topic},{topic}.beside", first) as stream:
            told_once(stream, topic, "2", "4", "5", *rest)
        if what != "prev":  # that is no entry of ours, and found missing
            assert malformed(relay) >= count
    with come_back(relay, topic, behind) as stream:
        stream.wait_data("105")
        assert not resets(stream)


@pytest.mark.parametrize("passed", [False, True], ids=["", "passed"])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "stored"])
@pytest.mark.parametrize("what", BROKEN)
def test_live(start_relay, own_redis, domain, topic, what, announced, passed):
    """To whoever is connected: as it comes, or, where it was not announced, by what comes next; also where another topic's
    event has come in between."""
    domain.one(topic, data="0")
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream, relay.live(f"/sse?topics={topic},{topic}.beside") as both:
        domain.one(topic, data="1")
        for each in (stream, both):
            each.wait_data("1")
        domain.broken(topic, what, announced)
        if announced:
            wait_until(lambda: malformed(relay) >= 1, "it to be counted")
        if passed:
            domain.one(f"{topic}.beside", data="2")
            both.wait_data("2")
        domain.one(topic, data="3")
        domain.one(f"{topic}.beside", data="4")
        told_once(stream, topic, "1", "3")
        told_once(both, topic, "1", *["2"] * passed, "3", "4")
        assert what == "prev" or malformed(relay) >= 1
        with relay.live(f"{topic}.beside") as beside:
            domain.one(f"{topic}.beside", data="5")
            beside.wait_data("5")
            assert not resets(beside)


def test_the_last_of_a_log(start_relay, own_redis, domain, topic):
    """Nothing comes behind it that would tell of it: the reset comes all the same, and the cursor is behind it then."""
    first = domain.one(topic, data="1")
    domain.broken(topic, "no JSON", announced=False)
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with come_back(relay, topic, first) as stream:
        assert json.loads(stream.wait_name("relay.reset").data) == {"topics": [topic], "reason": "trimmed"}
        cursor = stream.wait_name("relay.live").id
    with come_back(relay, topic, cursor) as stream:
        stream.wait_live()
        domain.one(topic, data="3")
        stream.wait_data("3")
        assert not resets(stream)
