"""The Grafana dashboard: its form by Grafana's own schema, and every query of it against a real Prometheus that scrapes
real relays under load."""

import itertools
import json
import math
import os
import shutil
import subprocess

import pytest

from harness import wait_until
from observed import Prometheus, filled_in, targets
from settings import ROOT, tool

DASHBOARD = ROOT / "deploy/observability/grafana/dashboards/sse-relay.json"
RULES = ROOT / "deploy/observability/prometheus/alerts.yml"
SCHEMA = ROOT / "tests/deploy/dashboard"


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(DASHBOARD.read_text())


def test_schema(tmp_path):
    """Grafana's own schema knows every field and misses none."""
    if not tool("go"):
        pytest.skip("go is missing: Grafana's schema is a Go module")
    shutil.copytree(SCHEMA, tmp_path / "check")
    # No Go of another version, and nothing that go.sum does not name.
    env = dict(os.environ, GOFLAGS="-mod=readonly -modcacherw", GOTOOLCHAIN="local")
    build = subprocess.run(["go", "build", "-o", "check", "."], cwd=tmp_path / "check", env=env, capture_output=True, text=True, check=False)
    if build.returncode != 0:
        pytest.skip(f"Grafana's schema cannot be had here: {build.stderr.strip()[-300:]}")
    done = subprocess.run([tmp_path / "check/check", DASHBOARD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rows(dashboard):
    """The issue: overview, nodes, Redis, clients; each panel says what it shows."""
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Nodes", "Redis", "Clients"]
    for panel in dashboard["panels"]:
        assert panel["type"] == "row" or len(panel["description"]) > 10, panel["title"]


def test_layout(dashboard):
    """No panel lies on another, none is wider than the page, and ids are unique."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, (panel["title"], taken[cell])
            taken[cell] = panel["title"]


def test_selectors(dashboard):
    """Every query goes to the data source, the jobs and the nodes that are chosen."""
    for panel, expr, _ in targets(dashboard["panels"]):
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert expr.count("sse_relay_") == expr.count('{job=~"$job", instance=~"$instance"'), expr


def test_queries_answer(dashboard, start_relay, redis, topic_load, tmp_path):
    """Every query returns data, for each node where it says so, and no alert fires of relays that are well."""
    if not tool("prometheus"):
        pytest.skip("prometheus is missing")
    relays = [start_relay("--allow-anonymous-publish") for _ in range(2)]
    nodes = {f"127.0.0.1:{relay.address[1]}" for relay in relays}
    prometheus = Prometheus(tmp_path, sorted(nodes), RULES)
    try:
        with topic_load(relays):
            wait_until(lambda: prometheus.scraped(len(nodes)), "five scrapes")
            for panel, expr, legend in targets(dashboard["panels"]):
                samples = prometheus.query(filled_in(expr))
                assert samples, (panel["title"], expr)
                assert not any(math.isnan(value) for _, value in samples), (panel["title"], expr)
                if "{{instance}}" in legend:
                    assert {labels["instance"] for labels, _ in samples} == nodes, (panel["title"], expr)
            streams = prometheus.query(filled_in('sum(sse_relay_subscribers{job=~"$job"})'))
            assert streams[0][1] >= 4
            assert prometheus.query('ALERTS{alertstate="firing"}') == []
    finally:
        prometheus.process.kill()
