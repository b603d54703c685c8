"""A model of a rolling deploy: how often clients reconnect, to which pod, and when.

It follows every single client through what the parts really do:

- the Deployment's controller: `max_surge` pods more than wanted, none fewer; a new pod counts when it has been ready for
  `min_ready` seconds; a pod that is ending no longer counts, so the next one starts beside it;
- the pod's end: for `pre_stop` and `drain_grace` it serves on, its balancer sends it nothing more after `notice` seconds;
  then each stream ends at a moment of its own within `drain`, and the last byte is a `retry:` of 200 ms to 200 ms + `retry`
  (relay/hub: hub_drain(), hub_retry_soon_ms());
- the balancer: where a new connection goes.

    python3 tests/deploy/rolling.py                 # the figures of every scenario
    python3 tests/deploy/rolling.py --plot          # and draws deploy/rolling.svg anew

Everything random comes of one seed, so a run can be had again. It knows nothing of bytes, CPU or networks.
"""

import argparse
import collections
import dataclasses
import heapq
import math
import random

RETRY_SOON = 0.2  # seconds: RETRY_SOON_MS of relay/hub/subscriber_life.c


@dataclasses.dataclass(frozen=True)
class Deploy:
    """One deploy. Times in seconds; the defaults are the chart's, a test sees to that."""

    clients: int = 100_000
    pods: int = 10
    max_surge: str = "25%"
    min_ready: float = 60
    pre_stop: float = 5
    drain_grace: float = 5
    drain: float = 60
    retry: float = 3
    balancer: str = "least connections"
    startup: float = 5  # from a pod's creation until it is ready
    notice: float = 2  # from a pod's deletion until its balancer sends it nothing more
    max_age: float = 0  # of a stream, 10 % less or more; 0: it lasts
    until: float = math.inf  # nothing is followed beyond
    seed: int = 1

    @property
    def surge(self):
        if not self.max_surge.endswith("%"):
            return int(self.max_surge)
        return math.ceil(self.pods * int(self.max_surge[:-1]) / 100)

    @property
    def fair_rate(self):
        """Reconnects a second while one pod's clients move to one other."""
        return self.clients / self.pods / self.drain if self.drain else math.inf


class Pod:
    def __init__(self, name, new):
        self.name, self.new = name, new
        self.clients = {}  # as an ordered set
        self.drain_end = None
        self.accepted = collections.Counter()  # by the second
        self.open = {}  # connections at the end of each second in which they changed

    def changed(self, now):
        self.open[int(now)] = len(self.clients)


class Balancer:
    """Where a new connection goes: among the pods that it knows to be ready."""

    def __init__(self, kind, rng):
        self.pick = {
            "least connections": self._least,
            "round robin": self._next,
            "random": lambda pods: rng.choice(pods),
        }[kind]
        self.turn = 0

    def _next(self, pods):
        self.turn += 1
        return pods[self.turn % len(pods)]

    def _least(self, pods):
        self.turn += 1  # among equals, each in its turn
        n = len(pods)
        return min((pods[(self.turn + i) % n] for i in range(n)), key=lambda pod: len(pod.clients))


class Simulation:
    def __init__(self, deploy):
        self.deploy = deploy
        self.rng = random.Random(deploy.seed)
        self.balancer = Balancer(deploy.balancer, self.rng)
        self.now = 0.0
        self.events = []  # (time, number, function, arguments)
        self.number = 0
        self.old = [Pod(f"old {i + 1}", False) for i in range(deploy.pods)]
        self.new = []
        self.ready = list(self.old)  # what the balancer chooses among
        self.leaving = collections.deque(self.old)  # old pods that nobody has told to end
        self.available = 0  # of the new pods
        self.moves = [0] * deploy.clients
        self.away_since = {}
        self.longest_away = 0.0
        self.closed_at = []
        self.finished_at = None

    def at(self, time, function, *args):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, function, args))

    def run(self):
        for client in range(self.deploy.clients):
            pod = self.old[client % len(self.old)]
            pod.clients[client] = None
            if self.deploy.max_age:  # they have come at any time before
                self.at(self.rng.uniform(0, self.deploy.max_age), self.close_if_open, client, pod, 0)
        for pod in self.old:
            pod.changed(0)
        self.control()
        while self.events and self.events[0][0] <= self.deploy.until:
            self.now, _, function, args = heapq.heappop(self.events)
            function(*args)
        return self

    # ---- the Deployment's controller ----

    def control(self):
        """Start what may be started, end what may be ended."""
        d = self.deploy
        while self.leaving and len(self.leaving) + self.available > d.pods:
            self.end(self.leaving.popleft())
        while len(self.new) < d.pods and len(self.leaving) + len(self.new) < d.pods + d.surge:
            pod = Pod(f"new {len(self.new) + 1}", True)
            self.new.append(pod)
            self.at(self.now + d.startup, self.become_ready, pod)
            self.at(self.now + d.startup + d.min_ready, self.become_available)

    def become_ready(self, pod):
        self.ready.append(pod)
        pod.changed(self.now)

    def become_available(self):
        self.available += 1
        self.control()

    # ---- a pod's end ----

    def end(self, pod):
        d = self.deploy
        self.at(self.now + d.notice, self.ready.remove, pod)
        self.at(self.now + d.pre_stop + d.drain_grace, self.begin_drain, pod)

    def begin_drain(self, pod):
        pod.drain_end = self.now + self.deploy.drain
        for client in pod.clients:
            self.at(self.rng.uniform(self.now, pod.drain_end), self.close_if_open, client, pod, self.moves[client])
        self.at(pod.drain_end, self.end_drain, pod)

    def end_drain(self, pod):
        assert not pod.clients, f"{len(pod.clients)} clients of {pod.name} outlived its drain"
        self.finished_at = self.now

    # ---- a client ----

    def close_if_open(self, client, pod, moves):
        """The end of a stream by its age or its pod's drain, whichever comes first."""
        if self.moves[client] == moves and client in pod.clients:
            self.close(client, pod)

    def close(self, client, pod):
        del pod.clients[client]
        pod.changed(self.now)
        self.closed_at.append((self.now, pod.name))
        self.away_since[client] = self.now
        self.at(self.now + RETRY_SOON + self.rng.uniform(0, self.deploy.retry), self.connect, client)

    def connect(self, client):
        pod = self.balancer.pick(self.ready)
        assert pod.drain_end is None, f"{pod.name} was sent a client when it no longer accepted any"
        pod.clients[client] = None
        pod.accepted[int(self.now)] += 1
        pod.changed(self.now)
        self.moves[client] += 1
        self.longest_away = max(self.longest_away, self.now - self.away_since.pop(client))
        if age := self.deploy.max_age:
            self.at(self.now + age * self.rng.uniform(0.9, 1.1), self.close_if_open, client, pod, self.moves[client])

    # ---- what it came to ----

    @property
    def pods(self):
        return self.old + self.new

    @property
    def peak(self):
        """The most reconnects that any pod took in any second."""
        return max(max(pod.accepted.values(), default=0) for pod in self.pods)

    @property
    def peak_of_all(self):
        total = collections.Counter()
        for pod in self.pods:
            total.update(pod.accepted)
        return max(total.values())

    @property
    def connected(self):
        return sum(len(pod.clients) for pod in self.new)

    @property
    def mean_moves(self):
        return sum(self.moves) / len(self.moves)

    @property
    def fullest(self):
        """Connections of the fullest pod at the end, by the mean."""
        return max(len(pod.clients) for pod in self.new) * len(self.new) / self.deploy.clients

    @property
    def emptiest(self):
        return min(len(pod.clients) for pod in self.new) * len(self.new) / self.deploy.clients


# By name: what the docs show. The first is what happens where a pod is not given the time to drain.
SCENARIOS = {
    "no drain, least connections": Deploy(drain=0),
    "the chart's way, least connections": Deploy(),
    "the chart's way, round robin": Deploy(balancer="round robin"),
    "surge of 100 %, round robin": Deploy(balancer="round robin", max_surge="100%"),
}


def table(results):
    """The figures as a table in Markdown."""
    lines = [
        "| deploy | peak on one pod, reconnects/s | peak of all pods | moves per client | longest away | fullest / emptiest pod at the end | takes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, s in results.items():
        lines.append(
            f"| {name} | {s.peak:,} | {s.peak_of_all:,} | {s.mean_moves:.2f} | {s.longest_away:.1f} s "
            f"| {s.fullest:.2f} / {s.emptiest:.2f} of the mean | {s.finished_at / 60:.1f} min |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="A model of a rolling deploy; see the top of this file.")
    parser.add_argument("--plot", action="store_true", help="draw deploy/rolling.svg anew")
    results = {name: Simulation(deploy).run() for name, deploy in SCENARIOS.items()}
    print(table(results))
    if parser.parse_args().plot:
        import rolling_plot

        rolling_plot.write(results)


if __name__ == "__main__":
    main()
