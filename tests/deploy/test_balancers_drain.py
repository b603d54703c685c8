"""Relays that come and go behind each recipe of deploy/balancers, under readers of every kind: each is drained in turn,
and one is killed. The checker of tests/e2e says whether anybody missed an event.
"""

import collections
import contextlib
import json
import random
import threading
import time

import pytest

from balancers import ALL, H2Readers, Relays, missing

import harness
from checker import Checker, Published, unreached
from http_raw import Closed
from readers import ChromiumReader, NodeReader, SocketReader, target_of

TOPICS = ["orders", "stock"]
STREAMS = 40  # of one HTTP/2 connection
# With the relay's own --drain-grace: what a recipe's health checks have to be quicker than.
OPTIONS = ["--allow-anonymous-publish", "--drain", "1s", "--retry", "200ms", "--history", "1000000", "--workers", "1"]

Nodes = collections.namedtuple("Nodes", "addresses origins")


class TlsReader(SocketReader):
    """HTTP/1.1 over TLS through the balancer, wherever that leads."""

    def _connect(self, _where):
        conn = self.run_.balancer.connect()
        fields = [("Accept", "text/event-stream")] + ([("Last-Event-ID", self.cursor)] if self.cursor else [])
        try:
            conn.request("GET", target_of(self.memory.topics), fields)
            head = conn.read_head()
        except BaseException:
            conn.close()
            raise
        if head.status != 200:
            conn.close()
            self.run_.fault("dead", self.memory.name, f"an EventSource gives up at {head.status}")
            raise Closed("not a stream")
        return conn


class Publisher(threading.Thread):
    """Numbered events, each with a key and until it is acknowledged, through the balancer."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.run_, self.ending, self.published = run, threading.Event(), []

    def run(self):
        number = 0
        while not self.ending.wait(0.02):
            number += 1
            self.publish(f"p:{number}")

    def publish(self, label):
        give_up = time.monotonic() + harness.DEADLINE
        ids = None
        while ids is None and time.monotonic() < give_up:
            with contextlib.suppress(OSError, Closed):
                answer = self.run_.balancer.fetch("POST", f"/sse?topics={','.join(TOPICS)}&key={label}", body=label.encode())
                self.run_.counts[f"answers {answer.status}"] += 1
                ids = json.loads(answer.body)["ids"] if answer.status == 200 else None
            if ids is None:
                time.sleep(0.05)
        for topic in TOPICS:
            self.published.append(Published(topic, label, ids and ids[topic], time.time(), "balancer"))
        return ids


class Run:
    """What readers.py asks of a run, and the readers."""

    cutting = False

    def __init__(self, directory, balancer):
        self.directory, self.balancer = directory, balancer
        self.nodes = Nodes([None], [balancer.origin])
        self.faults, self.counts = [], collections.Counter()
        self.h2 = H2Readers(self, "h2", TOPICS, balancer, target_of(TOPICS), STREAMS)
        self.others = [TlsReader(self, f"tls{i}", TOPICS, steady=True) for i in range(5)]
        self.others.append(NodeReader(self, "npm", TOPICS))
        if ChromiumReader.here():
            self.others.append(ChromiumReader(self, "page", TOPICS))
        self.readers = [self.h2, *self.others]

    def random(self, name):
        return random.Random(name)

    def fault(self, kind, who, text):
        self.faults.append(f"{kind}: {who}: {text}")

    @property
    def memories(self):
        return [*self.h2.memories, *(reader.memory for reader in self.others)]

    def wait(self, probe, what):
        """For @probe(); an EventSource that gave up, since it was answered something else than a stream, fails at once."""

        def attempt():
            for reader in self.readers:
                reader.poll()
            dead = [r for r in self.h2.others if r["type"] == "error"]
            assert not self.faults and not dead, f"{what}: {self.faults} {dead[:3]}, {len(dead)} in all"
            return probe()

        harness.wait_until(attempt, what)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_readers_move_and_miss_nothing(kind, tmp_path, certificate, redis, npm, monkeypatch):
    if reason := missing(kind):
        pytest.skip(reason)
    redis("FLUSHALL")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificate.cert))
    relays = Relays(tmp_path, redis.url, *OPTIONS)
    for _ in range(3):
        relays.start()
    balancer = kind(tmp_path, certificate, relays.addresses).start()
    run = Run(tmp_path, balancer)
    publisher = Publisher(run)
    try:
        for reader in run.readers:
            reader.start()
        publisher.start()
        run.wait(lambda: all(memory.connections for memory in run.memories), "all readers")
        count = len(run.memories)

        def all_are_back(what):
            alive = [relay for relay in relays.running if relay.running]
            run.wait(lambda: sum(r.metrics()["sse_relay_subscribers"] for r in alive) == count, f"all streams {what}")

        for number in range(3):
            relay = relays.running[number]
            assert relay.terminate() == 0, relay.err
            relays.start(number)
            all_are_back(f"after the drain of relay {number}")
        # Not drained: its streams break off. The balancer may still have to notice that the last one started is there.
        relays.running[0].kill()
        all_are_back("after a kill")
        relays.start(0)

        publisher.ending.set()
        publisher.join()
        marks = publisher.publish("end")
        run.wait(lambda: all(reader.reached() for reader in run.readers), "the end at all readers")
    finally:
        publisher.ending.set()
        for reader in run.readers:
            reader.finish()
        balancer.stop()
        relays.finish()
    report = Checker(publisher.published, run.memories).run()
    print(dict(report.counts), dict(run.counts))
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    assert not unreached(run.memories, marks)
    assert len(publisher.published) > 100 and all(p.id for p in publisher.published)
    assert sum(len(memory.connections) > 1 for memory in run.memories) == count, "each has moved"
