"""A Redis user that may not subscribe to every channel of the prefix: who asks for a forbidden topic waits, and nobody else
notices, however many do.
"""

import pytest
from harness import wait_until
from test_publish_durable import post

MANY = 100  # more than a worker has replays under way


def restricted(start_relay, own_redis):
    """A relay whose user may subscribe to topics that begin with `open`."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "resetchannels", "&sse:relay.*", "&sse:open*")
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    return start_relay("--allow-anonymous-publish", "--workers", "1", redis_url=url).wait_ready()


def test_a_forbidden_topic(start_relay, own_redis):
    relay = restricted(start_relay, own_redis)
    with relay.live("open.a") as stream:
        waiting = [relay.stream(f"/sse?topics=open.b,secret.{n % 10}") for n in range(MANY)]
        try:
            wait_until(lambda: relay.metrics()["sse_relay_topics_refused_total"] >= 10, "ten refusals")
            with relay.live("open.b") as other:  # they take nobody's place
                post(relay, "topic=open.a", b"x")
                stream.wait_data("x")
                post(relay, "topic=open.b", b"y")
                other.wait_data("y")
            assert relay.metrics()["sse_relay_topics_refused_total"] == 10
            assert relay.get("/readyz").status == 200
            assert not stream.named("relay.reset")
            told = [line for line in relay.logs() if "forbids a topic" in line["msg"]]
            assert len(told) == 1 and told[0]["topic"].startswith("secret.") and "NOPERM" in told[0]["why"]
            assert not [line for line in relay.logs() if "lost Redis" in line["msg"]]

            own_redis("ACL", "SETUSER", "some", "allchannels")
            own_redis("CLIENT", "KILL", "TYPE", "pubsub")  # rather than wait until it is asked for again
            for one in waiting:
                one.wait_live()
                assert not one.named("relay.reset")
            post(relay, "topic=secret.3", b"z")
            waiting[3].wait_data("z")
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize(
    ("take", "give", "word"),
    [
        (["SET", "sse:{0}:log:bad", "x"], ["RENAME", "kept", "sse:{0}:log:bad"], "WRONGTYPE"),
        (["LPUSH", "sse:{0}:last:bad", "x"], ["RENAME", "kept", "sse:{0}:last:bad"], "WRONGTYPE"),
        (["ACL", "SETUSER", "some", "resetkeys", "~sse:{0}:clock", "~*:good"], ["ACL", "SETUSER", "some", "allkeys"], "NOPERM"),
    ],
    ids=["log", "last", "rights"],
)
def test_a_topic_that_cannot_be_read(start_relay, own_redis, take, give, word):
    """Its streams wait, however many, and take nobody's place; they are live soon after it can be read again."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "allchannels")
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    publisher = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    first = post(publisher, "topic=bad", b"0")["bad"]
    for n in range(1, 4):
        post(publisher, "topic=bad", str(n).encode())
    post(publisher, "topic=good", b"g")
    relay = start_relay("--workers", "1", "--heartbeat", "60s", redis_url=url).wait_ready()
    if take[0] != "ACL":
        own_redis("RENAME", take[1], "kept")
    own_redis(*take)
    waiting = [relay.stream(f"/sse?topics=bad,good&lastEventId={first}") for _ in range(MANY)]
    try:
        wait_until(lambda: relay.metrics()["sse_relay_topics_unreadable_total"] >= 1, "a refusal")
        with relay.live("good") as other:
            post(publisher, "topic=good", b"y")
            other.wait_data("y")
        told = [line for line in relay.logs() if "refuses to read a topic" in line["msg"]]
        assert len(told) == 1 and told[0]["topic"] == "bad" and word in told[0]["why"]
        assert relay.get("/readyz").status == 200
        if take[0] != "ACL":
            own_redis("DEL", take[1])
        own_redis(*give)
        for one in waiting:
            one.wait_live()
            assert [e.data for e in one.events if e.data in "123"] == ["1", "2", "3"]
            assert not one.named("relay.reset")
    finally:
        for one in waiting:
            one.close()


def test_the_shape_of_the_answer(start_relay, own_redis):
    """The stream is open, and is not live; heartbeats go on."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "resetchannels", "&sse:relay.*")
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    relay = start_relay("--heartbeat", "1s", redis_url=url).wait_ready()
    with relay.stream("/sse?topic=secret&ping=1") as stream:
        stream.read_until(lambda: len(stream.named("relay.ping")) >= 2)
        assert stream.head.status == 200 and not stream.named("relay.live")
        own_redis("ACL", "SETUSER", "some", "allchannels")
        stream.wait_live()  # asked for again after ten seconds, without anybody's help
