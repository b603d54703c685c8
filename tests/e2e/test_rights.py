"""A Redis user that may not subscribe to every channel of the prefix: who asks for a forbidden topic waits, and nobody else
notices, however many do.
"""

import pathlib
import re

import pytest
from harness import run_publish, wait_until
from test_publish_durable import post
from test_resume import come_back, publish

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
            wait_until(lambda: relay.metrics()["sse_relay_topics_refused"] >= 10, "ten refusals")
            wait_until(lambda: relay.metrics()["sse_relay_subscribers_blocked"] == MANY, "all to be counted")
            with relay.live("open.b") as other:  # they take nobody's place
                post(relay, "topic=open.a", b"x")
                stream.wait_data("x")
                post(relay, "topic=open.b", b"y")
                other.wait_data("y")
            assert relay.metrics()["sse_relay_topics_refused"] == 10
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
            after = relay.metrics()
            assert after["sse_relay_topics_refused"] == 0 and after["sse_relay_subscribers_blocked"] == 0
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
        wait_until(lambda: relay.metrics()["sse_relay_topics_unreadable"] == 1, "a refusal")
        wait_until(lambda: relay.metrics()["sse_relay_subscribers_blocked"] == MANY, "all to be counted")
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
        after = relay.metrics()
        assert after["sse_relay_topics_unreadable"] == 0 and after["sse_relay_subscribers_blocked"] == 0
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


def test_a_user_that_may_not_ping(start_relay, own_redis, topic):
    """Streams become live, stay complete and resume without the right to PING; the log says once which right is missing."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "allchannels", "+@all", "-ping")
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    relay = start_relay("--allow-anonymous-publish", redis_url=url).wait_ready()
    streams = [relay.stream(f"{topic}.{n % 10}") for n in range(30)]  # many barriers at once
    try:
        for stream in streams:
            stream.wait_live()
        cursor = publish(relay, f"{topic}.0", "a", "b")
        streams[0].wait_data("b")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        publish(relay, f"{topic}.0", "c", "d")
        with come_back(relay, f"{topic}.0,{topic}.1", cursor) as stream:
            stream.wait_data("d")
            stream.wait_live()
            publish(relay, f"{topic}.1", "e")
            stream.wait_data("e")
            assert [e.data for e in stream.named("message")] == ["c", "d", "e"] and not stream.named("relay.reset")
        publish(relay, f"{topic}.0", "f")
        streams[0].wait_data("f")
        assert [e.data for e in streams[0].named("message")] == ["a", "b", "c", "d", "f"]
        told = [line for line in relay.logs() if "refuses PING" in line["msg"]]
        assert told and all("NOPERM" in line["why"] and "+ping" in line["msg"] for line in told)
        assert relay.get("/readyz").status == 200
    finally:
        for stream in streams:
            stream.close()


# ---- the clock ----

CLOCK = "sse:{0}:clock"
CLOCKS = {
    "command": (["ACL", "SETUSER", "some", "-hgetall"], ["ACL", "SETUSER", "some", "+hgetall"], "+hgetall", "NOPERM"),
    "key": (["ACL", "SETUSER", "some", "resetkeys", "~*:log:*", "~*:last:*"], ["ACL", "SETUSER", "some", "allkeys"],
            "~<prefix>:*", "NOPERM"),
    "type": (["SET", CLOCK, "x"], ["DEL", CLOCK], "remove that key", "WRONGTYPE"),
    "field": (["HSET", CLOCK, "birth", "b", "epoch", "zz", "ms", "1", "seq", "0", "memory", "1000000"], ["DEL", CLOCK], "remove it", "epoch"),
    "birth": (["HSET", CLOCK, "birth", "B", "epoch", "1", "ms", "1", "seq", "0", "memory", "1000000"], ["DEL", CLOCK], "remove it", "birth"),
}


@pytest.mark.parametrize("take, give, advice, word", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_clock_that_cannot_be_read(start_relay, own_redis, take, give, advice, word):
    """Not ready, with the reason; the log names the key and what to do; live events flow; it mends itself."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "allchannels")
    own_redis(*take)
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url.replace("redis://", "redis://some:pw@"))
    relay.wait_listening()
    with relay.stream("/sse?topics=a,b") as stream:
        wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="clock") == 1, "a refusal")
        answer = relay.get("/readyz")
        assert answer.status == 503 and advice in answer.body.decode()
        told = [line for line in relay.logs() if "so no stream becomes live; the node is not ready" in line["msg"]]
        assert len(told) == 1 and told[0]["key"] == CLOCK and word in told[0]["why"] and advice in told[0]["advice"]
        wait_until(lambda: {"sse:a", "sse:b"} <= own_redis.subscriptions().keys(), "the subscriptions")
        own_redis.publish("b", "raw")
        stream.wait_data("raw")
        own_redis("PUBLISH", "sse:a", 'sse1 - - {"data":"enveloped"}')
        stream.wait_data("enveloped")
        assert not stream.named("relay.live")
        own_redis(*give)
        stream.wait_live()
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        wait_until(lambda: relay.post("/sse?topic=a", b"durable").status == 200, "a publish")  # tried again each second
        stream.wait_data("durable")
        assert relay.metrics().get("sse_relay_redis_unfit", reason="clock") == 0


def test_a_clock_that_becomes_unreadable(start_relay, own_redis):
    """The same while it serves: streams go on with what the channels bring, and new ones wait without being mute."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "allchannels")
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url.replace("redis://", "redis://some:pw@"))
    relay.wait_ready()
    with relay.live("a") as stream:
        own_redis("ACL", "SETUSER", "some", "-hgetall")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: relay.get("/readyz").status == 503, "the end of readiness")
        assert "+hgetall" in relay.get("/readyz").body.decode()
        wait_until(lambda: "sse:a" in own_redis.subscriptions(), "the subscription")
        own_redis.publish("a", "raw")
        stream.wait_data("raw")
        own_redis("ACL", "SETUSER", "some", "+hgetall")
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        wait_until(lambda: relay.post("/sse?topic=a", b"durable").status == 200, "a publish")  # tried again each second
        stream.wait_data("durable")


# ---- the rights that the documentation lists ----


def listed(name):
    """The words of `NAME: +…` in relay/wire/README.md, as ACL SETUSER takes them."""
    text = pathlib.Path(__file__).resolve().parents[2].joinpath("relay/wire/README.md").read_text()
    return re.search(rf"^ACL SETUSER {name} on >secret ((?:.*\\\n)*.*)$", text, re.M)[1].replace("\\\n", " ").split()


def as_listed(own_redis, name):
    own_redis("ACL", "SETUSER", name, "on", ">secret", *listed(name))
    return own_redis.url.replace("redis://", f"redis://{name}:secret@")


def test_a_relay_with_the_rights_that_are_listed(start_relay, own_redis):
    """Whatever a relay does works: publishing, replays from ring and log, last=, an epoch, a connection that is killed."""
    url = as_listed(own_redis, "relay")
    relay = start_relay("--allow-anonymous-publish", "--ring-topic", "4KiB", redis_url=url).wait_ready()
    first = post(relay, "topic=a&key=k", b"0")["a"]
    for n in range(1, 50):
        post(relay, "topic=a", str(n).encode())
    with relay.live(f"/sse?topic=a&lastEventId={first}") as stream, relay.live("/sse?topic=a&last=5") as last:
        assert [e.data for e in stream.events if e.data.isdigit()] == [str(n) for n in range(1, 50)]
        assert [e.data for e in last.events if e.data.isdigit()] == [str(n) for n in range(45, 50)]
        own_redis("HSET", CLOCK, "run", "another")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        own_redis("CLIENT", "KILL", "TYPE", "normal")
        wait_until(lambda: "sse:a" in own_redis.subscriptions(), "the subscriptions")
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        wait_until(lambda: relay.post("/sse?topics=a,b&key=50", b"50").status == 200, "a publish")
        stream.wait_data("50")
        own_redis.publish("a", "live")
        stream.wait_data("live")
    denied = [line[line.index(b"object") + 1] for line in own_redis("ACL", "LOG") if b"relay" in line]
    assert set(denied) <= {b"config", b"config|get"}  # asked for once, and not needed
    assert not [line for line in relay.logs() if "CONFIG" in line["msg"]]
    done = run_publish("doctor", "--json", "--redis", url)
    assert '"check":"relay-rights","status":"ok"' in done.stdout and '"check":"publish-rights","status":"ok"' in done.stdout


@pytest.mark.parametrize("right", listed("relay"))
def test_each_right_of_a_relay_is_needed(own_redis, right):
    """None of the list is too many: without it the doctor, or the relay itself, says what is missing."""
    if right in OPTIONAL:
        pytest.skip("the relay does without, as the list says")
    own_redis("ACL", "SETUSER", "relay", "on", ">secret", *[r for r in listed("relay") if r != right])
    done = run_publish("doctor", "--json", "--redis", own_redis.url.replace("redis://", "redis://relay:secret@"))
    assert right.lstrip("+").split("|")[0] in done.stdout or right in done.stdout


OPTIONAL = ["+client|setname", "+ping", "+hkeys", "+hdel"]


def test_a_publisher_with_the_rights_that_are_listed(own_redis):
    """Of `sse-publish`: durable events, alone and many, with a key, live ones, and a wait for replicas."""
    url = as_listed(own_redis, "publisher")
    assert run_publish("--redis", url, "a", "x", "--key", "k").returncode == 0
    assert run_publish("--redis", url, "a", "x", "--key", "k").returncode == 0
    assert run_publish("--redis", url, "--lines", "a", stdin=b"1\n2\n3\n").returncode == 0
    assert run_publish("--redis", url, "--live", "a", "x").returncode == 0
    assert own_redis("XLEN", "sse:{0}:log:a") == 4
    assert not own_redis("ACL", "LOG")


def test_no_right_to_any_channel(start_relay, own_redis):
    """Not ready, with the reason and one line in the log, on connections that stay; and ready once it has the right."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "+@all", "resetchannels")
    relay = start_relay("--redis-timeout", "1s", redis_url=own_redis.url.replace("redis://", "redis://some:pw@"))
    relay.wait_listening()
    streams = [relay.stream(f"/sse?topics=a{n},b{n}") for n in range(30)]
    wait_until(lambda: relay.metrics()["sse_relay_topics_refused"] == 60, "the refusals")
    wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="channel") == 1, "the probe's refusal")
    answer = relay.get("/readyz")
    assert answer.status == 503 and "&<prefix>:*" in answer.body.decode()
    assert len([line for line in relay.logs() if line["level"] in ("warn", "error")]) == 3  # its own channel; a topic; kicks
    assert relay.metrics()["sse_relay_redis_connections_lost_total"] == 0
    own_redis("ACL", "SETUSER", "some", "&sse:*")
    wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
    for stream in streams:
        stream.close()


def test_many_epochs(start_relay, own_redis):
    """A publisher that may not ask the server passes run_ids of its own: the relay warns, once."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "allkeys", "allchannels", "+@all", "-info")
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    script = pathlib.Path(__file__).resolve().parents[2].joinpath("relay/wire/publish.lua").read_bytes()
    with own_redis.client() as client, relay.live("t"):
        client("AUTH", "some", "pw")
        for n in range(15):
            client("EVAL", script, 3, CLOCK, "sse:{0}:log:t", "sse:{0}:last:t", "b", f"run{n}", 604800000, 3600000, 1000,
                   '{"data":"x"}', "", "sse:t")
        wait_until(lambda: [line for line in relay.logs() if "many epochs" in line["msg"]], "the warning")
