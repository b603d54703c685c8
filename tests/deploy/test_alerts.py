"""The alerts and the runbook of deploy/observability: promtool's word, a scenario for each alert, a page for each alert
and a link to it. No name of a metric that a relay does not have, and no metric that is documented nowhere."""

import re
import subprocess

import pytest

import harness
from settings import ROOT, tool
from tls_raw import Certificate

ROOM = ROOT / "deploy/observability"
RULES, SCENARIOS, CONFIG = (ROOM / "prometheus" / name for name in ("alerts.yml", "alerts.test.yml", "prometheus.yml"))
RUNBOOK = ROOM / "runbook.md"
DASHBOARD = ROOM / "grafana/dashboards/sse-relay.json"
REFERENCE = ROOT / "relay/admin/README.md"
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.M)


def promtool(*args):
    if not tool("promtool"):
        pytest.skip("promtool is missing: it is in the package prometheus")
    done = subprocess.run(["promtool", *args], capture_output=True, text=True, cwd=ROOM / "prometheus", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_config():
    """The configuration and the rules are ones that Prometheus takes."""
    promtool("check", "config", CONFIG.name)
    promtool("check", "rules", RULES.name)


def test_scenarios():
    """`promtool test rules`: what fires, and what does not."""
    promtool("test", "rules", SCENARIOS.name)


def test_each_alert_has_a_scenario():
    assert len(ALERTS) > 20 and len(set(ALERTS)) == len(ALERTS)
    fired = set(re.findall(r'alertname="(\w+)"\}', SCENARIOS.read_text()))
    assert fired == set(ALERTS), fired ^ set(ALERTS)


def test_each_alert_has_a_page():
    """Each alert has a section in the runbook, in the order of the rules, that says what it means, what to check and what to do."""
    sections = re.split(r"^### ", RUNBOOK.read_text(), flags=re.M)[1:]
    pages = [section for section in sections if section.startswith("SseRelay")]
    assert [page.split("\n")[0] for page in pages] == ALERTS
    for page in pages:
        assert all(f"**{word}**" in page for word in ("Means", "Check", "Do")), page


def test_each_alert_links_to_its_page():
    """`runbook_url` is the section's address, which the command of README.md makes a link of."""
    command = re.search(r"^sed .* alerts.yml(?= > )", (ROOM / "README.md").read_text(), re.M)[0]
    linked = subprocess.run(command, shell=True, cwd=RULES.parent, capture_output=True, text=True, check=True).stdout
    for text, start in ((RULES.read_text(), ""), (linked, "https://git.example.org/sse-relay/blob/main/")):
        urls = re.findall(r"^ +runbook_url: (\S+)$", text, re.M)
        assert urls == [f"{start}deploy/observability/runbook.md#{alert.lower()}" for alert in ALERTS]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory, redis):
    """What a real relay has."""
    directory = tmp_path_factory.mktemp("relay")
    tls = ("--listen", "https://127.0.0.1:0", *Certificate(directory, "own", "localhost").options)
    relay = harness.Relay(directory, "relay", redis.url, *tls, "--drain", "0s", "--drain-grace", "0s")
    yield relay.wait_ready().metrics()
    relay.finish()


@pytest.mark.parametrize("file", [RULES, SCENARIOS, DASHBOARD, RUNBOOK, REFERENCE, ROOT / "README.md", ROOT / "deploy/sysctl/README.md"],
                         ids=lambda file: f"{file.parent.name}-{file.name}")
def test_metrics_exist(file, metrics):
    """Every metric that is named is one of a real relay's, with the labels and the label values that are named."""
    have = {name for name, _, _ in metrics.samples} | set(re.findall(r"^# TYPE (\w+)", metrics.text, re.M))
    named = re.findall(r"\b(sse_relay_\w+)(?:\{([^}]*)\})?", file.read_text().replace('\\"', '"'))
    assert named
    for name, labels in named:
        assert name in have, name
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', labels):
            if label not in ("job", "instance", "version"):
                there = {sample.get(label) for sample_name, sample, _ in metrics.samples if sample_name == name}
                assert set(values.split("|")) <= there, (name, label, values)


def labels_of(metrics, family):
    """The names of the labels that a family's samples have, in order."""
    names = {family, f"{family}_bucket"}
    return sorted({label for name, labels, _ in metrics.samples if name in names for label in labels} - {"le"})


def test_each_metric_is_documented(metrics):
    """The reference has one row for each metric of a real relay, in the order of the names: its labels, its type, its help."""
    helps = dict(re.findall(r"^# HELP (\w+) (.*)$", metrics.text, re.M))
    types = dict(re.findall(r"^# TYPE (\w+) (.*)$", metrics.text, re.M))
    rows = []
    for name in sorted(helps):
        labels = ", ".join(labels_of(metrics, name))
        rows.append(f"| `{name.removeprefix('sse_relay_')}{'{' + labels + '}' if labels else ''}` | {types[name]} | {helps[name]} |")
    table = re.search(r"^## All metrics$.*?^\|---\|---\|---\|\n(.*?)\n\n", REFERENCE.read_text(), re.M | re.S)[1]
    assert table.splitlines() == rows


def test_each_metric_is_used(metrics):
    """Each is in the dashboard, in an alert, or among those that move without an alert: one that nobody looks at is not worth its line."""
    used = "".join(file.read_text() for file in (RULES, DASHBOARD, RUNBOOK))
    families = re.findall(r"^# TYPE (\w+)", metrics.text, re.M)
    assert [name for name in families if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", used)] == []


def test_streams_that_wait_are_seen():
    """What keeps streams waiting without end is in alerts, dashboard and runbook."""
    for name, files in {"topics_refused": (RULES, DASHBOARD, RUNBOOK), "topics_unreadable": (RULES, DASHBOARD, RUNBOOK),
                        "redis_unfit": (RULES, DASHBOARD, RUNBOOK),
                        "subscribers_blocked": (DASHBOARD, RUNBOOK)}.items():
        for file in files:
            assert re.search(rf"\bsse_relay_{name}\b", file.read_text()), (file, name)
