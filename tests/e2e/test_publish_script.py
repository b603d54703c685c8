"""The publish script, called as any publisher may call it: relay/wire/publish.lua against a real Redis."""

import json
import pathlib
import re
import subprocess
import tempfile

import pytest

import harness
from resp import RedisError

SCRIPT = pathlib.Path(__file__).resolve().parents[2].joinpath("relay", "wire", "publish.lua").read_bytes()
ID = re.compile(r"([a-z0-9]+)\.([0-9a-z]+)\.([0-9a-z]+)-([0-9a-z]+)")
WEEK = 7 * 24 * 3600 * 1000
HOUR = 3600 * 1000
WINDOW = 36 * 36  # ms in which the expiry of a last id is set once


def place(text):
    """Epoch, ms and seq of an id: what ids of one birth are ordered by."""
    match = ID.fullmatch(text)
    assert match, text
    return tuple(int(match[n], 36) for n in (2, 3, 4))


class Domain:
    """One keyspace of ids: a prefix of its own on a Redis."""

    def __init__(self, redis, prefix, client=None):
        self.redis = redis
        self.prefix = prefix
        self.client = client or redis.client()
        self.births = self.moves = 0
        self.run_id = re.search(r"run_id:(\w+)", redis("INFO", "server").decode())[1]

    def key(self, kind):
        return f"{self.prefix}:{{0}}:{kind}"

    def command(self, *topics, data="x", items=None, key=None, run=None, moved=False, ttl=HOUR, history=1000,
                memory=WEEK, key_ttl=60000):
        """KEYS and ARGV of one event to each topic, or of @items: a topic and data each. @moved: as if the clock had been
        another process's so far."""
        self.births += 1
        run = self.run_id if run is None else run
        if moved:
            self.moves += 1
            self.redis("HSET", self.key("clock"), "run", f"gone{self.moves}")
        keys = [self.key("clock")]
        for topic in topics:
            keys += [self.key(f"log:{topic}"), self.key(f"last:{topic}")]
        if key:
            keys.append(self.key(f"once:{key}"))
        values = [f"birth{self.births}", run, memory, ttl, history, "" if items or not topics else json.dumps({"data": data})]
        values += [key_ttl if key else "", *(f"{self.prefix}:{topic}" for topic in topics)]
        for topic, text in items or ():
            values += [topics.index(topic) + 1, json.dumps({"data": text})]
        return keys, values

    def __call__(self, *topics, items=None, eval_as="EVAL", script=SCRIPT, **how):
        """Publish; returns announced, duplicate, ids."""
        keys, values = self.command(*topics, items=items, **how)
        announced, duplicate, *ids = self.client(eval_as, script, len(keys), *keys, *values).decode().split(" ")
        assert len(ids) == (len(items) if items else max(1, len(topics)))
        return announced == "1", duplicate == "1", ids

    def one(self, topic, **how):
        """Publish to one topic, to its end; returns the id."""
        announced, duplicate, ids = self(topic, **how)
        assert announced and not duplicate
        return ids[0]

    def position(self, **how):
        return self(**how)[2][0]

    def clock(self):
        flat = self.redis("HGETALL", self.key("clock"))
        return {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2])}

    def log(self, topic):
        """(decimal id, fields) of each entry."""
        entries = []
        for ident, flat in self.redis("XRANGE", self.key(f"log:{topic}"), "-", "+"):
            entries.append((ident.decode(), {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2])}))
        return entries

    def last(self, topic):
        return self.redis("GET", self.key(f"last:{topic}")).decode()

    def dump(self):
        """Everything that is stored."""
        return {k: self.redis("DUMP", k) for k in sorted(self.redis("KEYS", f"{self.prefix}:*"))}

    def refused(self, words, *topics, **how):
        """A publish that is refused, and leaves everything as it was."""
        self.nothing_happens(words, *self.command(*topics, **how))

    def nothing_happens(self, words, keys, values):
        before = self.dump()
        with pytest.raises(RedisError, match=words):
            self.client("EVAL", SCRIPT, len(keys), *keys, *values)
        assert self.dump() == before, (keys, values)


@pytest.fixture
def domain(redis, topic):
    with redis.client() as client:
        yield Domain(redis, topic, client)


@pytest.fixture
def own_domain(own_redis):
    with own_redis.client() as client:
        yield Domain(own_redis, "sse", client)


# ---- it works ----


def test_what_is_stored_and_sent(domain, redis):
    """Section 4: log, last, clock and message of one event, field by field."""
    with redis.client() as subscriber:
        subscriber("SUBSCRIBE", f"{domain.prefix}:a")
        first, second = domain.one("a"), domain.one("a", data="y")
        json_x, json_y = '{"data": "x"}', '{"data": "y"}'
        assert subscriber.read()[2].decode() == f"sse1 {first} 0 {json_x}"
        assert subscriber.read()[2].decode() == f"sse1 {second} {first} {json_y}"
    entries = domain.log("a")
    assert [fields for _, fields in entries] == [
        {"e": json_x, "p": "0", "g": "1"},
        {"e": json_y, "p": first, "g": "1"},
    ]
    for (entry, _), ident in zip(entries, (first, second)):
        assert entry == "%d-%d" % place(ident)[1:]
    assert domain.last("a") == second
    clock = domain.clock()
    assert {k: clock[k] for k in ("birth", "epoch", "run", "memory")} == {
        "birth": "birth1", "epoch": "1", "run": domain.run_id, "memory": str(WEEK)}
    assert (1, int(clock["ms"]), int(clock["seq"])) == place(second)


def test_how_long_things_live(domain, redis):
    """The log lives for the time to live, the last id for the memory, a key for its own time, the clock for ever."""
    domain("a", ttl=100_000, memory=200_000, key="k", key_ttl=50_000)
    assert 90_000 < redis("PTTL", domain.key("log:a")) <= 100_000
    assert 190_000 < redis("PTTL", domain.key("last:a")) <= 200_000 + WINDOW
    assert 40_000 < redis("PTTL", domain.key("once:k")) <= 50_000
    assert redis("PTTL", domain.key("clock")) == -1
    domain("a", ttl=150_000, memory=WEEK)  # a domain keeps the memory that it was born with
    assert redis("PTTL", domain.key("log:a")) > 100_000
    assert 190_000 < redis("PTTL", domain.key("last:a")) <= 200_000 + WINDOW


def test_last_lives_for_the_memory_behind_each_event(domain, redis):
    """Its time is set anew once in 1.3 s, so each time for so much longer; and never is there none."""
    ahead = (place(domain.position())[1] // WINDOW + 1000) * WINDOW
    redis("HSET", domain.key("clock"), "ms", ahead, "seq", 0)
    domain.one("a")
    redis("PEXPIRE", domain.key("last:a"), WEEK + WINDOW // 2)  # as if half of that had gone by
    domain.one("a")
    domain("a", items=[("a", "x"), ("a", "y")])
    assert WEEK <= redis("PTTL", domain.key("last:a")) <= WEEK + WINDOW // 2
    redis("HSET", domain.key("clock"), "ms", ahead + WINDOW)
    domain.one("a")
    assert redis("PTTL", domain.key("last:a")) > WEEK + WINDOW // 2
    redis("DEL", domain.key("last:a"))
    domain.one("a")
    assert redis("PTTL", domain.key("last:a")) > WEEK + WINDOW // 2


def test_ids_follow_the_time_of_redis(domain, redis):
    """Section 4: (ms, seq) is the later of the clock's next place and TIME."""
    seconds, micros = redis("TIME")
    before = int(seconds) * 1000 + int(micros) // 1000
    ms = place(domain.one("a"))[1]
    assert before <= ms <= before + 60_000


def test_ids_grow_when_time_goes_back(domain, redis):
    """Time that goes back, as after NTP or a failover, changes nothing in the order."""
    first = place(domain.one("a"))
    ahead = first[1] + 1_000_000
    redis("HSET", domain.key("clock"), "ms", ahead, "seq", 34)
    ids = [place(domain.one(t)) for t in ("a", "b", "a")]
    assert ids == [(1, ahead, 35), (1, ahead, 36), (1, ahead, 37)]
    assert domain.log("a")[-1][0] == f"{ahead}-37"
    assert domain.one("c").endswith("-12") and domain.last("c").endswith("-12")  # 38 in base 36


@pytest.mark.parametrize("ms", [2**41, 36**8 - 1, 36**8, 36**9 + 5, 2**48])
@pytest.mark.parametrize("seq", [1, 8, 9, 34, 35, 36, 1294, 1295, 36**4, 2**40])
def test_ids_of_any_time(domain, redis, ms, seq):
    """Numbers stay exact wherever the clock stands, and have no leading zeros."""
    domain.position()
    redis("HSET", domain.key("clock"), "ms", ms, "seq", seq)
    ident = domain.one("a")
    assert place(ident) == (1, ms, seq + 1)
    assert not re.search(r"[.-]0", ident)
    assert domain.log("a")[-1][0] == f"{ms}-{seq + 1}"


def test_several_topics(domain, redis):
    """Section 4: one event for each topic, every one with its own id and its own past, in one call."""
    alone = domain.one("b")
    with redis.client() as subscriber:
        subscriber.pipeline([("SUBSCRIBE", f"{domain.prefix}:{t}") for t in "abc"])
        announced, duplicate, ids = domain("a", "b", "c")
        assert announced and not duplicate
        assert [subscriber.read()[2].decode().split(" ")[1:3] for _ in ids] == [
            [ids[0], "0"], [ids[1], alone], [ids[2], "0"]]
    places = [place(i) for i in ids]
    assert places[0] > place(alone)
    assert [p[:2] for p in places] == [places[0][:2]] * 3
    assert [p[2] for p in places] == [places[0][2] + n for n in range(3)]
    assert [domain.last(t) for t in "abc"] == ids
    assert (places[2][1], places[2][2]) == (int(domain.clock()["ms"]), int(domain.clock()["seq"]))


def test_chain_is_unbroken(domain):
    """Each entry names the one before it, whatever else is published in between."""
    ids = {t: [] for t in "abc"}
    for n in range(60):
        topics = ["abc"[n % 3]] if n % 2 else ["a", "bc"[n % 4 // 2]]
        for topic, ident in zip(topics, domain(*topics)[2]):
            ids[topic].append(ident)
    everything = [i for t in "abc" for i in ids[t]]
    assert len(set(everything)) == len(everything) == 90
    for topic in "abc":
        assert sorted(ids[topic], key=place) == ids[topic]
        assert [f["p"] for _, f in domain.log(topic)] == ["0", *ids[topic][:-1]]


def test_many_events(domain, redis):
    """Many events in one call are what they are in a call each: ids, links and messages, in their order."""
    alone = domain.one("b")
    items = [("ab"[n % 3 == 1], f"event {n}") for n in range(100)]
    with redis.client() as subscriber:
        subscriber.pipeline([("SUBSCRIBE", f"{domain.prefix}:{t}") for t in "ab"])
        announced, duplicate, ids = domain("a", "b", items=items)
        assert announced and not duplicate
        messages = [subscriber.read()[1:] for _ in items]
    first = place(ids[0])
    assert first > place(alone)
    assert [place(i) for i in ids] == [(first[0], first[1], first[2] + n) for n in range(100)]
    prevs = {"a": "0", "b": alone}
    for (topic, data), ident, (channel, message) in zip(items, ids, messages):
        assert channel.decode() == f"{domain.prefix}:{topic}"
        assert message.decode() == f"sse1 {ident} {prevs[topic]} " + json.dumps({"data": data})
        prevs[topic] = ident
    for topic in "ab":
        mine = [(ident, data) for (t, data), ident in zip(items, ids) if t == topic]
        log = domain.log(topic)[-len(mine):]
        assert [entry for entry, _ in log] == ["%d-%d" % place(ident)[1:] for ident, _ in mine]
        assert [fields["p"] for _, fields in log][1:] == [ident for ident, _ in mine][:-1]
        assert [json.loads(fields["e"])["data"] for _, fields in log] == [data for _, data in mine]
        assert domain.last(topic) == mine[-1][0]
        assert 0 < redis("PTTL", domain.key(f"log:{topic}")) <= HOUR
    assert (int(domain.clock()["ms"]), int(domain.clock()["seq"])) == place(ids[-1])[1:]
    assert domain.one("a") and domain.log("a")[-1][1]["p"] == prevs["a"]


def test_many_events_and_a_topic_with_none(domain):
    """A topic that is named and gets nothing is left as it was."""
    alone = domain.one("a")
    domain("a", "b", items=[("b", "x"), ("b", "y")])
    assert domain.last("a") == alone and len(domain.log("a")) == 1
    domain("a", "c", items=[("a", "x")])
    assert domain.redis("EXISTS", domain.key("last:c"), domain.key("log:c")) == 0


def test_many_events_are_trimmed_as_one_by_one(domain, redis):
    """More events in one call than the log keeps: the newest are kept, and their links are unbroken."""
    ids = [i for _ in range(3) for i in domain("a", items=[("a", str(n)) for n in range(250)], history=120)[2]]
    log = domain.log("a")
    assert 120 <= len(log) <= 120 + 110
    assert [entry for entry, _ in log] == ["%d-%d" % place(i)[1:] for i in ids[-len(log):]]
    assert [fields["p"] for _, fields in log] == ids[-len(log) - 1:-1]


def test_many_events_start_an_epoch_and_a_birth(domain, redis):
    """What happens to the clock happens once a call."""
    one = domain("a", items=[("a", "x"), ("a", "y")])[2]
    two = domain("a", items=[("a", "x"), ("a", "y")], moved=True)[2]
    redis("DEL", domain.key("clock"))
    three = domain("a", items=[("a", "x"), ("a", "y")])[2]
    epochs = [place(i)[0] for i in one + two + three]
    assert epochs == [1, 1, epochs[2], epochs[2], 1, 1] and epochs[2] > 1
    assert one[0].split(".")[0] == two[1].split(".")[0] != three[0].split(".")[0] == three[1].split(".")[0]
    assert [f["p"] for _, f in domain.log("a")] == ["0", one[0], one[1], two[0], "0", three[0]]


def test_no_topics(domain):
    """With no topics: the clock is there, its position is the answer, and asking again changes nothing."""
    position = domain.position()
    before = domain.dump()
    assert list(before) == [domain.key("clock").encode()]
    assert domain.clock()["from:1"] == "%d-%d" % place(position)[1:]
    assert domain.position() == position and domain.dump() == before
    ident = domain.one("a")
    assert place(ident) > place(position)
    assert domain.position() == ident


# ---- births and epochs ----


def test_new_epoch(domain):
    """Section 4: another run_id begins an epoch and notes the last id before it."""
    first = domain.one("a")
    note = "%d-%d" % place(first)[1:]
    position = domain.position(moved=True)
    other = place(position)[0]
    assert other > 1 and place(position)[1:] == place(first)[1:]
    assert domain.clock()[f"from:{other}"] == note and domain.clock()["run"] == domain.run_id
    assert place(domain.position())[0] == other  # once
    second = domain.one("a")
    third = domain.one("a", moved=True)  # a publish begins one as well
    last = place(third)[0]
    assert place(first)[0] == 1 and place(second)[0] == other < last
    assert domain.clock()[f"from:{other}"] == note
    assert domain.clock()[f"from:{last}"] == "%d-%d" % place(second)[1:]
    assert [(f["p"], f["g"]) for _, f in domain.log("a")] == [("0", "1"), (first, str(other)), (second, str(last))]
    assert domain.clock()["birth"] == "birth1"


@pytest.mark.parametrize("ago_s", [0, 34, 35, 1000, 86400, 50 * 365 * 86400, -1000])
def test_epochs_count_seconds(domain, redis, ago_s):
    """A new epoch's number is that of the seconds since the birth, or the next one where that is more."""
    domain.one("a")
    ms, seq = place(domain.position())[1:]
    redis("HSET", domain.key("clock"), "from:1", f"{ms - ago_s * 1000}-{seq}")
    ident = domain.one("a", moved=True)
    epoch = place(ident)[0]
    assert max(ago_s + 1, 2) <= epoch <= max(ago_s + 1, 2) + 60
    assert domain.clock()["epoch"] == str(epoch) == domain.log("a")[-1][1]["g"]
    assert place(domain.one("a", moved=True))[0] > epoch
    redis("HSET", domain.key("clock"), "epoch", epoch + 10**6)
    assert place(domain.one("a", moved=True))[0] == epoch + 10**6 + 1


def test_an_epoch_that_was_lost_is_not_given_again(domain, redis):
    """An old file, restored, knows nothing of the epoch that began since: its next one has another number."""
    domain.one("a")
    ms, seq = place(domain.position())[1:]
    redis("HSET", domain.key("clock"), "from:1", f"{ms - 3000}-{seq}")
    old = redis("DUMP", domain.key("clock"))
    lost = place(domain.one("a", moved=True))[0]
    seconds = int(redis("TIME")[0])
    harness.wait_until(lambda: int(redis("TIME")[0]) > seconds + 1, "the next second")
    redis("RESTORE", domain.key("clock"), 0, old, "REPLACE")
    redis("DEL", domain.key("log:a"), domain.key("last:a"))
    assert place(domain.one("a", moved=True))[0] > lost


def test_many_epochs(domain):
    """Epochs above 35 take more than one digit."""
    ids = [domain.one("a", moved=n > 1) for n in range(1, 41)]
    epochs = [place(i)[0] for i in ids]
    assert epochs == sorted(set(epochs)) and epochs[-1] >= 40
    assert domain.log("a")[-1][1]["g"] == str(epochs[-1])
    assert [f["p"] for _, f in domain.log("a")] == ["0", *ids[:-1]]


def test_missing_last_comes_from_the_log(domain, redis):
    """Section 4: prev is from `last`, else from the log's last entry with its epoch, else `0`."""
    for run in range(1, 38):
        ident = domain.one("a", moved=run > 1)
    redis("DEL", domain.key("last:a"))
    domain.one("a", moved=True)
    assert domain.log("a")[-1][1]["p"] == ident
    redis("DEL", domain.key("last:a"), domain.key("log:a"))
    domain.one("a")
    assert domain.log("a")[-1][1]["p"] == "0"
    redis("DEL", domain.key("last:a"))
    kept = domain.log("a")[-1][0]
    domain("a", "b")
    assert "%d-%d" % place(domain.log("a")[-1][1]["p"])[1:] == kept


def test_vanished_log(domain, redis):
    """Where the log is gone and `last` is not, the chain tells of it."""
    first = domain.one("a")
    redis("DEL", domain.key("log:a"))
    domain.one("a")
    assert [f["p"] for _, f in domain.log("a")] == [first]


def test_clock_that_vanished(domain, redis):
    """A new clock is a new birth; what the logs hold already is not of it, and ids go on behind them."""
    redis("HSET", domain.key("clock"), "ms", 0)  # not yet a clock
    old = domain.one("a")
    ahead = place(old)[1] + 1_000_000
    redis("HSET", domain.key("clock"), "ms", ahead, "seq", 7)
    domain("a", "b")
    redis("DEL", domain.key("clock"))
    ids = domain("b", "a", "c")[2]
    assert domain.clock()["birth"] == ids[0].split(".")[0] != old.split(".")[0]
    assert domain.clock()["from:1"] == f"{ahead}-9"
    assert [place(i) for i in ids] == [(1, ahead, 10), (1, ahead, 11), (1, ahead, 12)]
    assert [domain.log(t)[-1][1]["p"] for t in "abc"] == ["0", "0", "0"]


def test_clock_that_vanished_within_a_millisecond(domain, redis):
    """What another topic's log holds of the same millisecond is of the former birth as well, or an id would stand for two
    events: the former one, and the one of the new birth with its numbers."""
    former = [("a", "1"), ("b", "2"), ("b", "3")]
    evals = [("EVAL", SCRIPT, len(keys), *keys, *values) for keys, values in (domain.command("a", "b", items=former),
                                                                              domain.command("a"))]
    def attempt():
        redis("DEL", domain.key("clock"))
        first, _, second = domain.client.pipeline([evals[0], ("DEL", domain.key("clock")), evals[1]])
        old, new = place(first.decode().split()[-1]), place(second.decode().split()[-1])
        return old[1] == new[1] and (old, new)

    old, new = harness.wait_until(attempt, "two births in one millisecond")
    assert tuple(map(int, domain.clock()["from:1"].split("-"))) >= old[1:] and new > old


def test_clock_behind_its_logs(domain, redis):
    """A clock that knows nothing of what a log holds is not that log's: a birth, and its notes begin anew."""
    domain.one("a")
    domain.one("a", moved=True)
    redis("DEL", domain.key("clock"))
    domain.position()
    domain.position(moved=True)
    domain.one("c")
    birth = domain.clock()["birth"]
    ahead = int(domain.clock()["ms"]) + 1_000_000
    redis("XADD", domain.key("log:b"), f"{ahead}-3", "e", "{}", "p", "0", "g", "1")
    ids = domain("b", "c")[2]
    assert [place(i) for i in ids] == [(1, ahead, 4), (1, ahead, 5)]
    clock = domain.clock()
    assert clock["birth"] != birth and clock["from:1"] == f"{ahead}-3"
    assert [k for k in clock if k.startswith("from:")] == ["from:1"]
    assert [domain.log(t)[-1][1]["p"] for t in "bc"] == ["0", "0"]


@pytest.mark.parametrize("number", ["-1", "-inf", "inf", "nan", "1e300"])
@pytest.mark.parametrize("where", ["epoch", "entry"])
def test_numbers_of_somebody_else(domain, redis, where, number):
    """Whoever wrote them: Redis goes on serving everybody, and nothing is written."""
    domain("t")
    if where == "epoch":
        redis("HSET", domain.key("clock"), "epoch", number)
    else:
        redis("DEL", domain.key("log:t"), domain.key("last:t"))
        ms = int(domain.clock()["ms"]) + 1
        redis("XADD", domain.key("log:t"), f"{ms}-0", "e", "{}", "p", "0", "g", number)
        redis("HSET", domain.key("clock"), "ms", ms + 1)
    before = domain.clock(), domain.log("t")
    with pytest.raises(RedisError, match="none of ours"):
        domain("t")
    assert (domain.clock(), domain.log("t")) == before


def test_log_of_another_birth(domain, redis):
    """A log that ends at or before from:1 holds nothing of this birth, and gives no prev."""
    domain.one("a")
    redis("DEL", domain.key("clock"), domain.key("last:a"))
    ahead = place(domain.position())[1] + 1_000_000
    redis("HSET", domain.key("clock"), "ms", ahead, "from:1", f"{ahead}-0")
    domain.one("a")
    assert domain.clock()["birth"] == "birth2"
    assert [f["p"] for _, f in domain.log("a")] == ["0", "0"]


def test_last_of_another_birth(domain, redis):
    """An id of another birth compares with nothing, and is no prev."""
    domain.position()
    redis("SET", domain.key("last:a"), "birth11.1.aaaaaaaa-0")
    domain.one("a")
    assert domain.log("a")[-1][1]["p"] == "0"


# ---- retention ----


def test_trim_by_count(domain, redis):
    """The log keeps the count that was asked for, or a few more."""
    for _ in range(5):
        for _ in range(200):
            domain("a", history=150)
    assert 150 <= redis("XLEN", domain.key("log:a")) <= 400


def test_trim_by_age(domain, redis):
    """Entries that are older than the time to live go, sooner or later, though events keep coming."""
    for _ in range(250):
        domain("a", ttl=10_000, history=10_000)
    clock = domain.clock()
    redis("HSET", domain.key("clock"), "ms", int(clock["ms"]) + 20_000)
    for _ in range(250):  # every tenth or so trims by age
        domain("a", ttl=10_000, history=10_000)
    assert 250 <= redis("XLEN", domain.key("log:a")) < 400


def test_ttl_above_the_memory(domain):
    """A log that outlives the memory of its last id is refused, by what the domain was born with."""
    domain.refused("^SSETTL", "a", ttl=WEEK + 1)
    domain.position(memory=90_000)
    domain.refused("^SSETTL", "a", ttl=100_000)
    domain.refused("^SSETTL", "a", ttl=90_001, memory=WEEK)
    domain.one("a", ttl=90_000)


# ---- idempotency keys ----


def test_same_key_same_ids(domain, redis):
    """A retry is the same event: the same ids, and nothing is stored or sent again."""
    first = domain("a", "b", key="k")
    between = domain.one("a")
    before = domain.dump()
    with redis.client() as subscriber:
        subscriber("SUBSCRIBE", f"{domain.prefix}:a")
        assert domain("a", "b", key="k") == (True, True, first[2])
        assert domain("a", "b", key="k", run="run2", ttl=5000) == (True, True, first[2])
        assert domain.dump() == before
        domain("a", data="next")
        assert b"next" in subscriber.read()[2]
    assert domain.log("a")[-1][1]["p"] == between


def test_one_key_for_many_events(domain):
    """A key covers the whole call: a retry has the same ids, of as many events, and does nothing."""
    domain.position()
    items = [("ab"[n % 2], str(n)) for n in range(100)]
    first = domain("a", "b", items=items, key="k")
    assert first[1] is False
    domain.one("a")
    before = domain.dump()
    assert domain("a", "b", items=items, key="k", run="run2") == (True, True, first[2])
    assert domain.dump() == before
    for other in (items[:-1], items[1:] + items[:1], [("b", items[0][1]), *items[1:]]):
        domain.refused("^SSECONFLICT", "a", "b", items=other, key="k")
    domain.refused("^SSECONFLICT", "b", "a", items=items, key="k")
    domain.refused("^SSECONFLICT", "a", "b", key="k")
    assert redis_bytes(domain, "once:k") < 100  # the ids of a call are told by the first one


def redis_bytes(domain, kind):
    return domain.redis("STRLEN", domain.key(kind))


def test_retry_renews_its_key(domain, redis):
    """A retry is a write, so that WAIT behind it waits for the replicas; the key lives on."""
    domain("a", key="k", key_ttl=10_000)
    domain("a", key="k", key_ttl=60_000)
    assert redis("PTTL", domain.key("once:k")) > 10_000


@pytest.mark.parametrize("topics, data", [("a", "other"), ("b", "x"), ("ab", "x")])
def test_same_key_other_content(domain, topics, data):
    """A key names one publish to one set of topics."""
    domain("a", data="x", key="k")
    domain.refused("^SSECONFLICT", *topics, data=data, key="k")


# ---- it fails ----


@pytest.mark.parametrize("kind", ["clock", "log:a", "last:a", "log:b", "last:b", "once:k"])
@pytest.mark.parametrize("topics", ["a", "ab", "ba"])
@pytest.mark.parametrize("is_new", [True, False])
def test_key_of_a_wrong_type(domain, redis, kind, topics, is_new):
    """Types are checked before the first write: no half of an event stays."""
    if kind[-2:] == ":b" and "b" not in topics:
        pytest.skip("not a key of this publish")
    if not is_new:
        domain("a", "b")
    redis("DEL", domain.key(kind))
    redis("RPUSH", domain.key(kind), "something")
    domain.refused("WRONGTYPE", *topics, key="k")
    domain.refused("WRONGTYPE", *topics, items=[(t, "x") for t in topics * 3], key="k")


@pytest.mark.parametrize("topics", ["", "a", "ab"])
def test_out_of_memory(own_domain, topics):
    """A full Redis refuses the first write."""
    own_domain.redis("CONFIG", "SET", "maxmemory", "1")
    own_domain.refused("OOM ", *topics, key="k" if topics else None)
    own_domain.redis("CONFIG", "SET", "maxmemory", "0")
    own_domain("a", "b")
    own_domain.redis("HSET", own_domain.key("clock"), "run", "gone")
    own_domain.redis("CONFIG", "SET", "maxmemory", "1")
    own_domain.refused("OOM ", "a")
    own_domain.refused("OOM ", "a", "b", key="k")
    own_domain.refused("OOM ", "a", items=[("a", "x"), ("a", "y")], key="k")


# What no call of Redis takes for a number of ms or of entries, or takes and makes nonsense of.
NO_NUMBERS = ["", "abc", "0", "-1", "-0", "007", "1.5", "1e3", "0x10", "inf", "nan", " 1", "1 ", "1\0", "9" * 16, "9" * 30]
FORMS = {"one": ("a", None), "two": ("ab", None), "many": ("ab", [("a", "x"), ("b", "y"), ("a", "z")] * 5)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", ["ttl", "history", "memory", "key_ttl"])
def test_numbers_that_are_none(domain, name, is_new, form):
    """Whatever a later call would refuse is refused before the first write, whichever client sent it."""
    topics, items = FORMS[form]
    if not is_new:
        domain("a", "b", items=[(topic, "x") for topic in "ab"])
    for number in NO_NUMBERS:
        if name == "memory" and not is_new:
            domain("a", memory=number)  # the domain keeps what it was born with
        else:
            domain.refused("^(ERR|SSETTL) ", *topics, items=items, key="k", **{name: number})
    if name == "memory" and is_new:
        for number in NO_NUMBERS:
            domain.refused("^ERR ", memory=number)


@pytest.mark.parametrize("memory", ["", "abc", "0", "-1", "inf", "nan", "9" * 16, "9" * 30])
def test_an_absurd_memory_in_the_clock(domain, redis, memory):
    """What somebody else wrote there, who may."""
    domain("a", "b")
    redis("DEL", domain.key("last:a"))
    redis("HSET", domain.key("clock"), "memory", memory)
    for topics in ("a", "ab"):
        domain.refused(".", *topics, key="k")


@pytest.mark.parametrize("field", ["ms", "seq"])
@pytest.mark.parametrize("number", ["", "abc", "nan", "inf", "1e300", 2**53, 2**63 - 1, 2**64 - 1])
def test_a_place_that_no_event_can_follow(domain, redis, field, number):
    """Neither one event nor several, of which the second would have the id of the first."""
    domain("a", "b")
    redis("HSET", domain.key("clock"), "ms", 2**45, "seq", 0)
    redis("HSET", domain.key("clock"), field, number)
    for topics, items in FORMS.values():
        domain.refused(".", *topics, items=items, key="k")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_key_that_stands_there_twice(domain, form, is_new):
    """Each has a meaning of its own; one that had two would be overwritten by the second."""
    topics, items = FORMS[form]
    if not is_new:
        domain("a", "b")
    keys, values = domain.command(*topics, items=items, key="k")
    for i in range(len(keys)):
        for j in range(i):
            domain.nothing_happens("twice|WRONGTYPE", [*keys[:i], keys[j], *keys[i + 1:]], values)
    keys, values = domain.command(*topics, items=items)
    for i in range(1, len(keys)):
        domain.nothing_happens("twice|WRONGTYPE", [*keys[:i], keys[0], *keys[i + 1:]], values)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("is_new", [True, False])
def test_too_many_or_too_few(domain, form, key, is_new):
    """A call that is short of something, or has something more, is not understood."""
    topics, items = FORMS[form]
    if not is_new:
        domain("a", "b")
    keys, values = domain.command(*topics, items=items, key=key)
    for i in range(len(keys)):
        domain.nothing_happens(".", keys[:i] + keys[i + 1:], values)
    domain.nothing_happens(".", [*keys, "more"], values)
    for i in range(len(values)):
        domain.nothing_happens(".", keys, values[:i] + values[i + 1:])
    for i in range(7 + len(topics)):
        domain.nothing_happens(".", keys, values[:i])
    domain.nothing_happens(".", keys, [*values, "1"])


@pytest.mark.parametrize("birth", ["", "a b", "a.b", "A", "ä", "a" * 17])
def test_births_that_are_none(domain, birth):
    """No id begins with it, so nobody could read one."""
    for topics in ("", "a", "ab"):
        keys, values = domain.command(*topics)
        domain.nothing_happens("^ERR a birth", keys, [birth, *values[1:]])


def test_many_events_that_are_none(domain):
    """A call that cannot be understood writes nothing."""
    keys, values = domain.command("a")
    event = json.dumps({"data": "x"})
    for items in ([], [2, event], [0, event], ["x", event], ["1"], [1, event, 1], [1, event, 2, event]):
        domain.nothing_happens("^ERR", keys, [*values[:5], "", "", values[7], *items])


def test_replica(own_domain, redis):
    """A replica refuses: to begin an epoch as well, since it is another process than the clock's."""
    master = Domain(redis, f"replica{own_domain.redis.port}")
    domain = Domain(own_domain.redis, master.prefix, own_domain.client)
    ident = master.one("a")
    own_domain.redis("REPLICAOF", "127.0.0.1", redis.port)
    harness.wait_until(domain.clock, "replication")
    domain.refused("READONLY", "a", key="k")
    domain.refused("READONLY")
    assert domain.last("a") == ident


LONG = "x" * 300
UNDELIVERABLE = {
    "no JSON": "hello",
    "cut short": '{"data":"x"',
    "something behind": '{"data":"x"} x',
    "a raw line end": '{"data":"' + LONG + '\n"}',
    "a raw line end, and short": '{"event":"e","data":"a\rb"}',
    "a raw NUL": '{"data":"a\0b"}',
    "a quote within": '{"data":"a"b"}',
    "no last quote": '{"data":"x}',
    "a quote for the brace": '{"data":"x"',
    "another end": '{"data":"x"]',
    "a space in front": ' {"data":"x"}',
    "no object": '["data"]',
    "a string": '"data"',
    "no data": '{"event":"x"}',
    "no data, and long": '{"event":"x","other":"' + LONG + '"}',
    "data is a number": '{"data":5}',
    "data is an object": '{"data": {"a":"' + LONG + '"}}',
    "data is null": '{"data":null}',
    "a lone surrogate": '{"data":"\\ud83d"}',
    "a lone surrogate, and long": '{"data":"' + LONG + '\\uDE00"}',
    "too much data": json.dumps({"data": "x" * (2**20 + 1)}),
    "too much data, escaped": '{"data":"' + "\\u0061" * (2**20 + 1) + '"}',
    "too much of all": '{"data":"x","other":"' + "x" * (6 * 2**20 + 4096) + '"}',
    "a reserved name": '{"event":"relay.live","data":"x"}',
    "EventSource's own name": '{"event":"error","data":"x"}',
    "the other one": '{"event": "open", "data": "x"}',
    "a name with a control character": '{"event":"a\\u0085","data":"x"}',
    "a name that is none": '{"event":false,"data":"x"}',
    "a name that is long": '{"event":"' + "x" * 129 + '","data":"x"}',
    "a name that is reserved, and long": '{"event": "open","data":"' + LONG + '"}',
    "a name that is an object": '{"event":{},"data":"' + LONG + '"}',
    "a retry of no time, and long": '{"retry":99,"data":"' + LONG + '"}',
    "a retry of no time": '{"retry":99,"data":"x"}',
    "a retry with a fraction": '{"retry":100.5,"data":"x"}',
    "a retry in words": '{"retry":"100","data":"x"}',
}


@pytest.mark.parametrize("name", UNDELIVERABLE)
def test_what_no_relay_would_deliver(domain, name):
    """A third party's event that every relay would drop is refused, alone and among others, and has no id."""
    text = UNDELIVERABLE[name]
    keys, values = domain.command("a")
    domain.nothing_happens("^SSEEVENT no relay would deliver the event: ", keys, [*values[:5], text, *values[6:]])
    items = [1, '{"data":"x"}', 1, text]
    domain.nothing_happens("^SSEEVENT no relay would deliver event 2: ", keys, [*values[:5], "", *values[6:], *items])


@pytest.mark.parametrize("text", [
    '{"data":""}', '{"data" : "x"} \n', json.dumps({"data": "x" * 2**20}), json.dumps({"data": "x" * 2**19 + "\U0001f600"}),
    '{"event":null,"retry":null,"data":"\\ud83d\\ude00"}', json.dumps({"event": "e", "data": "\n" * 300}, indent=2),
    '{"event":"\u00e9","retry":100,"data":"\\u0000"}', '{"data":"' + "\\u0061" * 2**20 + '"}',
    '{"meta":{"data":5},"more":[1,{"a":null}],"event":"","data":"' + LONG + '"}',
    '{"meta":{"event":"error"},"data":"' + LONG + '","retry":100}',
    '{"event": "a-b_1", "data": ""}', '{"event":"","data":"\u00e9"}', '{"data": "}"}', '{"data":"' + LONG + '"}', '{"data":"\\\\"}',
], ids=range(15))
def test_what_relays_deliver(domain, start_relay, text):
    """The script refuses nothing that a relay takes: each of these reaches a client."""
    relay = start_relay("--prefix", domain.prefix).wait_ready()
    client = relay.live("a")
    keys, values = domain.command("a")
    answer = domain.client("EVAL", SCRIPT, len(keys), *keys, *[*values[:5], text, *values[6:]]).decode()
    client.wait_for(lambda e: e.id == answer.split()[2])


@pytest.mark.parametrize("text", [b'{"data":"\xff"}', b'{"data":"a\tb"}', b'{"data":"x","data":"y"}'], ids=["utf8", "control", "twice"])
def test_what_the_script_does_not_see(domain, text):
    """As the contract says: it is stored, and has an id (what readers are told: test_broken_entries)."""
    keys, values = domain.command("a")
    answer = domain.client("EVAL", SCRIPT, len(keys), *keys, *[*values[:5], text, *values[6:]]).decode()
    assert domain.last("a") == answer.split()[2]


def test_an_old_run_id(domain):
    """Issue of pools: a client that passes the run_id of another process begins no epoch, at the birth and later."""
    for run in ("old", domain.run_id, "older", "old", ""):
        assert place(domain.one("a", run=run))[0] == 1
    assert domain.clock()["run"] == domain.run_id
    assert [field for field in domain.clock() if field.startswith("from:")] == ["from:1"]
    epoch = place(domain.one("a", run="old", moved=True))[0]  # the server asked is another one: an epoch after all
    assert epoch > 1 and domain.clock()["run"] == domain.run_id
    assert place(domain.one("a", run=""))[0] == epoch


def test_an_old_run_id_without_the_right_to_ask(own_redis):
    """Then the caller's word has to do, and an empty one does not."""
    domain = publish_as(own_redis, "~sse:{*", "&sse:*", "-info")
    assert place(domain.one("a", run="one"))[0] == 1
    assert place(domain.one("a", run="two"))[0] > 1
    domain.refused("^ERR the value run is empty", "a", run="")


def test_old_notes_go(domain, redis):
    """Notes of epochs that began longer ago than the memory go with the next epoch; `noted` says from where on all are there."""
    first = domain.one("a")
    ms, seq = place(first)[1:]
    days = 24 * 3600
    begun = ms - 30 * days * 1000
    notes = {5: 1, 10 * days: 2, 22 * days: 3, 23 * days + 7200: 4, 29 * days: 5}  # seconds since the birth: its place
    redis("HSET", domain.key("clock"), "from:1", f"{begun}-0", *sum(([f"from:{n}", f"{begun}-{at}"] for n, at in notes.items()), []))
    epoch = place(domain.one("a", moved=True))[0]
    clock = domain.clock()
    kept = sorted(int(field[5:]) for field in clock if field.startswith("from:"))
    assert kept == [1, 23 * days + 7200, 29 * days, epoch]
    assert clock["noted"] == str(23 * days + 7200)
    domain.one("a", moved=True)
    assert domain.clock()["noted"] == clock["noted"]
    redis("DEL", domain.key("clock"))
    domain.one("a")
    assert "noted" not in domain.clock()


def test_notes_are_bounded(domain, redis):
    """However many epochs begin within the memory, 255 notes and that of the birth are what is kept."""
    domain.one("a")
    for _ in range(300):
        ident = domain.position(moved=True)
    clock = domain.clock()
    kept = sorted(int(field[5:]) for field in clock if field.startswith("from:"))
    assert len(kept) == 256 and kept[0] == 1 and kept[-1] == place(ident)[0] and int(clock["noted"]) == kept[1]


RIGHTS = (
    "+eval +evalsha +script|load +info +time +get +set +del +pexpire +hmget +hget +hset +xadd +xrevrange +publish "
    "+wait +client|setname +ping"
)


def publish_as(own_redis, *rules):
    """A domain whose user has these rights and no others."""
    own_redis("ACL", "SETUSER", "u", "reset", "on", ">p", *RIGHTS.split(), *rules)
    client = own_redis.client()
    assert client("AUTH", "u", "p") == "OK"
    return Domain(own_redis, "sse", client)


def test_rights_that_suffice(own_redis):
    """The list of rights in the documentation is enough."""
    domain = publish_as(own_redis, "~sse:{*", "&sse:*")
    domain.one("a", key="k")
    domain("a", "b", moved=True)
    own_redis("DEL", "sse:{0}:last:a")
    domain.one("a")
    own_redis("HSET", "sse:{0}:clock", "ms", "5")
    own_redis("DEL", "sse:{0}:last:a")
    domain.one("a")  # another birth
    assert domain("a", key="k")[1]
    sha = domain.client("SCRIPT", "LOAD", SCRIPT).decode()
    domain("a", eval_as="EVALSHA", script=sha)


@pytest.mark.parametrize("rules", [["~sse:{*", "&sse:*", "-publish"], ["~sse:{*", "resetchannels", "&sse:other"]])
def test_stored_not_announced(own_redis, rules):
    """Section 4: a PUBLISH that is denied is caught and reported; the next one tells of the event by its prev."""
    domain = publish_as(own_redis, *rules)
    announced, duplicate, (ident,) = domain("a", key="k")
    assert not announced and not duplicate
    assert domain.last("a") == ident and len(domain.log("a")) == 1
    assert domain("a", key="k") == (False, True, [ident])
    announced, _, ids = domain("a", items=[("a", "x"), ("a", "y")])
    assert not announced and domain.last("a") == (ident := ids[-1])
    able = Domain(own_redis, "sse")
    able.one("a")
    assert able.log("a")[-1][1]["p"] == ident


@pytest.mark.parametrize("rules", [["~other:*", "&*"], ["~sse:{0}:clock", "~sse:{0}:log:a", "&*"],
                                   ["~sse:{*", "&*", "-xadd"], ["~sse:{*", "&*", "-evalsha", "-eval"]])
def test_denied(own_redis, rules):
    """Without a right that storing needs, nothing is stored."""
    domain = publish_as(own_redis, *rules)
    domain.refused("NOPERM|permission|can't run", "a")


def test_noscript(own_domain):
    """After SCRIPT FLUSH the hash is unknown; the text teaches it again."""
    sha = own_domain.client("SCRIPT", "LOAD", SCRIPT).decode()
    own_domain.one("a", eval_as="EVALSHA", script=sha)
    own_domain.redis("SCRIPT", "FLUSH")
    with pytest.raises(RedisError, match="^NOSCRIPT"):
        own_domain.one("a", eval_as="EVALSHA", script=sha)
    own_domain.one("a")
    own_domain.one("a", eval_as="EVALSHA", script=sha)


@pytest.mark.parametrize("remedy", ["fix", "rewrite"])
@pytest.mark.parametrize("torn_bytes", [0, 1, 12])
@pytest.mark.parametrize("commands", [1, 2, 4, 5])
def test_a_torn_file(tmp_path, remedy, commands, torn_bytes):
    """What relay/DURABLE.md advises: a publish that a crash cut in two is not there, and its retry is there once."""
    options = ["--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no" if remedy == "fix" else "yes"]
    redis = harness.Redis(tmp_path, *options)
    try:
        domain = Domain(redis, "sse")
        kept = [domain.one("a"), domain.one("a")]
        before = domain.dump()
        domain.one("a", data="torn", key="k")
        redis.stop()
        file = max(tmp_path.glob("**/appendonly.aof*.incr.aof"), default=tmp_path / "appendonly.aof")
        tear(file, commands, torn_bytes)
        if remedy == "fix":
            with pytest.raises(AssertionError, match="redis-check-aof --fix"):
                redis.start()
            manifest = max(tmp_path.glob("**/*.manifest"), default=file)
            subprocess.run(["redis-check-aof", "--fix", manifest], input=b"y", check=True, capture_output=True)
            redis.start()
        else:
            redis.start()
            redis("BGREWRITEAOF")
            harness.wait_until(lambda: b"aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0" in redis("INFO", "persistence"))
        domain = Domain(redis, "sse")
        assert domain.dump() == before
        kept += [domain.one("a", data="torn", key="k"), domain.one("a")]
        before = domain.dump()
        for _ in range(2):
            redis.stop()
            redis.start()
            domain = Domain(redis, "sse")
            assert domain.dump() == before
        assert ["%d-%d" % place(ident)[1:] for ident in kept] == [entry for entry, _ in domain.log("a")]
    finally:
        redis.stop()


def tear(file, commands, torn_bytes):
    """Cut the last MULTI of an append-only file behind so many of its commands and so many bytes of the next one."""
    data = file.read_bytes()
    multi = data.rindex(b"MULTI")
    starts = [multi + m.start() for m in re.finditer(rb"\*\d+\r\n\$\d+\r\n[A-Z]+\r\n", data[multi:])]
    assert len(starts) == 6  # the last one is EXEC
    file.write_bytes(data[:starts[commands] + torn_bytes])


def test_replicas_get_the_same(own_domain):
    """What a replica holds is what the master holds, byte for byte: nothing in it is computed twice."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        replica = harness.Redis(directory)
        try:
            replica("REPLICAOF", "127.0.0.1", own_domain.redis.port)
            harness.wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"))
            own_domain("a", "b", key="k")
            own_domain("a", moved=True)
            own_domain("a", "b", items=[("a", "x"), ("b", "y"), ("a", "z")], key="many")
            assert own_domain.client("WAIT", 1, 20000) == 1
            assert own_domain.dump() == Domain(replica, "sse").dump()
            other = own_domain.redis.client()
            again = Domain(own_domain.redis, "sse", other)
            assert again("a", "b", key="k")[1]
            assert other("WAIT", 1, 20000) == 1
        finally:
            replica.stop()
