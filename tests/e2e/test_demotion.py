"""A master that is demoted and keeps its connections (FAILOVER, REPLICAOF), and a relay that is pointed at a replica: real
servers, and in front of them a proxy, which is the name that is looked up again."""

import json
import tempfile

import pytest

import harness
from harness import wait_until
from proxy import Proxy


@pytest.fixture
def pair():
    """A master and its replica, and a name for whichever is the master: .name.upstream says which."""
    with tempfile.TemporaryDirectory(dir="/tmp") as one, tempfile.TemporaryDirectory(dir="/tmp") as other:
        master, replica = harness.Redis(one), harness.Redis(other)
        name = Proxy(("127.0.0.1", master.port))
        try:
            follow(replica, master)
            yield master, replica, name
        finally:
            name.close()
            master.stop()
            replica.stop()


def follow(replica, master):
    replica("REPLICAOF", "127.0.0.1", master.port)
    wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"), "replication")


def swap(master, replica, how):
    """The roles change; all connections stay."""
    if how == "FAILOVER":
        master("FAILOVER", "TO", "127.0.0.1", replica.port)
        wait_until(lambda: b"role:slave" in master("INFO", "replication"), "the failover")
    else:
        replica("REPLICAOF", "NO", "ONE")
        follow(master, replica)


def unfit(relay, reason):
    return relay.metrics().get("sse_relay_redis_unfit", reason=reason)


@pytest.mark.parametrize("how", ["FAILOVER", "REPLICAOF"])
def test_a_demoted_master(start_relay, pair, topic, how):
    """The relay notices, follows the name to the new master, and goes on with what it has not lost."""
    master, replica, name = pair
    relay = start_relay("--allow-anonymous-publish", redis_url=f"redis://127.0.0.1:{name.port}").wait_ready()
    with relay.live(topic) as stream:
        assert relay.post(f"/sse?topic={topic}", b"before").status == 200
        stream.wait_data("before")
        wait_until(lambda: replica("XLEN", f"sse:{{0}}:log:{topic}") == 1, "replication of the event")
        swap(master, replica, how)
        wait_until(lambda: relay.metrics()["sse_relay_redis_demotions_total"] == 1, "the demotion")
        told = [line for line in relay.logs() if "is a replica" in line["msg"]]
        assert len(told) == 1 and told[0]["level"] == "error" and "master" in told[0]["msg"]
        assert relay.get("/readyz").status == 503 and "a replica" in relay.get("/readyz").body.decode()
        assert unfit(relay, "replica") == 1
        for query in ("", "&live"):  # neither kind is told to have worked
            assert relay.post(f"/sse?topic={topic}{query}", b"lost").status == 503
        name.upstream = ("127.0.0.1", replica.port)
        wait_until(lambda: relay.get("/readyz").status == 200, "the new master")
        for link in name.links:
            assert link.server.getpeername()[1] == replica.port or link.server.fileno() < 0
        # each connection comes back for itself, and what is answered with 503 was not published
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"after").status == 200, "a publish")
        stream.wait_data("after")
        assert replica("XLEN", f"sse:{{0}}:log:{topic}") == 2
        replica.publish(topic, "live")
        stream.wait_data("live")
        assert unfit(relay, "replica") == 0 and relay.metrics()["sse_relay_redis_demotions_total"] == 1
        assert [e.data for e in stream.events if e.name == "message"] == ["before", "after", "live"]


def test_a_replica_from_the_start(start_relay, pair, topic):
    """Not ready, with the reason; what reaches the replica is passed on; once it is a master, all is well."""
    master, replica, _ = pair
    relay = start_relay("--allow-anonymous-publish", redis_url=replica.url).wait_listening()
    wait_until(lambda: unfit(relay, "replica") == 1, "the role")
    answer = relay.get("/readyz")
    assert answer.status == 503 and "a replica" in answer.body.decode() and "--redis" in answer.body.decode()
    with relay.stream(topic) as stream:
        wait_until(lambda: f"sse:{topic}" in replica.subscriptions(), "the subscription")
        master.publish(topic, "from the master")
        stream.wait_data("from the master")
        answer = relay.post(f"/sse?topic={topic}", b"x")
        assert answer.status == 503 and "replica" in json.loads(answer.body)["detail"]
        assert relay.post(f"/sse?topic={topic}&live", b"x").status == 503
        replica("REPLICAOF", "NO", "ONE")
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        assert relay.post(f"/sse?topic={topic}", b"y").status == 200
        stream.wait_data("y")
