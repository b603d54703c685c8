"""A rolling deploy: what the model of rolling.py promises for the chart's own settings, and that real relays do what the
model says they do.
"""

import pathlib
import re
import selectors
import signal
import socket
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import harness  # noqa: E402
import rolling  # noqa: E402
import rolling_plot  # noqa: E402
from rolling import Deploy, Simulation  # noqa: E402
from sse import Parser  # noqa: E402

ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def scenarios():
    return {name: Simulation(deploy).run() for name, deploy in rolling.SCENARIOS.items()}


# ---- the model ----


def test_the_models_defaults_are_the_charts():
    values = (ROOT / "deploy/helm/sse-relay/values.yaml").read_text()

    def value(name):
        return re.search(rf"^  {name}: (\S+)$", values, re.M)[1]

    deploy = Deploy()
    assert deploy.max_surge == value("maxSurge")
    assert deploy.min_ready == int(value("minReadySeconds"))
    assert deploy.pre_stop == int(value("preStopSeconds"))
    assert f"{deploy.drain_grace}s" == value("drain_grace")
    assert f"{deploy.drain}s" == value("drain")
    options = (ROOT / "relay/config/OPTIONS.md").read_text()
    assert f"| `--retry TIME` | `{deploy.retry}s` |" in options
    life = (ROOT / "relay/hub/subscriber_life.c").read_text()
    assert f"RETRY_SOON_MS = {rolling.RETRY_SOON * 1000:.0f} }}" in life


@pytest.mark.parametrize("balancer", ["least connections", "round robin", "random"])
@pytest.mark.parametrize("pods", [3, 10])
def test_the_charts_way_spreads_the_reconnects_and_leaves_nobody_out(balancer, pods):
    s = Simulation(Deploy(balancer=balancer, pods=pods, clients=10_000 * pods, seed=pods)).run()
    assert s.connected == s.deploy.clients and not s.away_since
    assert not any(pod.clients for pod in s.old)
    assert min(s.moves) >= 1
    assert s.longest_away <= rolling.RETRY_SOON + s.deploy.retry
    # At worst, what all pods of one step shed goes to a single empty one. A quarter more is for chance.
    assert s.peak <= 1.25 * s.deploy.surge * s.deploy.fair_rate
    # Those that go last have taken some of what the first ones shed, unless the balancer sees who is empty.
    assert s.peak_of_all <= (1.25 if balancer == "least connections" else 2) * s.deploy.surge * s.deploy.fair_rate


def test_each_client_moves_once_where_the_balancer_sees_who_is_empty(scenarios):
    for name in ("the chart's way, least connections", "surge of 100 %, round robin"):
        s = scenarios[name]
        assert set(s.moves) == {1}
        assert s.fullest < 1.01 and s.emptiest > 0.99


def test_without_a_drain_all_come_at_once(scenarios):
    stampede, spread = scenarios["no drain, least connections"], scenarios["the chart's way, least connections"]
    assert stampede.peak > 10 * spread.peak


def test_max_age_fills_up_what_round_robin_left_empty(scenarios):
    left = scenarios["the chart's way, round robin"]
    assert left.emptiest < 0.8
    deploy = Deploy(balancer="round robin", max_age=7200, until=left.finished_at + 1.1 * 7200)
    filled = Simulation(deploy).run()
    assert filled.emptiest > 0.95 and filled.fullest < 1.05
    assert filled.peak <= 1.25 * deploy.surge * deploy.fair_rate


def test_the_plot_is_what_the_model_says(scenarios):
    assert rolling_plot.FILE.read_text() == rolling_plot.text(scenarios), "run tests/deploy/rolling.py --plot"


def test_the_figures_in_the_docs_are_the_models(scenarios):
    assert rolling.table(scenarios) in (ROOT / "deploy/kubernetes.md").read_text(), "run tests/deploy/rolling.py"


# ---- the same with real relays ----

CLIENTS, PODS = 300, 3
REAL = Deploy(
    clients=CLIENTS, pods=PODS, max_surge="100%", min_ready=0, pre_stop=0, drain_grace=0.3, drain=6, retry=1,
    startup=0, notice=0,
)  # fmt: skip


class Client:
    """One EventSource: reconnects after the `retry:` that it was told last."""

    def __init__(self):
        self.moves, self.node, self.sock, self.parser = 0, None, None, None
        self.due = None  # when to reconnect, while it is away

    def connect(self, node, target):
        self.node, self.due = node, None
        node.load += 1
        self.parser = Parser()
        self.sock = socket.create_connection(node.address)
        self.sock.sendall(f"GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())

    def end(self):
        """The stream is over; returns how long it was told to wait, in ms."""
        self.sock.close()
        self.node.load -= 1
        self.due = time.monotonic() + self.parser.retries[-1] / 1000
        self.moves += 1
        return self.parser.retries[-1]


class Fleet:
    """Clients, and the balancer that they all go through: the least loaded of the nodes that it knows to be ready."""

    def __init__(self, nodes, count):
        self.ready = nodes
        self.selector = selectors.DefaultSelector()
        self.clients = [Client() for _ in range(count)]
        self.closed = []  # (when, the retry that it was told)
        for client in self.clients:
            self.connect(client)

    def connect(self, client):
        client.connect(min(self.ready, key=lambda node: node.load), "/sse?topic=rolling")
        self.selector.register(client.sock, selectors.EVENT_READ, client)

    def turn(self):
        """Read what there is, and let those come back whose time it is."""
        now = time.monotonic()
        for client in self.clients:
            if client.due is not None and client.due <= now:
                self.connect(client)
        for key, _ in self.selector.select(timeout=0.01):
            client = key.data
            data = client.sock.recv(65536)
            if data:
                client.parser.feed(data)
            else:
                self.selector.unregister(client.sock)
                self.closed.append((time.monotonic(), client.end()))

    def turn_until(self, probe, what):
        def attempt():
            self.turn()
            return probe()

        harness.wait_until(attempt, what)

    def close(self):
        for client in self.clients:
            client.sock.close()
        self.selector.close()


def distance(one, other):
    """Of two samples: the largest difference of their cumulative shares (Kolmogorov and Smirnov)."""
    return max(
        abs(sum(v <= x for v in one) / len(one) - sum(v <= x for v in other) / len(other)) for x in (*one, *other)
    )


@pytest.fixture
def relays(tmp_path):
    """Starts relays on one Redis, with the settings of REAL."""
    redis = harness.Redis(tmp_path)
    started = []

    def start(name):
        options = ["--workers", "2", "--retry", f"{REAL.retry}s", "--drain", f"{REAL.drain}s"]
        options += ["--drain-grace", f"{REAL.drain_grace * 1000:.0f}ms"]
        relay = harness.Relay(tmp_path, name, redis.url, *options)
        relay.load = 0
        started.append(relay)
        return relay.wait_ready()

    yield start
    for relay in started:
        relay.kill() if relay.running else None
    redis.stop()


def test_real_relays_do_what_the_model_says(relays):
    old = [relays(f"old{i}") for i in range(PODS)]
    fleet = Fleet(old, CLIENTS)
    fleet.turn_until(lambda: sum(r.metrics()["sse_relay_subscribers"] for r in old) == CLIENTS, "all streams")
    new = [relays(f"new{i}") for i in range(PODS)]
    fleet.ready = new
    for relay in old:
        relay.signal(signal.SIGTERM)
    began = time.monotonic() + REAL.drain_grace
    fleet.turn_until(lambda: not any(relay.running for relay in old), "the end of the old relays")
    fleet.turn_until(lambda: all(client.due is None for client in fleet.clients), "the return of all clients")

    model = Simulation(REAL).run()
    assert [relay.child.returncode for relay in old] == [0] * PODS
    assert {client.moves for client in fleet.clients} == set(model.moves) == {1}
    assert sorted(relay.load for relay in new) == sorted(len(pod.clients) for pod in model.new)
    harness.wait_until(lambda: sum(r.metrics()["sse_relay_subscribers"] for r in new) == CLIENTS, "all streams again")
    told = [retry / 1000 for _, retry in fleet.closed]
    assert rolling.RETRY_SOON <= min(told) and max(told) <= rolling.RETRY_SOON + REAL.retry
    expected = [rolling.RETRY_SOON + REAL.retry * (i + 0.5) / CLIENTS for i in range(CLIENTS)]
    assert distance(told, expected) < 0.15  # by chance, a few times in a million it would not be
    # When they were closed: this machine may have been busy with something else, so the limit is a generous one.
    closed = [when - began for when, _ in fleet.closed]
    in_the_model = [when - REAL.drain_grace for when, _ in model.closed_at]
    apart = distance(closed, in_the_model)
    print(f"closings: {apart:.3f} apart from the model's; retries: {distance(told, expected):.3f}")
    assert apart < 0.4
    fleet.close()
