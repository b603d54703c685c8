"""Durable events over HTTP: ids, keys, retention, and a clear word for each way in which Redis can refuse."""

import json
import re

import pytest

from harness import wait_until

ID = re.compile(r"([a-z0-9]{1,16})\.([0-9a-z]+)\.([0-9a-z]+)-([0-9a-z]+)")


def parse_id(text):
    """Birth, and what ids of one birth are ordered by."""
    match = ID.fullmatch(text)
    assert match, text
    return match[1], tuple(int(match[n], 36) for n in (2, 3, 4))


def post(relay, query, data=b"x"):
    """The ids by topic."""
    answer = relay.post(f"/sse?{query}", data)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["ids"]


def refused(relay, query, status, *words, data=b"x"):
    """The sentence of an answer of @status, which has to hold @words."""
    answer = relay.post(f"/sse?{query}", data)
    assert answer.status == status and answer.get("content-type") == "application/problem+json", answer.body
    detail = json.loads(answer.body)["detail"]
    assert re.fullmatch(r"[A-Z].*[.}]", detail) and ".." not in detail
    for word in words:
        assert word in detail, detail
    return detail


def log_of(redis, topic):
    return redis("XRANGE", f"sse:{{0}}:log:{topic}", "-", "+")


@pytest.fixture
def publisher(start_relay, own_redis):
    """A relay on a Redis that a test may do anything to."""
    return start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()


# ---- it works ----


def test_each_topic_has_an_id_of_its_own(relay, redis, topic):
    """Section 4: publishing to several topics is one event for each; ids of one domain are in one order."""
    first = post(relay, f"topics={topic}.a,{topic}.b&event=e&retry=2000", "grüß".encode())
    second = post(relay, f"topic={topic}.a")
    ids = [parse_id(text) for text in (first[f"{topic}.a"], first[f"{topic}.b"], second[f"{topic}.a"])]
    assert len({birth for birth, _ in ids}) == 1
    assert sorted(ids) == ids and len(set(ids)) == 3
    entry = log_of(redis, f"{topic}.b")[0][1]
    assert json.loads(entry[entry.index(b"e") + 1]) == {"event": "e", "data": "grüß", "retry": 2000}


def test_the_id_is_what_subscribers_see(relay, topic):
    with relay.live(topic) as stream:
        ids = post(relay, f"topic={topic}", b"one")
        assert stream.wait_data("one").id == ids[topic]


def test_live_events_have_no_id_and_leave_no_log(relay, redis, topic):
    assert post(relay, f"topic={topic}&live") == {topic: None}
    assert post(relay, f"topic={topic}&live=1") == {topic: None}
    assert redis("KEYS", f"sse:*:{topic}") == []
    assert post(relay, f"topic={topic}&live=0")[topic]
    assert len(log_of(redis, topic)) == 1


NODE = 100  # Redis trims a log by whole nodes of so many entries (stream-node-max-entries)


def kept_of(relay, redis, topic, options=""):
    """Publishes 0 to 149; the data that the log still holds then."""
    for n in range(150):
        post(relay, f"topic={topic}&{options}", str(n).encode())
    return [json.loads(entry[1][entry[1].index(b"e") + 1])["data"] for entry in log_of(redis, topic)]


def test_retention_by_count_and_by_age(relay, redis, topic):
    """Section 4: trim by count; a log that gets no event goes after its time to live."""
    data = kept_of(relay, redis, topic, "history=3")
    assert data[-3:] == ["147", "148", "149"] and len(data) < NODE
    post(relay, f"topic={topic}&ttl=90s")
    assert 60_000 < redis("PTTL", f"sse:{{0}}:log:{topic}") <= 200_000


def test_defaults_are_the_relays_options(start_relay, redis, topic):
    relay = start_relay("--allow-anonymous-publish", "--history", "2", "--ttl", "2m").wait_ready()
    data = kept_of(relay, redis, topic)
    assert data[-2:] == ["148", "149"] and len(data) < NODE
    assert 60_000 < redis("PTTL", f"sse:{{0}}:log:{topic}") <= 250_000


# ---- keys ----


def test_a_key_makes_two_posts_one_event(relay, redis, topic):
    query = f"topics={topic}.a,{topic}.b&key=%C3%A4%20{topic}"
    first = post(relay, query, b"once")
    assert post(relay, query, b"once") == first
    assert len(log_of(redis, f"{topic}.a")) == 1


def test_a_key_with_other_content_is_refused(relay, redis, topic):
    post(relay, f"topic={topic}&key={topic}", b"one")
    refused(relay, f"topic={topic}&key={topic}", 409, "key", data=b"two")
    refused(relay, f"topic={topic}.other&key={topic}", 409, "key", data=b"one")
    assert len(log_of(redis, topic)) == 1 and log_of(redis, f"{topic}.other") == []


# ---- parameters ----


WRONG = {
    "key-empty": ("key=", "`key`"),
    "key-control": ("key=a%0Ab", "`key`"),
    "key-escape": ("key=%zz", "`key`"),
    "key-utf8": ("key=%ff", "`key`"),
    "key-long": ("key=" + "k" * 300, "`key`"),
    "key-twice": ("key=a&key=b", "`key` is there twice"),
    "key-twice-alike": ("key=a&%6bey=a", "`key` is there twice"),
    "history-twice": ("history=5&history=6", "`history` is there twice"),
    "history-zero": ("history=0", "`history`"),
    "history-large": ("history=99999999999", "`history`"),
    "history-word": ("history=all", "`history`"),
    "history-nul": ("history=5%00", "`history`"),
    "ttl-short": ("ttl=999ms", "`ttl`"),
    "ttl-unit": ("ttl=1y", "`ttl`"),
    "ttl-nothing": ("ttl", "`ttl`"),
    "live-and-key": ("live&key=k", "durable"),
    "live-and-ttl": ("ttl=1h&live=1", "durable"),
}


@pytest.mark.parametrize("query, word", WRONG.values(), ids=WRONG.keys())
def test_wrong_parameters_are_named(relay, redis, topic, query, word):
    refused(relay, f"topic={topic}&{query}", 400, word)
    assert log_of(redis, topic) == []


def test_nothing_outlives_the_memory(relay, redis, topic):
    """Section 4: a time to live above the domain's memory is refused."""
    refused(relay, f"topic={topic}&ttl=8d", 400, "time to live")
    assert log_of(redis, topic) == []
    post(relay, f"topic={topic}&ttl=2d")


# ---- Redis refuses ----


def test_scripts_that_were_flushed_are_sent_again(publisher, own_redis, topic):
    """Section 4: EVALSHA, falling back to EVAL on NOSCRIPT."""
    post(publisher, f"topic={topic}")
    own_redis("SCRIPT", "FLUSH")
    post(publisher, f"topic={topic}")
    post(publisher, f"topic={topic}&key=k")
    assert len(log_of(own_redis, topic)) == 3


def test_a_key_of_the_wrong_type(publisher, own_redis, topic):
    """Section 4: the types are checked before the first write, so nothing is half written."""
    own_redis("LPUSH", f"sse:{{0}}:log:{topic}.b", "x")
    refused(publisher, f"topics={topic}.a,{topic}.b", 502, "type")
    assert log_of(own_redis, f"{topic}.a") == []


def test_a_full_redis(publisher, own_redis, topic):
    post(publisher, f"topic={topic}")
    own_redis("CONFIG", "SET", "maxmemory", "1")
    refused(publisher, f"topic={topic}", 503, "memory")
    own_redis("CONFIG", "SET", "maxmemory", "0")
    assert len(log_of(own_redis, topic)) == 1
    post(publisher, f"topic={topic}")


def test_a_replica_takes_nothing_until_it_is_promoted(start_relay, own_redis, topic):
    own_redis("REPLICAOF", "127.0.0.1", "1")
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_listening()
    wait_until(lambda: b"replica" in relay.get("/readyz").body, "the word that it is a replica")
    refused(relay, f"topic={topic}", 503, "replica")
    own_redis("REPLICAOF", "NO", "ONE")
    wait_until(lambda: relay.post(f"/sse?topic={topic}").status == 200, "a publish on the new master")
    own_redis("REPLICAOF", "127.0.0.1", "1")
    refused(relay, f"topic={topic}", 503, "replica")
    own_redis("REPLICAOF", "NO", "ONE")
    wait_until(lambda: relay.post(f"/sse?topic={topic}").status == 200, "a publish on the master again")


def test_stored_but_not_announced(start_relay, own_redis, topic):
    """Section 4: a PUBLISH that is denied is reported as stored, not announced; a retry would double it."""
    own_redis("ACL", "SETUSER", "mute", "on", ">secret", "~sse:*", "resetchannels", "&sse:relay.*", "+@all")
    url = own_redis.url.replace("redis://", "redis://mute:secret@")
    relay = start_relay("--allow-anonymous-publish", redis_url=url).wait_ready()
    detail = refused(relay, f"topic={topic}", 502, "stored", "ACL")
    (entry, _), = log_of(own_redis, topic)
    ids = json.loads(detail[detail.index("{") :])
    _, (_, ms, seq) = parse_id(ids[topic])
    assert entry.decode() == f"{ms}-{seq}"


def test_without_the_right_to_run_scripts(start_relay, own_redis, topic):
    own_redis("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-@scripting")
    url = own_redis.url.replace("redis://", "redis://plain:secret@")
    relay = start_relay("--allow-anonymous-publish", redis_url=url).wait_ready()
    refused(relay, f"topic={topic}", 502)
    assert post(relay, f"topic={topic}&live") == {topic: None}


def test_a_lost_answer_can_be_asked_for_again(start_relay, own_redis, topic):
    """Section 7: a publisher retries after a timeout, and the key makes it one event."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "500ms", redis_url=own_redis.url).wait_ready()
    own_redis.pause()
    refused(relay, f"topic={topic}&key=k", 504, "may have been published", "same key")
    own_redis.resume()
    wait_until(lambda: relay.post(f"/sse?topic={topic}&key=k", b"x").status == 200, "the retry")
    assert len(log_of(own_redis, topic)) == 1
    own_redis.pause()
    refused(relay, f"topic={topic}", 504, "may duplicate it")
    own_redis.resume()


def test_without_redis(start_relay, own_redis, topic):
    """Section 5: 503 with Retry-After; nothing was published."""
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    own_redis.stop()
    wait_until(lambda: relay.post(f"/sse?topic={topic}").status == 503, "an answer that Redis is away")
    answer = relay.post(f"/sse?topic={topic}")
    assert answer.get("retry-after") and "nothing was published" in answer.body.decode()
    own_redis.start()
    wait_until(lambda: relay.post(f"/sse?topic={topic}").status == 200, "Redis again")


def test_a_deleted_clock_is_another_birth(publisher, own_redis, topic):
    """Section 4: ids never repeat for other content, also when everything is deleted twice under one connection."""
    births = set()
    for _ in range(3):
        births.add(parse_id(post(publisher, f"topic={topic}")[topic])[0])
        own_redis("FLUSHALL")
    assert len(births) == 3


def test_no_key_is_left_behind_by_a_refusal(publisher, own_redis, topic):
    """The idempotency key is written last: a refused publish may be tried again with it."""
    own_redis("CONFIG", "SET", "maxmemory", "1")
    refused(publisher, f"topic={topic}&key=k", 503)
    own_redis("CONFIG", "SET", "maxmemory", "0")
    assert post(publisher, f"topic={topic}&key=k")[topic]
