"""EventSource as Chromium has it: each reason for a reset arrives as an event, by a real cause; the stream goes on, and an
automatic reconnect brings what was missed.
"""

import json

import pytest

from harness import wait_until

PAGE = """
    window.seen = [];
    const source = new EventSource(arguments[0]);
    const note = (event) => window.seen.push({ type: event.type, data: event.data, id: event.lastEventId });
    for (const name of ["open", "error", "message", "relay.live", "relay.reset"]) source.addEventListener(name, note);
    window.source = source;
"""


def subscribe(browser, relay, topic, cursor=""):
    """A page on the relay with an EventSource that begins behind @cursor."""
    browser.open(relay.url + "/healthz")
    browser.script(PAGE, f"/sse?topic={topic}&lastEventId={cursor}")


def wait_for(browser, **expected):
    def look():
        return next((e for e in browser.script("return window.seen") if expected.items() <= e.items()), None)

    return wait_until(look, f"{expected} in {browser.script('return window.seen')}")


def post(relay, topic, data, query=""):
    answer = relay.post(f"/sse?topic={topic}{query}", data.encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)["ids"][topic]


def told(browser, relay, topic, reason):
    """The reset, and an event behind it."""
    wait_for(browser, type="relay.reset", data=json.dumps({"topics": [topic], "reason": reason}, separators=(",", ":")))
    cursor = post(relay, topic, "after")
    wait_for(browser, type="message", data="after", id=cursor)
    assert browser.script("return window.source.readyState") == 1


@pytest.fixture
def publisher(start_relay, own_redis):
    return start_relay("--allow-anonymous-publish", "--redis-timeout", "1s", redis_url=own_redis.url)


def test_trimmed(browser, publisher, own_redis):
    cursor = post(publisher, "t", "0")
    for n in range(5):
        post(publisher, "t", str(n))
    own_redis("XTRIM", "sse:{0}:log:t", "MAXLEN", "=", "2")
    subscribe(browser, publisher, "t", cursor)
    told(browser, publisher, "t", "trimmed")


def test_birth(browser, publisher, own_redis):
    cursor = post(publisher, "t", "0")
    own_redis("FLUSHALL")
    post(publisher, "t", "1")
    subscribe(browser, publisher, "t", cursor)
    told(browser, publisher, "t", "birth")


@pytest.mark.parametrize("cursor", ["nonsense", "x" * 10240], ids=["nonsense", "10 KB"])
def test_cursor_that_is_none(browser, publisher, cursor):
    subscribe(browser, publisher, "t", cursor)
    told(browser, publisher, "t", "birth")


def test_limit(browser, start_relay, own_redis):
    relay = start_relay("--allow-anonymous-publish", "--replay-limit", "3", redis_url=own_redis.url)
    cursor = [post(relay, "t", str(n)) for n in range(10)][0]
    subscribe(browser, relay, "t", cursor)
    told(browser, relay, "t", "limit")


def test_failover(browser, publisher, own_redis):
    """Redis comes back from an old file, while the page is open."""
    post(publisher, "t", "kept")
    own_redis("SAVE")
    subscribe(browser, publisher, "t")
    wait_for(browser, type="relay.live")
    post(publisher, "t", "lost")
    wait_for(browser, type="message", data="lost")
    own_redis.stop()
    own_redis.start()
    wait_until(lambda: publisher.post("/sse?topic=t", b"next").status == 200, "a publish")
    told(browser, publisher, "t", "failover")


def test_live(browser, publisher, own_redis):
    subscribe(browser, publisher, "t")
    wait_for(browser, type="relay.live")
    own_redis.publish("t", "a live event")
    wait_for(browser, type="message", data="a live event")
    own_redis("CLIENT", "KILL", "TYPE", "pubsub")
    told(browser, publisher, "t", "live")


def test_reconnect_brings_what_was_missed(browser, publisher, start_relay, own_redis):
    """The relay is killed under the page; events come while it is away; Chromium sends its Last-Event-ID."""
    other = start_relay("--allow-anonymous-publish", redis_url=own_redis.url)
    subscribe(browser, publisher, "t")
    wait_for(browser, type="relay.live")
    post(publisher, "t", "0")
    wait_for(browser, type="message", data="0")
    publisher.expect_clean = False
    publisher.kill()
    wait_for(browser, type="error")
    for n in range(1, 4):
        post(other, "t", str(n))
    start_relay("--allow-anonymous-publish", redis_url=own_redis.url, listen="%s:%d" % publisher.address)
    wait_for(browser, type="message", data="3")
    seen = browser.script("return window.seen")
    assert [e["data"] for e in seen if e["type"] == "message"] == ["0", "1", "2", "3"]
    assert not [e for e in seen if e["type"] == "relay.reset"]
