"""The order of durable events where the connections to Redis are not equally fast: a proxy holds back what one of them
carries, so that answers, requests and messages meet in orders that a quiet machine never shows.
"""

import pytest

from harness import wait_until
from test_publish_durable import post
from test_publish_script import Domain
from test_resume import come_back, publish

PATIENT = ["--allow-anonymous-publish", "--workers", "1", "--redis-timeout", "60s"]  # what is held is no outage


class Slow:
    """A relay behind a proxy, and what its connections carry. `quiet` stores events without announcing them."""

    def __init__(self, start_relay, redis, proxy, *options):
        self.redis, self.proxy = redis, proxy
        redis("ACL", "SETUSER", "some", "on", ">pw", "~*", "&*", "+@all")
        self.relay = start_relay(*PATIENT, *options, redis_url=f"redis://some:pw@127.0.0.1:{proxy.port}").wait_ready()
        self.other = start_relay(*PATIENT, redis_url=redis.url).wait_ready()  # publishes
        self.reader, self.subscriber = proxy.link(b"HGETALL"), proxy.link(b"SUBSCRIBE")
        redis("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels")
        self.client = redis.client()
        self.client("AUTH", "mute", "pw")
        self._domain = Domain(redis, "sse", self.client)

    def quiet(self, topic, data):
        announced, _, ids = self._domain(topic, data=data)
        assert not announced
        return ids[0]

    def sent(self, link, word):
        """How often the relay sent @word on @link, held back or not."""
        return link.seen.count(word)

    def wait_sent(self, link, word, count):
        wait_until(lambda: self.sent(link, word) >= count, f"{word} to be sent")

    def ahead_of(self, topic, data):
        """A reader that is ahead of the relay: its cursor makes the relay read the clock. Not live before that is done."""
        reads = self.sent(self.reader, b"HGETALL")
        stream = come_back(self.relay, topic, self.quiet(topic, data))
        self.wait_sent(self.reader, b"HGETALL", reads + 1)
        return stream


@pytest.fixture
def slow(start_relay, own_redis, proxy_to):
    """A function that starts it."""
    started = []

    def start(*options):
        started.append(Slow(start_relay, own_redis, proxy_to(("127.0.0.1", own_redis.port)), *options))
        return started[-1]

    yield start
    for one in started:
        one.client.close()


def extension_under_way(slow, topic, cursor):
    """A client whose cursor is below what the relay holds: the log is read backwards, and the answer is held back."""
    reads = slow.sent(slow.reader, b"XREVRANGE")
    slow.proxy.hold(slow.reader, "server")
    stream = come_back(slow.relay, topic, cursor)
    slow.wait_sent(slow.reader, b"XREVRANGE", reads + 1)
    return stream


def retry_under_way(slow, topic, cursor):
    """The same client where Redis refused to read the log, and is asked whether it does still."""
    slow.redis("ACL", "SETUSER", "some", "resetkeys", "~sse:{0}:clock", "~sse:{0}:last:*")
    stream = come_back(slow.relay, topic, cursor)
    wait_until(lambda: slow.relay.metrics()["sse_relay_topics_unreadable"] == 1, "the refusal")
    slow.proxy.hold(slow.reader, "server")
    slow.wait_sent(slow.reader, b"XREVRANGE", slow.sent(slow.reader, b"XREVRANGE") + 1)
    slow.redis("ACL", "SETUSER", "some", "~*")
    return stream


@pytest.mark.parametrize("begin", [extension_under_way, retry_under_way], ids=["extension", "retry"])
def test_two_reads_of_one_topic(slow, topic, begin):
    """A gap while the log is being extended backwards, or asked for again, and the clock is read between the two: nothing
    may end the one read when the other is answered, or a live client loses an event that the log holds."""
    slow = slow()
    relay, other, beside = slow.relay, slow.other, f"{topic}.beside"
    old = publish(other, topic, "old")
    publish(other, topic, "0")
    with relay.live(topic) as live, relay.live(beside), begin(slow, topic, old) as late:
        with slow.ahead_of(beside, "unseen") as first:
            slow.proxy.hold(slow.reader, "client")
            slow.quiet(topic, "1")
            publish(other, topic, "2")
            wait_until(lambda: b"XRANGE" in slow.reader.held["client"], "the gap to be read")
            slow.proxy.release(slow.reader, "server")
            first.wait_live()  # both answers were taken
        slow.proxy.release(slow.reader, "client", commands=1)
        live.wait_data("2")
        slow.proxy.hold(slow.subscriber, "server")
        publish(other, topic, "3")
        slow.proxy.release(slow.reader, "client")
        pings = slow.sent(slow.subscriber, b"PING")
        with slow.ahead_of(beside, "unseen too") as second:
            slow.wait_sent(slow.subscriber, b"PING", pings + 1)  # all answers up to here were taken
            slow.proxy.release(slow.subscriber, "server")
            second.wait_live()
        publish(other, topic, "4")
        for stream in (live, late):
            stream.wait_data("4")
            assert not stream.named("relay.reset")
            assert [e.data for e in stream.named("message")] == ["0"] * (stream is late) + ["1", "2", "3", "4"]


def test_a_topic_that_goes_while_two_reads_are_under_way(slow, topic):
    """Extension, gap, the last client leaves, the linger is over: the answers find nobody (AddressSanitizer looks)."""
    slow = slow("--linger", "0s")
    relay, other = slow.relay, slow.other
    old = publish(other, topic, "old")
    publish(other, topic, "0")
    with relay.live(topic):
        with extension_under_way(slow, topic, old):
            gaps = relay.metrics()["sse_relay_topic_gaps_total"]
            slow.quiet(topic, "1")
            publish(other, topic, "2")
            wait_until(lambda: relay.metrics()["sse_relay_topic_gaps_total"] == gaps + 1, "the gap")
    wait_until(lambda: relay.metrics()["sse_relay_topics"] == 0, "the topic to go")
    slow.proxy.release(slow.reader, "server")
    with come_back(relay, topic, old) as stream:
        stream.wait_live()
        assert [e.data for e in stream.named("message")] == ["0", "1", "2"] and not stream.named("relay.reset")


def test_late_answer_to_an_older_probe(start_relay, own_redis, topic, proxy_to):
    """A probe that nobody received, since the subscription connection was being made anew; its answer comes late, while
    the next one is on its way over a connection that is well, and stays."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    relay = start_relay(*PATIENT, redis_url=f"redis://127.0.0.1:{proxy.port}").wait_ready()
    publisher = proxy.link(b"PUBLISH")

    def next_probe():
        """The relay's next probe is kept, and so is whatever it sends behind it."""
        wait_until(lambda: b"PUBLISH" in publisher.held["client"], "a probe")
        while not publisher.held["client"].split(b"\r\n", 3)[2] == b"PUBLISH":
            proxy.release(publisher, "client", commands=1)

    with relay.live(topic) as stream:
        proxy.hold(publisher, "client")
        proxy.hold(publisher, "server")
        next_probe()
        proxy.silence(carrying=b"no connection sends this", new_too=True)
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: not own_redis.subscriptions(), "nobody to be subscribed")
        proxy.release(publisher, "client", commands=1)
        wait_until(lambda: b":0\r\n" in publisher.held["server"], "the answer that nobody received it")
        proxy.restore()
        next_probe()  # so the connection was made anew
        subscriber = proxy.link(b"SUBSCRIBE")
        proxy.hold(subscriber, "server")
        before = relay.metrics()
        proxy.release(publisher, "client")
        wait_until(lambda: b":1\r\n" in publisher.held["server"], "the next probe's answer")
        proxy.release(publisher, "server")
        publish(relay, topic, "x")  # behind both answers
        after = relay.metrics()
        for name in ("probes_lost_total", "connections_lost_total"):
            assert after[f"sse_relay_redis_{name}"] == before[f"sse_relay_redis_{name}"]
        assert not [line for line in relay.logs() if "does not deliver" in line["msg"]]
        proxy.release(subscriber, "server")
        stream.wait_data("x")
