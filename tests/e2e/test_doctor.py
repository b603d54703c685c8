"""sse-publish doctor: what it finds in real servers of all kinds, and that it leaves them as they were."""

import json
import pathlib
import re
import socket
import tempfile
import threading

import pytest

from harness import Process, Redis, free_port, json_lines, run_publish, wait_until
from resp import RedisClient, RedisError

# The checks of a Redis, in their order. What a test does not speak of must be as it is for a fresh one.
CHECKS = {
    "connection": "ok",
    "database": "ok",
    "version": "ok",
    "role": "ok",
    "cluster": "ok",
    "persistence": "warn",
    "disk": "ok",
    "memory": "ok",
    "eviction": "ok",
    "logs": "ok",
    "replicas": "ok",
    "output-buffer": "warn",
    "clients": "ok",
    "timeout": "ok",
    "keepalive": "ok",
    "scripts": "ok",
    "publish-rights": "ok",
    "relay-rights": "ok",
    "time": "ok",
    "clock": "ok",
    "keys": "ok",
}


class Findings(list):
    """The objects of one run, in order."""

    def of(self, check):
        found = [f for f in self if f["check"] == check]
        assert found, f"no {check} in {self}"
        return found

    def one(self, check):
        (found,) = self.of(check)
        return found

    def expect(self, **levels):
        """The worst of each check is as in CHECKS, but for these (with _ for -)."""
        wanted = CHECKS | {name.replace("_", "-"): level for name, level in levels.items()}
        order = ["ok", "skip", "warn", "fail"]
        got = {name: max((f["status"] for f in self.of(name)), key=order.index) for name in CHECKS}
        assert got == wanted, [f for f in self if got[f["check"]] != wanted[f["check"]]]


def doctor(url, *args, code=None):
    """Its findings; the exit code has to go with them unless @code says otherwise."""
    done = run_publish("doctor", "--json", "--redis", url, *args)
    findings = Findings(json_lines(done.stdout))
    for finding in findings:
        assert finding.keys() == {"check", "status", "finding", "advice"}
        assert finding["finding"] and (finding["advice"] is None or finding["advice"])
    failed = any(f["status"] == "fail" for f in findings)
    assert done.returncode == (int(failed) if code is None else code), (findings, done.stderr)
    assert "nothing was written" in done.stderr
    return findings


@pytest.fixture
def start_redis():
    """A function that starts a redis-server with options of its own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        started = []

        def start(*options):
            home = pathlib.Path(directory) / str(len(started))
            home.mkdir()
            started.append(Redis(home, *options))
            return started[-1]

        yield start
        for server in started:
            server.stop()


# ---- one server ----


def test_fresh(own_redis):
    """A redis-server as one starts it: nothing fails, and nothing is there afterwards."""
    findings = doctor(own_redis.url)
    findings.expect()
    assert [f["check"] for f in findings] == list(CHECKS)
    assert "default" in findings.one("connection")["finding"]
    assert own_redis("DBSIZE") == 0


def test_it_changes_nothing(own_redis):
    """Not a key, not a script, not a time to live."""
    done = run_publish("--redis", own_redis.url, "--key", "k", "t", "x")
    assert done.returncode == 0
    own_redis("CONFIG", "RESETSTAT")
    dump = {key: own_redis("DUMP", key) for key in own_redis("KEYS", "*")}
    dirty = info(own_redis)["rdb_changes_since_last_save"]
    scripts = info(own_redis)["number_of_cached_scripts"]
    doctor(own_redis.url).expect()
    assert {key: own_redis("DUMP", key) for key in own_redis("KEYS", "*")} == dump
    assert info(own_redis)["rdb_changes_since_last_save"] == dirty
    assert info(own_redis)["number_of_cached_scripts"] == scripts


def info(redis):
    """INFO as a table."""
    return dict(line.split(":", 1) for line in redis("INFO", "everything").decode().split("\r\n") if ":" in line)


def test_as_text(own_redis):
    """`level  check: finding; advice`, a line each; how many on standard error."""
    done = run_publish("doctor", "--redis", own_redis.url)
    lines = done.stdout.splitlines()
    assert len(lines) == len(CHECKS) and "\033" not in done.stdout
    assert all(re.fullmatch(r"(ok  |warn|fail|skip)  [a-z-]+: .+", line) for line in lines)
    assert any(line.startswith("warn  persistence: ") and "; CONFIG SET appendonly yes" in line for line in lines)
    assert "19 ok, 2 to look at, 0 failed, 0 not checked" in done.stderr


def apply(redis, advice):
    """Do what an advice says: `CONFIG SET name value, and in redis.conf: …`."""
    match = re.match(r'CONFIG SET (\S+) (?:"([^"]*)"|(\S+?)), and in redis.conf: (.+)', advice)
    assert match, advice
    redis("CONFIG", "SET", match[1], match[2] or match[3])


@pytest.mark.parametrize(
    "check, level, name, value",
    [
        ("eviction", "warn", "maxmemory-policy", "allkeys-lru"),
        ("timeout", "warn", "timeout", "10"),
        ("keepalive", "warn", "tcp-keepalive", "0"),
        ("scripts", "warn", "lua-time-limit", "10"),
        ("output-buffer", "warn", "client-output-buffer-limit", "pubsub 64mb 64mb 60"),
        ("persistence", "warn", "save", "60 1"),
    ],
)
def test_what_it_advises_is_what_it_wants(own_redis, check, level, name, value):
    """A setting that is wrong is found, and is fine once its advice was followed."""
    own_redis("CONFIG", "SET", name, value)
    finding = doctor(own_redis.url).one(check)
    assert finding["status"] == level
    apply(own_redis, finding["advice"])
    doctor(own_redis.url).expect(**{check: "ok"})


def test_an_idle_limit_above_the_ping(own_redis):
    own_redis("CONFIG", "SET", "timeout", "60")
    doctor(own_redis.url).expect()


def test_logs_that_are_hardly_trimmed(own_redis):
    own_redis("CONFIG", "SET", "stream-node-max-bytes", "0")
    doctor(own_redis.url).expect()
    own_redis("CONFIG", "SET", "stream-node-max-entries", "10000")
    finding = doctor(own_redis.url).one("logs")
    assert finding["status"] == "warn" and "10000" in finding["finding"]
    apply(own_redis, finding["advice"])
    doctor(own_redis.url).expect()


def test_many_epochs(own_redis):
    """Redis that starts again and again, or publishers that pass an old run_id and may not ask."""
    run_publish("--redis", own_redis.url, "t", "x")
    own_redis("HSET", "sse:{0}:clock", "epoch", "100", *sum(([f"from:{n}", "1-1"] for n in range(90, 101)), []))
    finding = doctor(own_redis.url).one("clock")
    assert finding["status"] == "warn" and "11 epochs" in finding["finding"] and "run_id" in finding["advice"]


def test_eviction_with_a_limit(own_redis):
    own_redis("CONFIG", "SET", "maxmemory", "1gb")
    doctor(own_redis.url).expect()
    own_redis("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    findings = doctor(own_redis.url)
    findings.expect(eviction="fail")
    assert "volatile-ttl" in findings.one("eviction")["finding"]


def test_persistence(start_redis):
    """What a crash would cost."""
    redis = start_redis("--appendonly", "yes")
    findings = doctor(redis.url)
    findings.expect(persistence="ok")
    synced, torn = findings.of("persistence")
    assert "second" in synced["finding"] and "aof-load-truncated yes" in torn["finding"]
    for finding in (synced, torn):
        apply(redis, finding["advice"])
    assert "nothing" in doctor(redis.url).one("persistence")["finding"]
    redis("CONFIG", "SET", "appendfsync", "no")
    doctor(redis.url).expect(persistence="warn")


def test_another_database(own_redis):
    """Pub/sub takes no notice of its number, keys do."""
    findings = doctor(own_redis.url + "/3")
    findings.expect(database="warn")
    assert findings.one("database")["finding"].startswith("3; ")


def test_a_snapshot_that_fails(start_redis, socket_dir):
    """MISCONF: publishing is refused from then on."""
    gone = socket_dir / "gone"
    gone.mkdir()
    redis = start_redis("--save", "900 1", "--dir", gone)
    gone.rmdir()  # where not even root can write
    redis("SET", "x", "y")
    redis("BGSAVE")
    wait_until(lambda: info(redis)["rdb_last_bgsave_status"] == "err", "a snapshot that fails")
    done = run_publish("--redis", redis.url, "t", "x")
    assert done.returncode == 1 and "MISCONF" in done.stderr
    findings = doctor(redis.url)
    findings.expect(disk="fail")
    assert "MISCONF" in findings.one("disk")["finding"]
    redis("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    doctor(redis.url).expect(disk="warn")


def test_memory(own_redis):
    """Nearly full, and full."""
    own_redis("SET", "ballast", "x" * 8_000_000)
    used = int(info(own_redis)["used_memory"])
    own_redis("CONFIG", "SET", "maxmemory", str(int(used * 1.07)))
    doctor(own_redis.url).expect(memory="warn")
    own_redis("CONFIG", "SET", "maxmemory", str(used // 2))
    doctor(own_redis.url).expect(memory="fail")


def test_clients(own_redis):
    own_redis("CONFIG", "SET", "maxclients", "10")
    clients = [own_redis.client() for _ in range(8)]
    doctor(own_redis.url).expect(clients="warn")
    clients += [own_redis.client() for _ in range(2)]
    (finding,) = doctor(own_redis.url, code=1)
    assert finding["check"] == "connection" and "max number of clients" in finding["finding"]
    for client in clients:
        client.close()


# ---- rights ----

PUBLISH_RIGHTS = (
    "+eval +evalsha +script|load +info +time +get +set +del +pexpire +hmget +hget +hset +xadd +xrevrange +publish"
)
RELAY_RIGHTS = "+ping +hgetall +hkeys +hdel +xrange +zrange +subscribe +unsubscribe"


def as_user(redis, *rules):
    """The URL for a user with these rights alone."""
    redis("ACL", "SETUSER", "u", "reset", "on", ">secret", *rules)
    return redis.url.replace("//", "//u:secret@")


SKIPPED = dict.fromkeys(["logs", "output-buffer", "timeout", "keepalive", "scripts", "keys"], "skip")
NO_RELAY = SKIPPED | {"relay-rights": "warn", "publish-rights": "warn", "clock": "skip"}


def test_a_publisher(own_redis):
    """The rights that the README gives a publisher are enough, and what it may not ask is skipped with the reason."""
    findings = doctor(as_user(own_redis, *PUBLISH_RIGHTS.split(), "~sse:{*", "&sse:*"))
    findings.expect(**NO_RELAY)
    assert findings.one("relay-rights")["advice"].startswith(
        "ACL SETUSER u +ping +hgetall +hkeys +hdel +xrange +zrange +subscribe +unsubscribe,"
    )
    assert "NOPERM" in findings.one("timeout")["finding"]
    assert not any("secret" in json.dumps(f) for f in findings)


def test_a_relay(own_redis):
    findings = doctor(as_user(own_redis, *PUBLISH_RIGHTS.split(), *RELAY_RIGHTS.split(), "~sse:{*", "&sse:*"))
    findings.expect(**SKIPPED | {"publish-rights": "warn"})
    assert "+wait" in findings.of("publish-rights")[1]["finding"]


@pytest.mark.parametrize("missing", [*PUBLISH_RIGHTS.split(), "~sse:{*", "&sse:*"])
def test_each_right_of_publishing(own_redis, missing):
    """Missing, it is named, and the advice as it stands puts it right."""
    rules = ["+@all", "~sse:{*", "&sse:*"]
    if missing in rules:
        rules.remove(missing)
    else:
        rules.append("-" + missing[1:])
    url = as_user(own_redis, *rules)
    finding = doctor(url, code=1).of("publish-rights")[0]
    assert finding["status"] == "fail" and missing in finding["finding"]
    advice = re.match(r"ACL SETUSER u ([^,]*), ", finding["advice"])
    assert advice[1] == missing
    own_redis("ACL", "SETUSER", "u", *advice[1].split())
    doctor(url).expect(keys="ok")


@pytest.mark.parametrize("missing", RELAY_RIGHTS.split())
def test_each_right_of_relaying(own_redis, missing):
    url = as_user(own_redis, "+@all", "~sse:{*", "&sse:*", "-" + missing[1:])
    finding = doctor(url).one("relay-rights")
    assert finding["status"] == "warn" and finding["advice"].startswith(f"ACL SETUSER u {missing},")


def test_a_command_that_was_renamed(start_redis):
    """rename-command: the server does not know it any more."""
    findings = doctor(start_redis("--rename-command", "CONFIG", "", "--rename-command", "XADD", "secret").url)
    findings.expect(**SKIPPED | {"publish-rights": "fail", "relay-rights": "warn", "keys": "ok"})
    assert "+xadd" in findings.one("publish-rights")["finding"]
    assert "unknown command" in findings.one("timeout")["finding"]


def test_a_password(own_redis):
    redis = own_redis
    redis("CONFIG", "SET", "requirepass", "hunter2")
    (finding,) = doctor(redis.url, code=1)
    assert finding["check"] == "connection" and "NOAUTH" in finding["finding"] and "REDIS_URL" in finding["finding"]
    (finding,) = doctor(redis.url.replace("//", "//:wrong@"), code=1)
    assert "WRONGPASS" in finding["finding"] and "wrong@" not in finding["finding"]
    doctor(redis.url.replace("//", "//:hunter2@")).expect()


# ---- the domain ----


def test_the_domains_clock(own_redis):
    """Born, of another process of Redis, ahead of the time, broken, and no clock at all."""
    assert "not born" in doctor(own_redis.url).one("clock")["finding"]
    run_publish("--redis", own_redis.url, "t", "x")
    fields = own_redis("HGETALL", "sse:{0}:clock")
    clock = dict(zip(fields[::2], fields[1::2], strict=True))
    finding = doctor(own_redis.url).one("clock")["finding"]
    assert clock[b"birth"].decode() in finding and "epoch 1" in finding
    own_redis("HSET", "sse:{0}:clock", "run", "another")
    assert "begins a later one" in doctor(own_redis.url).one("clock")["finding"]
    own_redis("HSET", "sse:{0}:clock", "ms", int(clock[b"ms"]) + 3_600_000)
    findings = doctor(own_redis.url)
    findings.expect(clock="warn")
    assert re.search(r"3[56]\d\d s ahead", findings.one("clock")["finding"])
    own_redis("HSET", "sse:{0}:clock", "ms", "soon")
    doctor(own_redis.url).expect(clock="fail")
    own_redis("DEL", "sse:{0}:clock")
    own_redis("SET", "sse:{0}:clock", "noon")
    doctor(own_redis.url).expect(clock="fail", keys="fail")


def test_keys_of_others(own_redis):
    run_publish("--redis", own_redis.url, "--key", "k", "t", "x")
    own_redis("SET", "sse:{0}:queue:1", "x")
    own_redis("SET", "sse:else", "x")
    findings = doctor(own_redis.url)
    findings.expect(keys="warn")
    assert findings.one("keys")["finding"].startswith("1 under")
    own_redis("SADD", "sse:{0}:log:news", "x")
    findings = doctor(own_redis.url)
    findings.expect(keys="fail")
    assert "sse:{0}:log:news (a set)" in findings.one("keys")["finding"]
    doctor(own_redis.url, "--prefix", "other").expect()


# ---- several servers ----


def replica_of(start_redis, master):
    replica = start_redis("--replicaof", f"127.0.0.1 {master.port}")
    wait_until(lambda: info(replica)["master_link_status"] == "up", "replication")
    wait_until(lambda: "state=online" in info(master).get("slave0", ""), "a replica that is online")
    return replica


def test_a_replica(own_redis, start_redis):
    replica = replica_of(start_redis, own_redis)
    findings = doctor(replica.url)
    findings.expect(role="fail")
    role = findings.one("role")
    assert role["advice"] == f"--redis {own_redis.url}" and "link up" in role["finding"]
    # The rights of a user are the same on a replica, although it refuses every write.
    assert findings.one("publish-rights")["status"] == "ok"


def test_a_master_with_a_replica(own_redis, start_redis):
    replica = replica_of(start_redis, own_redis)
    findings = doctor(own_redis.url)
    findings.expect(replicas="warn")
    for finding in findings.of("replicas"):
        apply(own_redis, finding["advice"])
    wait_until(lambda: info(own_redis).get("min_slaves_good_slaves") == "1", "a replica that counts")
    doctor(own_redis.url).expect(replicas="ok")
    replica.stop()
    wait_until(lambda: info(own_redis)["connected_slaves"] == "0", "the end of the replica")
    findings = doctor(own_redis.url)
    findings.expect(replicas="fail")
    assert "NOREPLICAS" in findings.one("replicas")["finding"]


@pytest.fixture
def sentinel(own_redis, tmp_path):
    """A Sentinel that watches own_redis."""
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor mymaster 127.0.0.1 {own_redis.port} 1\n"
        "sentinel down-after-milliseconds mymaster 500\n"
    )
    process = Process(["redis-server", config, "--sentinel"], tmp_path, "sentinel")
    wait_until(lambda: answers(port), "the Sentinel")
    yield f"redis://127.0.0.1:{port}"
    process.kill()


def answers(port):
    try:
        client = RedisClient(("127.0.0.1", port))
    except OSError:
        return False
    with client:
        return client("PING") == "PONG"


def test_a_sentinel(own_redis, sentinel):
    """It says what it is, whom it watches and how they are, and where to point --redis instead."""
    findings = doctor(sentinel)
    assert [f["check"] for f in findings] == ["connection", "version", "sentinel", "sentinel"]
    this, master = findings.of("sentinel")
    assert this["status"] == "fail" and this["advice"] == f"--redis {own_redis.url}"
    assert master["status"] == "ok" and "mymaster" in master["finding"] and "quorum 1" in master["finding"]
    own_redis.stop()
    wait_until(lambda: "o_down" in doctor(sentinel).of("sentinel")[1]["finding"], "a master that is down")
    assert doctor(sentinel).of("sentinel")[1]["status"] == "fail"


def cluster_node(start_redis):
    return start_redis("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")


def test_a_cluster(start_redis):
    """Without slots it does not work; with all of them on one node it does, and is not followed."""
    node = cluster_node(start_redis)
    findings = doctor(node.url)
    findings.expect(cluster="fail", clock="skip")
    assert "0 of 16384 slots" in findings.one("cluster")["finding"]
    node("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    wait_until(lambda: b"cluster_state:ok" in node("CLUSTER", "INFO"), "a cluster that works")
    findings = doctor(node.url)
    findings.expect(cluster="warn")
    assert "do not follow" in findings.one("cluster")["finding"]


def test_the_wrong_node_of_a_cluster(start_redis):
    """The slot of {0} is on another node, which is named."""
    here, there = cluster_node(start_redis), cluster_node(start_redis)
    slot = here("CLUSTER", "KEYSLOT", "sse:{0}:clock")
    for node, ranges in ((there, (slot, slot)), (here, (0, slot - 1, slot + 1, 16383))):
        node("CLUSTER", "ADDSLOTSRANGE", *ranges)
    here("CLUSTER", "MEET", "127.0.0.1", there.port)
    for node in (here, there):
        wait_until(lambda node=node: b"cluster_state:ok" in node("CLUSTER", "INFO"), "a cluster that works")
    findings = doctor(here.url)
    findings.expect(cluster="fail", clock="skip")
    assert f"--redis {there.url}" in findings.one("cluster")["advice"]
    doctor(there.url).expect(cluster="warn")


# ---- no Redis ----


def test_nobody_there(own_redis):
    own_redis.stop()
    (finding,) = doctor(own_redis.url, code=3)
    assert finding["check"] == "connection" and finding["status"] == "fail"
    assert "cannot reach Redis" in finding["finding"] and "--redis" in finding["finding"]


def test_one_that_does_not_answer(own_redis):
    own_redis.pause()
    (finding,) = doctor(own_redis.url, "--timeout", "200ms", code=3)
    assert "in time" in finding["finding"]


def test_a_web_server(relay):
    (finding,) = doctor(f"redis://{relay.address[0]}:{relay.address[1]}", "--timeout", "5s", code=3)
    assert finding["status"] == "fail" and "Redis" in finding["finding"]


class Liar:
    """Speaks Redis's protocol, and answers each command with what @answer makes of its words."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "redis://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as file:
                while line := file.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        words.append(file.read(int(file.readline()[1:]) + 2)[:-2])
                    sock.sendall(b"+PONG\r\n" if words == [b"PING"] else self.answer(words))

    def close(self):
        self.listener.close()


@pytest.fixture
def liar():
    liars = []

    def start(answer):
        liars.append(Liar(answer))
        return liars[-1].url

    yield start
    for one in liars:
        one.close()


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*2\r\n*0\r\n:1\r\n",
        b"*2\r\n$1\r\n5\r\n*1\r\n$3\r\nabc\r\n",
        b"-ERR I am a teapot\r\n",
        b"-NOPERM\r\n",
        b"$3\r\n\x1b[m\r\n",
        bulk("redis_version:99999999999999999999999.1\r\nredis_mode:sentinel\r\n"),
        bulk("maxmemory:-1\r\nused_memory:1e9\r\nconnected_slaves:99999999999\r\nrole:\xff\x1b[2J\r\n"),
    ],
)
def test_one_that_answers_anything(liar, answer):
    """Never a crash, never for ever, and nothing that does something to a terminal."""
    done = run_publish("doctor", "--redis", liar(lambda words: answer), "--timeout", "5s")
    assert done.returncode in (0, 1) and done.stdout.count("\n") >= 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    assert not re.search(r"\(null\)", done.stdout)


def test_one_whose_clock_is_wrong(liar, own_redis):
    """TIME of another day; everything else is answered by a real Redis."""
    shift = 0

    def answer(words):
        with own_redis.client() as client:
            client.send(*words)
            if words == [b"TIME"]:
                seconds, micros = client.read()
                return b"*2\r\n" + bulk(str(int(seconds) + shift)) + bulk(micros.decode())
            return raw_reply(client)

    url = liar(answer)
    doctor(url).expect()
    for shift, level, words in ((30, "warn", "ahead of"), (-30, "warn", "behind"), (86400, "fail", "ahead of")):
        findings = doctor(url)
        findings.expect(time=level)
        assert words in findings.one("time")["finding"] and "NTP" in findings.one("time")["advice"]


def raw_reply(client):
    """One reply as it came."""
    try:
        reply = client.read()
    except RedisError as error:
        return b"-%s\r\n" % str(error).encode()
    return encode(reply)


def encode(reply):
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, str):
        return b"+%s\r\n" % reply.encode()
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(encode(part) for part in reply)
