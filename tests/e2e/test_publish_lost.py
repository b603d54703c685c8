"""sse-publish while Redis is killed, cut off, busy, full or a replica: each line once, or told."""

import re
import tempfile

import pytest

from harness import LASTING, Redis, run_publish, wait_until
from publisher import Publisher, data_of, entries_of, length_of
from resp import RedisError
from settings import sanitized

LINES = 20_000 if sanitized() else 200_000
HISTORY = ("--history", "1000000")


@pytest.fixture
def lasting_redis():
    """A redis-server that has on its disk whatever it acknowledged."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        server = Redis(directory, *LASTING)
        yield server
        server.resume()
        server.stop()


def write_lines(path, count):
    path.write_text("".join(f"{n}\n" for n in range(count)))
    return path


def numbers(count):
    return [str(n) for n in range(count)]


def place_of(ident):
    """The part of an id that is its entry's in the log."""
    ms, seq = ident.rsplit(".", 1)[1].split("-")
    return f"{int(ms, 36)}-{int(seq, 36)}"


def test_redis_is_killed_in_the_middle(lasting_redis, topic, tmp_path):
    """200,000 lines, Redis killed and restarted in their midst, twice: each line is there exactly once and in order,
    every id that was printed is its line's, and the exit code is 0."""
    path = write_lines(tmp_path / "lines", LINES)
    with Publisher(lasting_redis, *HISTORY, "--timeout", "5m", "--lines", topic, path) as publisher:
        for share in (4, 2):
            wait_until(lambda share=share: length_of(lasting_redis, topic) > LINES // share, "a part of the lines")
            lasting_redis.stop()
            lasting_redis.mend_file()
            lasting_redis.start()
        assert publisher.wait() == 0, publisher.err
    assert publisher.err.count("lost Redis") >= 1 and publisher.err.count("connected to Redis again") >= 1
    entries = entries_of(lasting_redis, topic)
    assert [event["data"] for _, event in entries] == numbers(LINES)
    assert [place_of(ident) for ident in publisher.ids] == [entry for entry, _ in entries]
    assert re.search(rf"published {LINES:,} events to 1 topic", publisher.err)


@pytest.mark.parametrize("keyed", [False, True], ids=["", "keyed"])
def test_connections_are_cut_again_and_again(own_redis, topic, tmp_path, keyed):
    """CLIENT KILL at any moment: a batch that Redis has already is not published twice."""
    count = 3_000 if keyed else 60_000
    path = write_lines(tmp_path / "lines", count)
    options = ["--key", "k"] if keyed else []
    with Publisher(own_redis, *HISTORY, *options, "--rate", f"{count // 3}/s", "--lines", topic, path) as publisher:
        for cut in range(1, 6):  # the back-off grows with each
            wait_until(lambda cut=cut: length_of(own_redis, topic) > count * cut // 10, "some lines")
            own_redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert publisher.wait() == 0, publisher.err
    assert data_of(own_redis, topic) == numbers(count)
    assert len(publisher.ids) == count


def test_live_events_may_be_there_twice(own_redis, topic, proxy_to):
    """A connection that fell silent: the live events that it carried are sent again, and the summary counts them."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    url = f"redis://127.0.0.1:{proxy.port}"
    with own_redis.client() as subscriber, Publisher(
        own_redis, "--live", "--lines", "--output", "json", topic, url=url
    ) as publisher:
        subscriber("SUBSCRIBE", f"sse:{topic}")
        publisher.give("before")
        assert subscriber.read()[2] == b'sse1 - - {"data":"before"}'
        wait_until(lambda: publisher.out, "its answer")
        assert proxy.silence() == 1
        publisher.give(*range(7))
        for n in range(7):
            assert subscriber.read()[2] == b'sse1 - - {"data":"%d"}' % n
        assert publisher.wait() == 0
    assert "7 perhaps there twice, since the connection was lost" in publisher.err


def test_it_gives_up(own_redis, topic):
    """No progress for --timeout: exit 3, and which lines are certain and which are not."""
    with Publisher(own_redis, "--lines", "--timeout", "1s", topic) as publisher:
        publisher.give("one", "two")
        wait_until(lambda: len(publisher.ids) == 2, "ids")
        own_redis.pause()
        publisher.give("three", "four")
        assert publisher.wait() == 3
        own_redis.resume()
    assert "gave up after 1 s without an answer" in publisher.err
    assert "lines 3 to 4 of the input may be published or not" in publisher.err
    assert "--resume-from 3 goes on" in publisher.err and "published 2 events" in publisher.err


def test_it_gives_up_on_one_event(own_redis, topic):
    own_redis.pause()
    with Publisher(own_redis, "--timeout", "500ms", topic, "data") as publisher:
        code = publisher.wait()
        own_redis.resume()
    assert code == 3 and not publisher.out


def test_there_is_no_redis(tmp_path):
    """Where there never was a Redis, nothing is waited for."""
    done = run_publish("--redis", f"unix:{tmp_path}/no.sock", "--lines", "t", stdin=b"1\n")
    assert done.returncode == 3 and "cannot reach Redis" in done.stderr and "published" not in done.stderr


def test_a_busy_redis_is_waited_for(own_redis, topic):
    """BUSY while another script runs: tried again, and published once."""
    own_redis("CONFIG", "SET", "lua-time-limit", "1")
    with own_redis.client() as hog, Publisher(own_redis, "--lines", topic) as publisher:
        publisher.give("before")
        wait_until(lambda: publisher.ids, "an id")
        hog.send("EVAL", "while true do end", "0")
        wait_until(lambda: busy(own_redis), "a busy Redis")
        publisher.give("during")
        publisher.wait_err(r"takes no events just now: BUSY")
        own_redis("SCRIPT", "KILL")
        assert publisher.wait() == 0, publisher.err
    assert data_of(own_redis, topic) == ["before", "during"]


def busy(redis):
    try:
        redis("GET", "x")
    except RedisError as error:
        return str(error).startswith("BUSY")
    return False


def test_a_failover_is_waited_for(own_redis, topic):
    """READONLY while no master is there: tried again until one is."""
    with Publisher(own_redis, "--lines", topic) as publisher:
        publisher.give("before")
        wait_until(lambda: publisher.ids, "an id")
        own_redis("REPLICAOF", "127.0.0.1", "1")
        publisher.give("during")
        publisher.wait_err(r"takes no events just now: READONLY")
        own_redis("REPLICAOF", "NO", "ONE")
        assert publisher.wait() == 0, publisher.err
    assert data_of(own_redis, topic) == ["before", "during"] and "connected to Redis again" in publisher.err


def test_a_replica_that_stays_one(own_redis, topic):
    """READONLY to the end: an outage is told once, and the end says that Redis refused, and that nothing is published."""
    own_redis("REPLICAOF", "127.0.0.1", "1")
    done = run_publish("--timeout", "2s", topic, "data", env={"REDIS_URL": own_redis.url})
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("takes no events just now: READONLY") == 1 and "connected" not in done.stderr
    assert "gave up after 2 s in which Redis at" in done.stderr and "`sse-publish doctor` names its master" in done.stderr
    assert done.stderr.endswith("the event is not published\n")
    done = run_publish("--timeout", "1s", "--lines", topic, env={"REDIS_URL": own_redis.url}, stdin=b"1\n2\n")
    assert done.returncode == 1 and "nothing of it is published" in done.stderr
    own_redis("REPLICAOF", "NO", "ONE")
    assert length_of(own_redis, topic) == 0


def test_a_replica_in_the_middle(own_redis, topic):
    """The lines before are published, those behind are not, and the hint says where the border is."""
    with Publisher(own_redis, "--lines", "--timeout", "1s", topic) as publisher:
        publisher.give(1, 2)
        wait_until(lambda: len(publisher.ids) == 2, "ids")
        own_redis("REPLICAOF", "127.0.0.1", "1")
        publisher.give(3, 4)
        assert publisher.wait() == 1
    assert "stopped behind line 2 of the input: --resume-from 3 goes on" in publisher.err
    assert data_of(own_redis, topic) == ["1", "2"]


def test_interrupted_while_redis_hangs(own_redis, topic, proxy_to):
    """One event: a first Ctrl-C waits and says so, a second one says that nobody knows."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    with Publisher(own_redis, topic, url=f"redis://127.0.0.1:{proxy.port}") as publisher:
        wait_until(lambda: b"cmd=script" in own_redis("CLIENT", "LIST"), "a connection that is ready")
        own_redis.pause()
        publisher.child.stdin.write(b"data")
        publisher.child.stdin.close()
        publisher.child.stdin = None
        wait_until(lambda: any(b"EVALSHA" in link.seen for link in proxy.links), "the event to be sent")
        publisher.interrupt()
        publisher.wait_err("waiting for the answer of Redis; a second signal ends it now")
        publisher.interrupt()
        code = publisher.wait()
        own_redis.resume()
    assert code == 130 and "the event may be published or not: no answer came" in publisher.err


def test_interrupted_before_anything_was_sent(own_redis, topic):
    with Publisher(own_redis, topic) as publisher:
        wait_until(lambda: b"cmd=script" in own_redis("CLIENT", "LIST"), "a connection that is ready")
        publisher.interrupt()
        publisher.wait_err("^sse-publish: nothing is published\n$")
        assert publisher.wait() == 130


def test_a_forgotten_script_is_loaded_again(own_redis, topic, tmp_path):
    """SCRIPT FLUSH at any moment: nothing is lost or doubled, and nobody hears of it."""
    path = write_lines(tmp_path / "lines", 20_000)
    ended = lambda: publisher.child.poll() is not None  # noqa: E731
    with Publisher(own_redis, *HISTORY, "--rate", "20000/s", "--lines", topic, path) as publisher:
        while not ended():
            own_redis("SCRIPT", "FLUSH")
            # Whoever flushes faster than others can load and call leaves them no way to go on.
            length = own_redis("XLEN", f"sse:{{0}}:log:{topic}")
            wait_until(lambda length=length: ended() or own_redis("XLEN", f"sse:{{0}}:log:{topic}") > length, "an event")
        assert publisher.wait() == 0 and "again" not in publisher.err
    assert data_of(own_redis, topic) == numbers(20_000)


def test_a_full_redis(own_redis, topic):
    """OOM: every line of the batch failed, with the reason; with skip it goes on, with stop it does not."""
    own_redis("CONFIG", "SET", "maxmemory", "1")
    done = run_publish("--lines", topic, env={"REDIS_URL": own_redis.url}, stdin=b"1\n2\n3\n")
    assert done.returncode == 1
    assert "standard input:1-3: Redis refused 3 events: Redis is out of memory" in done.stderr
    assert "stopped at line 1 of the input: --resume-from 1 goes on" in done.stderr and "3 failed" in done.stderr
    with Publisher(own_redis, "--lines", "--on-error", "skip", topic) as publisher:
        publisher.give("1", "2")
        publisher.wait_err("out of memory")
        own_redis("CONFIG", "SET", "maxmemory", "0")
        publisher.give("3")
        assert publisher.wait() == 1
    assert data_of(own_redis, topic) == ["3"] and "published 1 event" in publisher.err and "2 failed" in publisher.err


def test_a_topic_that_cannot_be_written(own_redis, topic):
    """WRONGTYPE on one topic: its line alone fails where it has a call of its own."""
    own_redis("LPUSH", f"sse:{{0}}:log:{topic}.bad", "x")
    lines = [f'{{"topic":"{topic}.{name}","data":"{name}","key":"{name}"}}' for name in ("good", "bad", "also")]
    done = run_publish("--ndjson", "--on-error", "skip", env={"REDIS_URL": own_redis.url}, stdin="\n".join(lines).encode())
    assert done.returncode == 1 and "standard input:2: Redis refused: a key in Redis" in done.stderr
    assert f"it is sse:{{0}}:log:{topic}.bad, sse:{{0}}:last:{topic}.bad or sse:{{0}}:clock" in done.stderr
    assert "user_script" not in done.stderr
    assert data_of(own_redis, f"{topic}.good") == ["good"] and data_of(own_redis, f"{topic}.also") == ["also"]


def test_stored_but_not_announced(own_redis, topic):
    own_redis("ACL", "SETUSER", "mute", "on", ">secret", "~sse:*", "resetchannels", "+@all")
    url = own_redis.url.replace("redis://", "redis://mute:secret@")
    done = run_publish("--lines", topic, env={"REDIS_URL": url}, stdin=b"1\n2\n")
    assert done.returncode == 1 and "stored, but this Redis user may not publish" in done.stderr
    assert "--resume-from 1" not in done.stderr and "`sse-publish doctor`" in done.stderr
    assert data_of(own_redis, topic) == ["1", "2"]


def test_replicas_of_batches(own_redis, topic, socket_dir):
    """--wait-replicas with lines: each batch waits; unmet, it is told what is stored."""
    done = run_publish("--lines", "--wait-replicas", "1", "--timeout", "1s", topic,
                       env={"REDIS_URL": own_redis.url}, stdin=b"1\n2\n")
    assert done.returncode == 1 and "standard input:1-2: stored, but 0 of 1 replicas have it" in done.stderr
    assert "--resume-from 1" not in done.stderr
    lines = "".join(f"{n}\n" for n in range(1000)).encode()
    done = run_publish("--lines", "--wait-replicas", "2", "--timeout", "1s", f"{topic}.many",
                       env={"REDIS_URL": own_redis.url}, stdin=lines)
    number = int(re.search(r"stopped behind line (\d+) of the input: --resume-from \d+ goes on", done.stderr)[1])
    assert done.returncode == 1 and data_of(own_redis, f"{topic}.many") == numbers(number)
    assert f"--resume-from {number + 1} goes on" in done.stderr
    replica = Redis(socket_dir)
    try:
        replica("REPLICAOF", "127.0.0.1", own_redis.port)
        wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"), "replication")
        lines = "".join(f"{n}\n" for n in range(1000)).encode()
        done = run_publish("--lines", "--wait-replicas", "1", topic, env={"REDIS_URL": own_redis.url}, stdin=lines)
        assert done.returncode == 0, done.stderr
        assert length_of(replica, topic) == 1002
    finally:
        replica.stop()


def test_no_right_to_wait(own_redis, topic):
    """--wait-replicas without +wait: stored, and the right is named, in Redis's words as well."""
    own_redis("ACL", "SETUSER", "hasty", "on", ">secret", "~*", "&*", "+@all", "-wait")
    url = own_redis.url.replace("redis://", "redis://hasty:secret@")
    done = run_publish("--wait-replicas", "1", topic, "x", env={"REDIS_URL": url})
    assert done.returncode == 1 and data_of(own_redis, topic) == ["x"]
    assert "Redis refused WAIT: NOPERM" in done.stderr and "the user needs the right +wait" in done.stderr


def test_the_clock_goes_on(own_redis, topic):
    """clock: Redis killed and restarted, and the clock ticks on."""
    with Publisher(own_redis, "clock", "--every", "5ms", topic) as publisher:
        wait_until(lambda: len(publisher.ids) > 3, "ticks")
        own_redis.stop()
        publisher.wait_err("lost Redis")
        own_redis.start()
        publisher.wait_err("connected to Redis again")
        count = len(publisher.ids)
        wait_until(lambda: len(publisher.ids) > count + 3, "more ticks")
        publisher.interrupt()
        assert publisher.wait() == 0


def test_the_clock_ends_without_redis(own_redis, topic):
    """clock: a signal ends it at once while Redis is away."""
    with Publisher(own_redis, "clock", "--every", "5ms", topic) as publisher:
        wait_until(lambda: len(publisher.ids) > 3, "ticks")
        own_redis.stop()
        publisher.wait_err("lost Redis")
        publisher.interrupt()
        assert publisher.wait() == 0
