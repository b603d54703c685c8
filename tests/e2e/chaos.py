"""Everything at once: publishers, readers and a nemesis on a few relays and one Redis, all from one seed; at the end the
checker judges what they remember. `make chaos SECONDS=600 SEED=7` runs it for as long as one likes.

Redis runs with `appendfsync always`, so that acknowledged means kept, and nothing is trimmed: no reset is expected. With
--failovers it is a master and a replica instead, which lose what was not replicated: then whoever saw some of that is told.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import harness
from checker import Checker, Published, Violation, unreached
from http_raw import Closed, fetch
from pair import Pair
from readers import ChromiumReader, NodeReader, SocketReader, quoted
from resp import RedisError
from settings import DEADLINE, HERE

TOPICS = ["orders", "orders.eu", "stock", "quiet", "börse"]

# Relays that differ: one answers replays from memory, one from the logs nearly always, one has little room a client.
COMMON = ["--allow-anonymous-publish", "--drain-grace", "0s", "--drain", "200ms", "--retry", "200ms", "--heartbeat", "1s"]
COMMON += ["--redis-timeout", "1s", "--history", "1000000", "--workers", "2"]
RELAYS = [
    [],
    ["--ring-topic", "4KiB", "--linger", "0s"],
    ["--outbox-limit", "4KiB", "--send-buffer", "4KiB", "--ring-topic", "32KiB", "--linger", "100ms"],
]


class Nodes:
    """The relays: each keeps its address when it is started again."""

    def __init__(self, run):
        self.run = run
        self.ports = [harness.free_port() for _ in RELAYS]
        self.addresses = [("127.0.0.1", port) for port in self.ports]
        self.origins = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.starts = collections.Counter()
        self.relays = [None] * len(RELAYS)
        for number in range(len(RELAYS)):
            self.start(number)

    def start(self, number):
        self.starts[number] += 1
        name = f"relay{number}.{self.starts[number]}"
        listen = f"127.0.0.1:{self.ports[number]}"
        options = [*COMMON, *RELAYS[number]]
        self.relays[number] = harness.Relay(self.run.directory, name, self.run.redis.url, *options, listen=listen)

    def end(self, number, killed=False):
        """Stop it, and see that it ended well unless it was killed."""
        relay = self.relays[number]
        if not relay.running:
            self.run.fault("crashed", relay.name, f"exit code {relay.child.returncode}: {relay.err[-2000:]}")
            return
        relay.expect_clean = not killed
        if killed:
            relay.kill()
        try:
            relay.finish()
        except AssertionError as error:
            self.run.fault("crashed", relay.name, str(error))

    def finish(self):
        for number in range(len(RELAYS)):
            self.end(number)


class Publisher(threading.Thread):
    """Numbered events to random topics through random relays, one after the other. With a key, until one is
    acknowledged; without, it is tried once."""

    def __init__(self, run, number, keyed):
        super().__init__(daemon=True)
        self.run_, self.name, self.keyed = run, f"p{number}", keyed
        self.random = run.random(self.name)
        self.published = []
        self.number = 0

    def run(self):
        while not self.run_.ending.wait(self.random.expovariate(self.run_.rate / self.run_.publishers)):
            for _ in range(self.random.choice([1] * 30 + [40])):
                self._next()

    def _next(self):
        count = self.random.choice([1, 1, 1, 2, 3])
        weights = [8, 4, 4, 1, 3]
        topics = sorted(set(self.random.choices(TOPICS, weights, k=count)))
        self.number += 1
        self.publish(topics, f"{self.name}:{self.number}", self.random.choice([0, 0, 60, 60, 1000, 8000]))

    def publish(self, topics, label, size):
        target = f"/sse?topics={quoted(','.join(topics))}"
        if self.keyed:
            target += f"&key={quoted(f'{label} {topics}')}"
        body = f"{label} {'x' * size}".encode()
        give_up = time.monotonic() + DEADLINE
        ids = None
        while ids is None and time.monotonic() < give_up:
            where = self.random.randrange(len(RELAYS))
            ids = self._attempt(where, target, body)
            if ids is None and not self.keyed:
                break
            if ids is None:
                time.sleep(self.random.uniform(0.02, 0.2))
        at = time.time()
        for topic in topics:
            self.published.append(Published(topic, label, ids and ids[topic], at, f"relay{where}"))
        return ids

    def _attempt(self, where, target, body):
        """The ids, or None where it may have been published or not."""
        try:
            answer = fetch(self.run_.nodes.addresses[where], "POST", target, body=body)
        except (OSError, Closed):
            return None
        self.run_.counts[f"answers {answer.status}"] += 1
        if answer.status == 200:
            return json.loads(answer.body)["ids"]
        if answer.status not in (502, 503, 504):
            self.run_.fault("refused", self.name, f"{target} on relay{where}: {answer}")
        return None


class Nemesis(threading.Thread):
    """One of several that work at the same time: does something of its list again and again. The thread stays until
    all is over, since the processes that it started die with it (see Process)."""

    def __init__(self, run, name, pause, faults):
        super().__init__(daemon=True)
        self.run_, self.name, self.pause, self.faults = run, name, pause, faults
        self.random = run.random(name)
        self.rests = threading.Event()

    def run(self):
        deck = []
        while not self.run_.calm.wait(self.random.uniform(*self.pause)):
            deck = deck or self.random.sample(self.faults, len(self.faults))  # each kind before any comes again
            fault = deck.pop()
            self.run_.counts[f"fault: {fault.__name__.replace('_', ' ')}"] += 1
            try:
                fault(self.run_, self.random)
            except (AssertionError, OSError, EOFError) as error:
                self.run_.fault("nemesis", self.name, f"{fault.__name__}: {error!r}")
        self.rests.set()
        self.run_.over.wait()


def kill_a_relay(run, rng):
    number = rng.randrange(len(RELAYS))
    run.tell(f"SIGKILL relay{number}")
    run.nodes.end(number, killed=True)
    time.sleep(rng.choice([0, 0, 0.5]))
    run.nodes.start(number)
    run.tell(f"relay{number} started")


def drain_a_relay(run, rng):
    number = rng.randrange(len(RELAYS))
    run.tell(f"SIGTERM relay{number}")
    run.nodes.end(number)
    run.nodes.start(number)
    run.tell(f"relay{number} started")


def stop_a_relay_for_a_while(run, rng):
    number, span = rng.randrange(len(RELAYS)), rng.uniform(0.2, 2)
    run.tell(f"SIGSTOP relay{number} for {span:.1f} s")
    run.nodes.relays[number].signal(signal.SIGSTOP)
    time.sleep(span)
    run.nodes.relays[number].signal(signal.SIGCONT)


def client_kill_normal(run, _rng):
    run.tell("CLIENT KILL TYPE normal")
    run.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def client_kill_pubsub(run, _rng):
    run.tell("CLIENT KILL TYPE pubsub")
    run.redis("CLIENT", "KILL", "TYPE", "pubsub")


def stall_redis(run, rng):
    span = rng.uniform(1, 4)
    run.tell(f"SIGSTOP Redis for {span:.1f} s")
    run.redis.pause()
    time.sleep(span)
    run.redis.resume()


def kill_redis(run, rng):
    run.tell("SIGKILL Redis")
    run.redis.stop()
    time.sleep(rng.choice([0, 0.3, 1]))
    run.counts["torn files of Redis"] += run.redis.mend_file()
    run.redis.start()
    run.tell("Redis started")


def forge_ids(run, rng):
    """Messages that are no events, on all topics: of another birth, of other epochs, from the future."""
    with contextlib.suppress(OSError, EOFError, RedisError), run.redis.client() as client:
        birth, epoch = (value.decode() for value in client("HMGET", "sse:{0}:clock", "birth", "epoch"))
        now = base36(int(time.time() * 1000))
        ours, next_one = (f"{birth}.{base36(int(epoch) + more)}" for more in (0, 1))
        for _ in range(rng.choice([1, 10, 200])):
            id = rng.choice([f"0a0a.1.{now}-0", f"{next_one}.{now}-0", f"{ours}.zzzzzzzz-1"])
            prev = rng.choice(["0", f"{ours}.{now}-0", f"{ours}.zzzzzzzz-0", f"{ours}.zzzzzzzz-1"])
            client("PUBLISH", f"sse:{rng.choice(TOPICS)}", f'sse1 {id} {prev} {{"data":"forged:0"}}')
    run.tell("forged ids")


def cut_readers(run, rng):
    chosen = [r for r in run.readers if isinstance(r, SocketReader) and rng.random() < 0.5]
    run.tell(f"{len(chosen)} readers reconnect")
    for reader in chosen:
        reader.cut_now = True


def fail_over(run, rng):
    """The replica has not got what was published in the last moment, and becomes master."""
    span = rng.choice([0, 0.1, 0.5, 1.5])
    run.tell(f"failover, with {span} s lost")
    run.redis.link.silence()
    time.sleep(span)
    run.redis.fail_over()
    time.sleep(rng.uniform(0.5, 2))
    run.redis.rejoin()
    run.tell("the old master is a replica")


RESTARTS = {
    "nemesis of Redis": ((0.5, 4), [client_kill_normal, client_kill_pubsub, client_kill_pubsub, stall_redis, kill_redis]),
    "nemesis of relays": ((0.5, 5), [kill_a_relay, drain_a_relay, stop_a_relay_for_a_while]),
    "nemesis of readers": ((1, 4), [cut_readers]),
    "nemesis of ids": ((0.1, 1), [forge_ids]),
}
FAILOVERS = RESTARTS | {"nemesis of Redis": ((0.2, 3), [fail_over, fail_over, fail_over, client_kill_pubsub, client_kill_normal])}


class Run:
    """One run from start to verdict."""

    publishers = 5

    def __init__(self, directory, seconds, seed, rate=100, failovers=False):
        self.directory, self.seconds, self.seed, self.rate = pathlib.Path(directory), seconds, seed, rate
        self.failovers = failovers
        self.counts = collections.Counter()
        self.faults, self.violations, self.retired = [], [], []
        self.calm, self.ending, self.over = threading.Event(), threading.Event(), threading.Event()
        self.cutting = True
        self.readers, self.running = [], []
        self.began = time.time()

    def random(self, name):
        return random.Random(f"{self.seed} {name}")

    def tell(self, what):
        self.faults.append((time.time(), what))

    def fault(self, kind, who, text):
        """What breaks a promise on its own, whatever the readers remember."""
        self.violations.append(Violation(kind, who, time.time(), text))

    def go(self):
        """Returns whether all held; the story is in text()."""
        if self.failovers:
            self.redis = Pair(self.directory)
        else:
            self.redis = harness.Redis(self.directory, *harness.LASTING)
        self.nodes = None
        try:
            self.nodes = Nodes(self)
            for relay in self.nodes.relays:
                relay.wait_ready()
            self._storm()
            self._finish_readers()
            self._judge()
        finally:
            self.calm.set(), self.ending.set()
            self._finish_readers()
            if self.nodes:
                self.nodes.finish()
            self.redis.resume()
            self.redis.stop()
            self.over.set()
        return not self.violations

    def _finish_readers(self):
        """They remember on; once is enough."""
        for reader in self.running:
            reader.finish()
        self.running = []

    def _make_readers(self):
        """Some slow, some that are cut, some that come back by header and some by query."""
        rng = self.random("readers")
        made = self.readers = self.running = []
        for number in range(16):
            topics = rng.sample(TOPICS, rng.choice([1, 1, 2, 3, 5]))
            kinds = {"slow": number % 4 == 0, "by_query": number % 3 == 0, "steady": number % 5 == 0}
            version = "1.0" if number % 2 else "1.1"
            made.append(SocketReader(self, f"reader{number}", topics, version=version, **kinds))
        for number in range(2):
            made.append(NodeReader(self, f"eventsource{number}", TOPICS if number else TOPICS[:2]))
        if ChromiumReader.here():
            made.append(ChromiumReader(self, "chromium", TOPICS))
            self.counts["readers in Chromium"] = 1

    def _storm(self):
        publishers = [Publisher(self, n, keyed=n > 0) for n in range(self.publishers)]
        self._make_readers()
        plan = FAILOVERS if self.failovers else RESTARTS
        nemeses = [Nemesis(self, name, pause, faults) for name, (pause, faults) in plan.items()]
        for thread in [*self.readers, *publishers, *nemeses]:
            thread.start()
        self._newcomers(time.monotonic() + self.seconds)
        self.calm.set()
        for nemesis in nemeses:
            nemesis.rests.wait()
        self.cutting = False
        self.tell("calm")
        for relay in self.nodes.relays:
            with contextlib.suppress(AssertionError):
                relay.wait_ready()
        self.ending.set()
        for publisher in publishers:
            publisher.join()
        self.published = [p for publisher in publishers for p in publisher.published]
        self._end_marks(publishers[-1])

    def _newcomers(self, until):
        """Readers that come without a cursor, and go again for good."""
        rng, number = self.random("newcomers"), 0
        while (left := until - time.monotonic()) > 0:
            number += 1
            reader = SocketReader(self, f"newcomer{number}", rng.sample(TOPICS, rng.choice([1, 2, 5])))
            reader.start()
            time.sleep(min(left, rng.uniform(1, 5)))
            reader.finish()
            self.retired.append(reader)
            for other in self.readers:
                other.poll()

    def _end_marks(self, publisher):
        """One last event for each topic, which every reader has to come to."""
        self.markers = {}
        before = len(publisher.published)
        for topic in TOPICS:
            ids = publisher.publish([topic], "end", 0)
            self.markers[topic] = ids and ids[topic]
        self.published += publisher.published[before:]
        with contextlib.suppress(AssertionError):
            harness.wait_until(self._all_reached, "the end of all readers")

    def _all_reached(self):
        for reader in self.readers:
            reader.poll()
        return all(reader.reached() for reader in self.readers)

    def _kept(self):
        """The ids that the logs hold."""
        with self.redis.client() as client:
            birth = client("HGET", "sse:{0}:clock", "birth").decode()
            return {i for topic in TOPICS for i in log_ids(client, topic, birth)}

    def _judge(self):
        memories = [r.memory for r in [*self.readers, *self.retired]]
        allowed = lambda reason, _topics: self.failovers and reason == "failover"
        report = Checker(self.published, memories, allowed, self._kept(), tail_lost=self.failovers).run()
        self.counts.update(report.counts)
        self.violations += unreached([r.memory for r in self.readers], self.markers)
        self.violations += report.violations
        self.violations.sort(key=lambda v: v.at)

    # ---- telling ----

    def text(self):
        lines = [f"chaos for {self.seconds} s with seed {self.seed}"]
        lines += [f"  {count:>9,}  {name}" for name, count in sorted(self.counts.items())]
        kinds = collections.Counter(v.kind for v in self.violations)
        lines.append(f"  {len(self.violations):>9,}  violations {dict(kinds) or ''}")
        if self.violations:
            lines += self._first(self.violations[0])
            lines += ["the next ones:"] + [f"  {v}"[:600] for v in self.violations[1:10]]
        return "\n".join(lines)

    def _first(self, violation):
        """The first counterexample and what happened around it."""
        span = [(at, what) for at, what in self.faults]
        for reader in [r.memory for r in [*self.readers, *self.retired]]:
            if reader.name == violation.reader:
                span += timeline(reader)
        near = sorted((at, what) for at, what in span if violation.at - 4 < at < violation.at + 1.5)
        lines = [f"the first, at {violation.at - self.began:.3f} s ({violation.at:.3f}):", f"  {violation}", "around it:"]
        return lines + [f"  {at - self.began:9.3f}  {what}" for at, what in near[-80:]]


def log_ids(client, topic, birth):
    """The ids of a topic's log, as texts."""
    for entry, fields in client("XRANGE", f"sse:{{0}}:log:{topic}", "-", "+"):
        ms, seq = (int(n) for n in entry.decode().split("-"))
        epoch = int(fields[fields.index(b"g") + 1])
        yield f"{birth}.{base36(epoch)}.{base36(ms)}-{base36(seq)}"


def base36(number):
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def timeline(reader):
    """When a reader connected, was cut, and what it saw."""
    for connection in reader.connections:
        yield connection.at, f"{reader.name}: connects to {connection.where} with {connection.cursor}"
        for seen in connection.seen:
            yield seen.at, f"{reader.name}: {seen.kind} {seen.topic or ''} {seen.label or ''} {seen.id} {seen.reason or ''}"
        if connection.end:
            yield connection.seen[-1].at if connection.seen else connection.at, f"{reader.name}: {connection.end}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**6)))
    parser.add_argument("--rate", type=float, default=100, help="publishes per second")
    parser.add_argument("--failovers", action="store_true", help="from a master to its replica, instead of restarts")
    args = parser.parse_args()
    if not (HERE / "node_modules" / "eventsource").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=HERE, check=True, capture_output=True)
    directory = tempfile.mkdtemp(prefix="chaos-", dir="/tmp")
    run = Run(directory, args.seconds, args.seed, args.rate, args.failovers)
    held = run.go()
    print(run.text())
    if held:
        shutil.rmtree(directory)
    else:
        print(f"logs of the relays: {directory}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
