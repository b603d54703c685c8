"""deploy/helm and deploy/kustomize: rendered by the real tools, validated against the real schemas with unknown fields
refused, held against each other, and their settings given to a real relay.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: `make deps-test` installs it")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "build" / "tools"
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
HELM = ROOT / "deploy" / "helm"
CHART = HELM / "sse-relay"
KUSTOMIZE = ROOT / "deploy" / "kustomize"
NAMED_BY_HELM = {"app.kubernetes.io/managed-by", "helm.sh/chart"}  # labels that kustomize has no use for
OWN_OPTIONS = {"listen", "admin_listen", "redis", "embedded_redis"}  # that the chart sets itself, or must not


def why_not():
    """What keeps the tools from being here, or None."""
    if (TOOLS / "made").exists():
        return None
    missing = TOOLS / "missing"
    return missing.read_text().strip() if missing.exists() else "not built: sh tests/deploy/go-tools.sh build/tools"


# Everything that can be switched on, at once.
EVERYTHING = {
    "image": {"registry": "registry.example.com/a", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": {"cors_origin": ["https://a.example", "https://b.example"], "outbox_limit": "1MiB", "history": 10000000},
    "podAnnotations": {"example.com/a": "1"},
    "podLabels": {"team": "events"},
    "serviceAccount": {"annotations": {"example.com/role": "relay"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "edge", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "edge", "operator": "Exists"}]}]
            }
        }
    },
    "priorityClassName": "high",
    "topologySpread": {"zones": "DoNotSchedule"},
    "autoscaling": {"enabled": True, "connectionsPerPod": 15000},
    "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"example.com/lb": "nlb"}},
    "ingress": {"enabled": True, "hosts": ["a.example.com", "*.b.example.com"], "tlsSecretName": "tls"},
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["events.example.com"],
    },
    "networkPolicy": {"clientsFrom": [{"podSelector": {}}], "redisTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
GATEWAY = {
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["events.example.com"],
    }
}


def tool(name, *args):
    """Run one of them; a test that wants it is skipped where it is not."""
    if reason := why_not():
        pytest.skip(reason)
    return subprocess.run([TOOLS / name, *args], capture_output=True, text=True, check=False, cwd=ROOT)


def objects(text):
    """By kind and name."""
    found = {}
    for o in yaml.safe_load_all(text):
        if o:
            key = (o["kind"], o["metadata"]["name"])
            assert key not in found, f"twice: {key}"
            found[key] = o
    return found


class Charts:
    """Renders the chart; @values is a file, or a tree that goes into one."""

    def __init__(self, directory):
        self.directory = directory
        self.made = 0

    def file(self, values):
        if isinstance(values, pathlib.Path):
            return values
        self.made += 1
        path = self.directory / f"values{self.made}.json"
        path.write_text(json.dumps(values))
        return path

    def try_render(self, *values, namespace="sse-relay", chart=CHART):
        files = [f"--values={self.file(v)}" for v in values]
        return tool("helm", "template", "sse-relay", chart, "--namespace", namespace, *files)

    def text(self, *values, **how):
        run = self.try_render(*values, **how)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def __call__(self, *values, **how):
        return objects(self.text(*values, **how))


@pytest.fixture
def chart(tmp_path):
    return Charts(tmp_path)


def kustomize_text(directory):
    run = tool("kustomize", "build", "--load-restrictor=LoadRestrictionsNone", directory)
    assert run.returncode == 0, run.stderr
    return run.stdout


def validate(tmp_path, text):
    """What kubectl-validate says of it, by its exit code and its words."""
    file = tmp_path / "rendered.yaml"
    file.write_text(text)
    run = tool("kubectl-validate", "--version=1.30", f"--local-crds={TOOLS / 'crds'}", file)
    return run.returncode, run.stdout + run.stderr


RENDERED = {
    "chart, defaults": lambda chart: chart.text(),
    "chart, dev": lambda chart: chart.text(HELM / "dev.yaml"),
    "chart, production": lambda chart: chart.text(HELM / "production.yaml"),
    "chart, everything": lambda chart: chart.text(EVERYTHING),
    "kustomize base": lambda _: kustomize_text(KUSTOMIZE / "base"),
    "kustomize dev": lambda _: kustomize_text(KUSTOMIZE / "overlays/dev"),
    "kustomize production": lambda _: kustomize_text(KUSTOMIZE / "overlays/production"),
}


@pytest.fixture(params=RENDERED)
def rendered(request, chart):
    return RENDERED[request.param](chart)


# ---- what any cluster would say ----


def test_rendered_objects_fit_the_schemas(tmp_path, rendered):
    code, said = validate(tmp_path, rendered)
    assert code == 0, said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("maxUnavailable", "maxUnavailble"), ("backendRequest", "backendReq"), ("interval", "intervall"),
     ("minReadySeconds: 60", "minReadySeconds: soon"), ("kind: HTTPRoute", "kind: HTTPRoutes")],
)
def test_the_validator_refuses_what_does_not_fit(tmp_path, chart, right, wrong):
    text = chart.text(EVERYTHING)
    assert right in text
    code, said = validate(tmp_path, text.replace(right, wrong))
    assert code != 0, said


@pytest.mark.parametrize("values", [{}, HELM / "dev.yaml", HELM / "production.yaml", EVERYTHING], ids=str)
def test_helm_lint(chart, values):
    run = tool("helm", "lint", "--strict", CHART, f"--values={chart.file(values)}")
    assert run.returncode == 0, run.stdout + run.stderr


# ---- what holds between the objects ----


def pod_templates(found):
    return [o["spec"]["template"] for o in found.values() if o["kind"] in ("Deployment", "StatefulSet")]


def test_pods_pass_the_restricted_profile(rendered):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, each of its controls that concerns us."""
    for template in pod_templates(objects(rendered)):
        pod = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
        assert pod["automountServiceAccountToken"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(v.keys() <= {"name", "emptyDir", "configMap", "secret"} for v in pod.get("volumes", []))
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all("hostPort" not in port for port in container["ports"])


def fits(selector, labels):
    return selector["matchLabels"].items() <= labels.items()


def test_objects_find_each_other(rendered):
    found = objects(rendered)
    deployment = found["Deployment", "sse-relay"]
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    ports = {p["name"] for p in template["spec"]["containers"][0]["ports"]}
    assert fits(deployment["spec"]["selector"], labels)
    assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in found
    for (kind, name), o in found.items():
        spec = o.get("spec", {})
        if kind == "Service" and name != "redis":
            assert fits({"matchLabels": spec["selector"]}, labels), name
            assert {p["targetPort"] for p in spec["ports"]} <= ports
        elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
            assert fits(spec["selector" if kind == "PodDisruptionBudget" else "podSelector"], labels), name
        elif kind == "HorizontalPodAutoscaler":
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in found
            assert "replicas" not in deployment["spec"], "each `apply` would undo what the autoscaler did"
        elif kind == "ServiceMonitor":
            admin = [o for (k, _), o in found.items() if k == "Service" and fits(spec["selector"], o["metadata"]["labels"])]
            assert len(admin) == 1 and admin[0]["spec"]["ports"][0]["name"] == spec["endpoints"][0]["port"]
        elif kind == "Ingress":
            backends = [p["backend"]["service"] for r in spec["rules"] for p in r["http"]["paths"]]
            assert all(b == {"name": "sse-relay", "port": {"name": "http"}} for b in backends)
        elif kind == "HTTPRoute":
            port = found["Service", "sse-relay"]["spec"]["ports"][0]["port"]
            assert spec["rules"][0]["backendRefs"] == [{"name": "sse-relay", "port": port}]
    constraints = template["spec"]["topologySpreadConstraints"]
    assert len(constraints) == 2 and all(fits(c["labelSelector"], labels) for c in constraints)


def test_no_secret_is_rendered(rendered):
    found = objects(rendered)
    assert not [key for key in found if key[0] == "Secret"]
    assert not re.search(r"redis://[^\s\"]*@", rendered)


# ---- chart and kustomize say the same ----


def normalized(found):
    """Without what is no difference: Helm's labels, the order of variables, namespaces."""
    found = copy.deepcopy(found)
    for o in found.values():
        o["metadata"].pop("namespace", None)
        for name in NAMED_BY_HELM:
            o["metadata"].get("labels", {}).pop(name, None)
    for template in pod_templates(found):
        for container in template["spec"]["containers"]:
            container.get("env", []).sort(key=lambda e: e["name"])
    return found


@pytest.mark.parametrize(
    ("directory", "values", "extra"),
    [
        ("base", {}, set()),
        ("overlays/dev", HELM / "dev.yaml", {("Namespace", "sse-relay-dev"), ("Service", "redis"), ("StatefulSet", "redis")}),
        ("overlays/production", HELM / "production.yaml", {("Namespace", "sse-relay")}),
    ],
)
def test_kustomize_says_what_the_chart_says(chart, directory, values, extra):
    ours = normalized(objects(kustomize_text(KUSTOMIZE / directory)))
    for key in extra:
        del ours[key]
    theirs = normalized(chart(values))
    assert ours.keys() == theirs.keys()
    for key, o in ours.items():
        assert o == theirs[key], key


def test_the_gateway_component_says_what_the_chart_says(chart, tmp_path):
    base, component = (os.path.relpath(KUSTOMIZE / d, tmp_path) for d in ("base", "components/gateway"))
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": [base], "components": [component]}))
    ours = objects(kustomize_text(tmp_path))["HTTPRoute", "sse-relay"]
    assert ours["spec"] == chart(GATEWAY)["HTTPRoute", "sse-relay"]["spec"]


# ---- the pod's end ----


def test_the_grace_period_is_what_the_end_takes(chart):
    def period(values):
        return chart(values)["Deployment", "sse-relay"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert period({}) == 5 + 5 + 60 + 10
    assert period({"config": {"drain": "2m", "drain_grace": "1500ms"}}) == 5 + 2 + 120 + 10
    assert period({"config": {"drain": "1h", "drain_grace": 0}, "termination": {"preStopSeconds": 0}}) == 3600 + 10
    assert period({"config": {"drain": None, "drain_grace": None}}) == 5 + 2 + 10 + 10  # the relay's own defaults
    assert period({"termination": {"gracePeriodSeconds": 300}}) == 300


def test_a_grace_period_that_is_too_short_is_refused(chart):
    run = chart.try_render({"termination": {"gracePeriodSeconds": 79}})
    assert run.returncode != 0
    assert "termination.gracePeriodSeconds is 79" in run.stderr and "need 80" in run.stderr


# ---- values ----

BAD_VALUES = {
    "a name that does not exist": ({"replica": 3}, "replica"),
    "one that does not exist further in": ({"image": {"name": "x"}}, "name"),
    "an option that does not exist": ({"config": {"max_ages": "1h"}}, "max_ages"),
    "an option that is the chart's": ({"config": {"listen": ":1"}}, "listen"),
    "a time without a unit": ({"config": {"drain": "60"}}, "drain"),
    "a number for a time": ({"config": {"drain": 60}}, "drain"),
    "a text for a number": ({"config": {"workers": "2"}}, "workers"),
    "a password in the URL": ({"redis": {"url": "redis://:secret@redis:6379"}}, "url"),
    "no Redis at all": ({"redis": {"existingSecret": {"name": ""}}}, "redis.existingSecret.name"),
    "a secret's value": ({"redis": {"password": "secret"}}, "password"),
    "fewer than none": ({"replicas": -1}, "replicas"),
    "a port that is none": ({"networkPolicy": {"redisPorts": [70000]}}, "redisPorts"),
    "no surge": ({"rollout": {"maxSurge": 0}}, "maxSurge"),
    "an ingress for no host": ({"ingress": {"enabled": True}}, "hosts"),
    "a route of no gateway": ({"httpRoute": {"enabled": True}}, "parentRefs"),
    "a path that is none": ({"ingress": {"paths": ["sse"]}}, "paths"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "more at least than at most": ({"autoscaling": {"enabled": True, "minReplicas": 30}}, "minReplicas"),
    "autoscaling by nothing": ({"autoscaling": {"enabled": True, "cpuPercent": 0}}, "cpuPercent"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values_are_refused_by_name(chart, case):
    values, named = BAD_VALUES[case]
    run = chart.try_render(values)
    assert run.returncode != 0, "was rendered"
    assert named in run.stderr, run.stderr


def options():
    """The rows of OPTIONS.md: the option's name in a file, and what it takes."""
    text = (ROOT / "relay/config/OPTIONS.md").read_text()
    rows = re.findall(r"^\| `--([a-z-]+)(?: ([A-Z]+))?` \|(.*)$", text, re.M)
    named = {name.replace("-", "_"): (kind, "repeatable" in rest) for name, kind, rest in rows}
    last = list(named).index("config")  # from there on, what is no setting
    return {name: named[name] for name in list(named)[:last]}


def test_the_schema_knows_each_option():
    kinds = {"TIME": "time", "SIZE": "size", "N": "number", "": "flag"}
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    assert schema.keys() == options().keys() - OWN_OPTIONS
    for name, (kind, repeatable) in options().items():
        wanted = "texts" if repeatable else kinds.get(kind)
        if name in schema and wanted:
            assert schema[name] == {"$ref": f"#/definitions/{wanted}"}, name


@pytest.mark.parametrize("values", [{}, HELM / "dev.yaml", HELM / "production.yaml", EVERYTHING], ids=str)
def test_a_relay_takes_what_its_pod_is_given(chart, values):
    found = chart(values)
    container = found["Deployment", "sse-relay"]["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e.get("value", "redis://user:password@redis.example:6379") for e in container["env"]}
    run = subprocess.run([BUILD / "sse-relay", "--print-config"], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert said["listen"] == [f":{ports['http']}"] and said["admin_listen"] == f":{ports['admin']}"
    if values == EVERYTHING:
        assert said["cors_origin"] == EVERYTHING["config"]["cors_origin"]
        assert said["history"] == 10000000


def test_versions_agree():
    version = re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version
    for file in KUSTOMIZE.rglob("kustomization.yaml"):
        said = re.findall(r"(?:version|newTag): (\d\S*)", file.read_text())
        assert set(said) <= {version}, file


def test_the_autoscalers_metric_exists(chart):
    metric = chart(EVERYTHING)["HorizontalPodAutoscaler", "sse-relay"]["spec"]["metrics"][1]["pods"]["metric"]["name"]
    sources = "".join(f.read_text() for f in (ROOT / "relay/admin").glob("*.c"))
    assert f'"{metric.removeprefix("sse_relay_")}"' in sources


def test_alerts_come_from_the_observability_room(chart, tmp_path):
    source = ROOT / "deploy/observability/prometheus/alerts.yml"
    run = chart.try_render({"prometheusRule": {"enabled": True}})
    if not source.exists():
        assert run.returncode != 0 and "files/alerts.yml" in run.stderr
        return
    assert run.returncode == 0, f"{CHART}/files/alerts.yml has to be a link to {source}: {run.stderr}"
    assert objects(run.stdout)["PrometheusRule", "sse-relay"]["spec"] == yaml.safe_load(source.read_text())
    code, said = validate(tmp_path, run.stdout)
    assert code == 0, said


def test_the_table_of_values_is_up_to_date():
    run = subprocess.run([sys.executable, HELM / "table.py", "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
