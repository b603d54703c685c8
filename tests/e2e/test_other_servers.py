"""Other servers than the one in PATH (REDIS_SERVERS, as tests/e2e/README.md says): Valkey, newer and older Redis, and one
that is too old; and servers in states that nobody should run.
"""

import json
import re
import subprocess
import tempfile

import pytest

import harness
from harness import run_publish, wait_until
from settings import OTHER_SERVERS


def version_of(path):
    """("Redis", (7, 0)), as `--version` tells."""
    words = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.split()
    number = next(word[2:] for word in words if word.startswith("v="))
    return words[0], tuple(int(n) for n in number.split(".")[:2])


SERVERS = {path: version_of(path) for path in OTHER_SERVERS}
FIT = [path for path, (name, version) in SERVERS.items() if name == "Valkey" or version >= (6, 2)]
OLD = [path for path, (name, version) in SERVERS.items() if name == "Redis" and version < (6, 2)]
NONE = [pytest.param(None, marks=pytest.mark.skip(reason="REDIS_SERVERS names none"))]


def doctor(url):
    return {line["check"]: line for line in map(json.loads, run_publish("doctor", "--json", "--redis", url).stdout.splitlines())}


@pytest.fixture
def start():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        started = []

        def start_one(*options, **how):
            started.append(harness.Redis(directory, *options, **how))
            return started[-1]

        yield start_one
        for server in started:
            server.stop()


@pytest.mark.parametrize("path", FIT or NONE)
def test_a_server_that_is_fit(start_relay, start, topic, path):
    """Publishing, replays, an epoch, a key, many events, on each; and it goes by its own name."""
    redis = start(program=path)
    name = SERVERS[path][0]
    relay = start_relay("--allow-anonymous-publish", redis_url=redis.url.replace("redis://", "valkey://")).wait_ready()
    (server,) = [line for line in relay.logs() if line["msg"] == "Redis server"]
    assert server["name"] == name and server["version"].startswith("%d.%d" % SERVERS[path][1]) and server["mode"] == "standalone"
    assert name in doctor(redis.url)["version"]["finding"] and doctor(redis.url)["publish-rights"]["status"] == "ok"
    first = json.loads(relay.post(f"/sse?topic={topic}&key=k", b"0").body)["ids"][topic]
    assert json.loads(relay.post(f"/sse?topic={topic}&key=k", b"0").body)["ids"][topic] == first
    lines = "".join(f"{n}\n" for n in range(1, 301)).encode()
    assert run_publish("--redis", redis.url, "--lines", topic, stdin=lines).returncode == 0
    redis("HSET", "sse:{0}:clock", "run", "another")
    assert relay.post(f"/sse?topic={topic}", b"301").status == 200
    with relay.live(f"/sse?topic={topic}&lastEventId={first}") as stream:
        assert [e.data for e in stream.events if e.data.isdigit()] == [str(n) for n in range(1, 302)]
        assert not stream.named("relay.reset")
    assert relay.post(f"/sse?topic={topic}&live", b"x").status == 200


@pytest.mark.parametrize("path", OLD or NONE)
def test_a_server_that_is_too_old(start_relay, start, topic, path):
    """Relay, publisher and doctor refuse it, in words."""
    redis = start(program=path)
    relay = start_relay("--allow-anonymous-publish", redis_url=redis.url).wait_listening()
    wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="old") == 1, "the version")
    assert relay.get("/readyz").status == 503 and "6.2" in relay.get("/readyz").body.decode()
    assert [line for line in relay.logs() if line["level"] == "error" and "too old" in line.get("why", "")]
    answer = relay.post(f"/sse?topic={topic}", b"x")
    assert answer.status == 502 and "too old" in answer.body.decode()
    done = run_publish("--redis", redis.url, topic, "x")
    assert done.returncode != 0 and "too old" in done.stderr and "6.2" in done.stderr
    assert doctor(redis.url)["version"]["status"] == "fail"
    assert redis("DBSIZE") == 0


def test_a_server_that_evicts(start_relay, start, topic):
    """Refused at the start, in words, until it is mended; a relay that serves already goes on, and warns."""
    redis = start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    relay = start_relay("--allow-anonymous-publish", redis_url=redis.url).wait_listening()
    wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="evicts") == 1, "the policy")
    answer = relay.get("/readyz")
    assert answer.status == 503 and "noeviction" in answer.body.decode() and "--allow-eviction" in answer.body.decode()
    assert relay.post(f"/sse?topic={topic}", b"x").status == 502
    allowed = start_relay("--allow-anonymous-publish", "--allow-eviction", redis_url=redis.url).wait_ready()
    assert [line for line in allowed.logs() if line["level"] == "warn" and "may evict" in line["msg"]]
    redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
    wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
    assert relay.post(f"/sse?topic={topic}", b"x").status == 200
    redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    redis("CLIENT", "KILL", "TYPE", "normal")
    wait_until(lambda: [line for line in relay.logs() if "may evict" in line["msg"]] or relay.get("/readyz").status == 200, "it")
    assert relay.get("/readyz").status == 200


def test_logs_that_are_hardly_trimmed(start_relay, start, own_redis):
    """Said once for each server, however often its connections are made anew; and nothing where all is well."""
    redis = start("--stream-node-max-entries", "0", "--stream-node-max-bytes", "0")

    def told(relay, text):
        return [line for line in relay.logs() if text in line["msg"]]

    def calls(server, command):
        found = re.search(rb"cmdstat_%s:calls=(\d+)" % command, server("INFO", "commandstats"))
        return int(found[1]) if found else 0

    relay = start_relay(redis_url=redis.url).wait_ready()
    wait_until(lambda: told(relay, "stream-node-max-entries"), "the warning")
    redis("CLIENT", "KILL", "TYPE", "normal")
    wait_until(lambda: told(relay, "connected to Redis again"), "the connections")
    before = calls(redis, b"info")
    wait_until(lambda: calls(redis, b"info") >= before + 5, "the server to be looked at again")
    (line,) = told(relay, "stream-node-max-entries")
    assert line["level"] == "warn" and line["stream_node_max_entries"] == 0 and line["stream_node_max_bytes"] == 0
    own_redis("CONFIG", "SET", "stream-node-max-entries", "0")  # the limit by bytes is left
    other = start_relay(redis_url=own_redis.url).wait_ready()
    wait_until(lambda: calls(own_redis, rb"config\|get") == 1, "the question")
    other.finish()
    assert not told(other, "stream-node-max-entries")


def test_a_sentinel(start_relay, tmp_path, start):
    """It answers as a Redis does, and is none: named, with what to do."""
    redis, port = start(), harness.free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {redis.port} 1\n")
    sentinel = harness.Process(["redis-server", config, "--sentinel"], tmp_path, "sentinel")
    try:
        relay = start_relay(redis_url=f"redis://127.0.0.1:{port}").wait_listening()
        wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="sentinel") == 1, "the mode")
        assert "a Sentinel" in relay.get("/readyz").body.decode() and "SENTINEL MASTERS" in relay.get("/readyz").body.decode()
        (told,) = wait_until(lambda: [line for line in relay.logs() if "watches" in line["msg"]], "the master's address")
        assert (told["name"], told["master_host"], int(told["master_port"])) == ("mymaster", "127.0.0.1", redis.port)
        (unfit,) = [line for line in relay.logs() if "not fit" in line["msg"]]
        assert unfit["address"] == f"redis://127.0.0.1:{port}"
    finally:
        sentinel.kill()


# ---- nodes of a Cluster ----


@pytest.fixture
def cluster_nodes():
    """Two nodes of a Cluster that know each other, and have no slots yet; and the slot of the clock."""
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    with tempfile.TemporaryDirectory(dir="/tmp") as one, tempfile.TemporaryDirectory(dir="/tmp") as other:
        nodes = []
        try:
            for directory in one, other:
                bus_port = harness.free_port()
                nodes.append(harness.Redis(directory, *options, "--cluster-port", str(bus_port)))
                nodes[-1].bus_port = bus_port
            nodes[1]("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port)
            wait_until(lambda: all(b"cluster_known_nodes:2" in node("CLUSTER", "INFO") for node in nodes), "the handshake")
            yield *nodes, nodes[0]("CLUSTER", "KEYSLOT", "sse:{0}:clock")
        finally:
            for node in nodes:
                node.stop()


@pytest.mark.parametrize("owner", ["nobody", "another node"])
def test_a_cluster_node_without_the_slot(start_relay, cluster_nodes, topic, owner):
    """Not ready, with the reason, which the log has too; live events flow; once the node has the slot, all is well."""
    node, other, slot = cluster_nodes
    node("CLUSTER", "ADDSLOTSRANGE", 0, slot - 1, slot + 1, 16383)
    if owner != "nobody":
        other("CLUSTER", "ADDSLOTS", slot)
        wait_until(lambda: b"cluster_slots_assigned:16384" in node("CLUSTER", "INFO"), "the slot to be known")
    wait_until(lambda: b"cluster_state:ok" in node("CLUSTER", "INFO"), "the Cluster")
    word = "CLUSTERDOWN" if owner == "nobody" else "MOVED"

    relay = start_relay("--allow-anonymous-publish", redis_url=node.url).wait_listening()
    wait_until(lambda: relay.metrics().get("sse_relay_redis_unfit", reason="clock") == 1, "the reason")
    answer = relay.get("/readyz")
    reason = "no node serves the clock's slot" if owner == "nobody" else "the clock is on another node of this Cluster"
    assert answer.status == 503 and reason in answer.body.decode()
    assert [line for line in relay.logs() if line["level"] == "error" and word in line.get("why", "")]
    assert [line for line in relay.logs() if line["level"] == "warn" and "node of a Cluster" in line["msg"]]
    with relay.stream(f"/sse?topic={topic}") as stream:
        wait_until(lambda: f"sse:{topic}" in node.subscriptions(), "the subscription")
        node.publish(topic, "raw")
        stream.wait_data("raw")
        assert relay.post(f"/sse?topic={topic}&live", b"posted").status == 200
        stream.wait_data("posted")
        refused = relay.post(f"/sse?topic={topic}", b"durable")
        assert refused.status in (502, 503), refused.body
        assert not stream.named("relay.live")

        if owner != "nobody":
            other("CLUSTER", "DELSLOTS", slot)
            node("CLUSTER", "DELSLOTS", slot)
        node("CLUSTER", "ADDSLOTS", slot)
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        stream.wait_live()
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"durable").status == 200, "a publish")
        stream.wait_data("durable")


# ---- keys that vanish ----


def test_keys_that_are_evicted(start_relay, start, topic):
    """A client that returns is told, though nothing of its topic is left; and one that has missed nothing is not."""
    redis = start("--maxmemory-policy", "volatile-random")  # all keys of ours but the clock have a time to live
    relay = start_relay("--allow-anonymous-publish", "--allow-eviction", redis_url=redis.url).wait_ready()
    old = json.loads(relay.post(f"/sse?topic={topic}", b"1").body)["ids"][topic]
    relay.post(f"/sse?topic={topic}", b"2")
    redis("SET", "other", "x" * 3_000_000)
    redis("CONFIG", "SET", "maxmemory", "2mb")
    wait_until(lambda: redis("EXISTS", f"sse:{{0}}:log:{topic}", f"sse:{{0}}:last:{topic}") == 0, "the eviction")
    redis("CONFIG", "SET", "maxmemory", "0")
    wait_until(lambda: relay.metrics()["sse_relay_redis_evictions_noted_total"] >= 1, "the note")
    with relay.live(f"/sse?topic={topic}&lastEventId={old}") as stream:
        (reset,) = stream.named("relay.reset")
        assert json.loads(reset.data)["reason"] == "trimmed"
        now = stream.named("relay.live")[0].id
    with relay.live(f"/sse?topic={topic}&lastEventId={now}") as stream:
        assert not stream.named("relay.reset")


def test_keys_that_are_removed_by_hand(start_relay, own_redis, topic):
    """Of a topic that a relay serves: noticed with the next event or read, noted, and told by every relay."""
    one, other = (start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready() for _ in range(2))
    old = json.loads(one.post(f"/sse?topic={topic}", b"1").body)["ids"][topic]
    with one.live(topic):
        one.post(f"/sse?topic={topic}", b"2")
        own_redis("DEL", f"sse:{{0}}:log:{topic}", f"sse:{{0}}:last:{topic}")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")  # and it is read again
        wait_until(lambda: own_redis("HGET", "sse:{0}:clock", "evicted"), "the note")
    for relay in (one, other):
        with relay.live(f"/sse?topic={topic}&lastEventId={old}") as stream:
            (reset,) = stream.named("relay.reset")
            assert json.loads(reset.data)["reason"] == "trimmed"
