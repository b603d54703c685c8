"""Topics that are quiet for longer than the domain's memory: Redis forgets their last ids, and the next event knows of none
before it. Whoever was there all the time lost nothing, and is told nothing; where more than that is gone, it is told.

The memory is short here, and a node must look at a quiet topic once in each quarter of it.
"""

import json
import time

import pytest

from harness import wait_until
from test_publish_script import Domain
from test_resume import come_back

MEMORY = 12_000
TTL = 2_000


class Short(Domain):
    """Events are kept for less than the memory."""

    def one(self, topic, data):
        return super().one(topic, data=data, ttl=TTL)


@pytest.fixture
def domain(own_redis):
    """A publisher, which began the clock with a short memory."""
    with own_redis.client() as client:
        one = Short(own_redis, "sse", client)
        one.position(memory=MEMORY)
        yield one


def data_of(stream):
    return [e.data for e in stream.named("message")]


def resets(stream):
    return [json.loads(e.data) for e in stream.named("relay.reset")]


def be_quiet(redis, domain, topics, busy):
    """Until Redis has forgotten the last ids and the logs of @topics; @busy is not quiet meanwhile."""
    count = 0

    def forgotten():
        nonlocal count
        count += 1
        domain.one(busy, str(count))
        time.sleep(0.1)
        return not redis("EXISTS", *(domain.key(f"{kind}:{topic}") for topic in topics for kind in ("last", "log")))

    wait_until(forgotten, "the topics to be forgotten")
    return [str(n + 1) for n in range(count)]


def test_a_quiet_topic_loses_nothing(start_relay, own_redis, domain, proxy_to):
    """No reset for whoever was connected, on one topic or several, on any node, one of which loses its connections to Redis
    before and after that forgets; nor for whoever comes back to a node that was there all the time. One that was not
    cannot know, and tells."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    nodes = [start_relay(redis_url=url).wait_ready() for url in (own_redis.url, own_redis.url, f"redis://127.0.0.1:{proxy.port}")]
    one, several, never = "quiet", "/sse?topics=quiet,silent,busy", "never"
    stays = {(node, topics): node.live(topics) for node in nodes for topics in (one, several, never)}
    comes = []
    try:
        first = domain.one("quiet", "first")
        domain.one("silent", "first of silent")
        for node in nodes:
            stays[node, one].wait_data("first")
            stays[node, several].wait_data("first of silent")
        with come_back(nodes[0], "quiet", first) as stream:
            early = stream.wait_name("relay.live").id
        proxy.cut()
        busy = be_quiet(own_redis, domain, ["quiet", "silent"], "busy")
        proxy.cut()
        nodes[2].wait_ready()
        comes += [come_back(node, "quiet", cursor).wait_live() for node in nodes for cursor in (first, early)]
        domain.one("quiet", "second")
        domain.one("silent", "second of silent")
        domain.one("never", "born")
        comes += [come_back(node, "quiet", cursor) for node in nodes for cursor in (first, early)]
        seen = {
            one: ["first", "second"],
            several: ["first", "first of silent", *busy, "second", "second of silent"],
            never: ["born"],
        }
        for expected, stream in [(seen[topics], s) for (_, topics), s in stays.items()] + [(["second"], s) for s in comes]:
            stream.wait_data(expected[-1])
            assert not resets(stream) and data_of(stream) == expected
    finally:
        for stream in [*stays.values(), *comes]:
            stream.close()
    stranger = start_relay(redis_url=own_redis.url).wait_ready()
    with come_back(stranger, "quiet", first) as stream:
        stream.wait_live()
        assert resets(stream) == [{"topics": ["quiet"], "reason": "trimmed"}]


@pytest.mark.parametrize("published", [[], ["cut"], ["whole", "cut"]], ids=["found", "published", "together"])
def test_a_last_id_that_goes_early_is_told(start_relay, own_redis, domain, published):
    """DEL of the log and the last id within the memory, or eviction: found when the topic is looked at, or by the next
    event, which knows of none before it. Each stream with the topic is told, and no other; also where the ids leave no room
    for what may be lost, since one call published to another topic right before it."""
    nodes = [start_relay(redis_url=own_redis.url).wait_ready() for _ in "ab"]
    cut = [node.live(topics) for node in nodes for topics in ("cut", "/sse?topics=cut,whole")]
    whole = [node.live("whole") for node in nodes]
    try:
        domain.one("cut", "first")
        domain.one("whole", "first of whole")
        for i, stream in enumerate(cut + whole):
            stream.wait_data("first" if i in (0, 2) else "first of whole")
        own_redis("DEL", domain.key("log:cut"), domain.key("last:cut"))
        if published:
            domain(*published, data="second", ttl=TTL)
        for stream in cut:
            assert json.loads(stream.wait_name("relay.reset").data) == {"topics": ["cut"], "reason": "trimmed"}
        domain.one("cut", "third")
        domain.one("whole", "third of whole")
        every = [("cut", "first"), ("whole", "first of whole")]
        every += [(topic, "second") for topic in published]
        every += [("cut", "third"), ("whole", "third of whole")]
        for i, stream in enumerate(cut + whole):
            topics = ["whole"] if i >= len(cut) else ["cut"] if i in (0, 2) else ["cut", "whole"]
            stream.wait_data("third" if topics == ["cut"] else "third of whole")
            assert data_of(stream) == [data for topic, data in every if topic in topics]
            assert len(resets(stream)) == (i < len(cut))
    finally:
        for stream in cut + whole:
            stream.close()
