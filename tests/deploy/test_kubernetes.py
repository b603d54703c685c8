"""deploy/helm and deploy/kustomize: rendered by the real tools, validated against the real schemas with unknown fields
refused, held against each other, and their settings given to a real relay. What `helm test` would run is run against one.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import harness

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: `make deps-test` installs it")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "build" / "tools"
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
HELM = ROOT / "deploy" / "helm"
CHART = HELM / "sse-relay"
KUSTOMIZE = ROOT / "deploy" / "kustomize"
ALERTS = ROOT / "deploy" / "observability" / "prometheus" / "alerts.yml"
NAMED_BY_HELM = {"app.kubernetes.io/managed-by", "helm.sh/chart"}  # labels that kustomize has no use for
OWN_OPTIONS = {"listen", "admin_listen", "redis", "embedded_redis", "token_secret_file", "token_key",
               "tls_cert", "tls_key", "tls_client_ca", "tls_ticket_key"}  # that the chart sets itself, or must not


def why_not():
    """What keeps the tools from being here, or None."""
    if (TOOLS / "made").exists():
        return None
    missing = TOOLS / "missing"
    return missing.read_text().strip() if missing.exists() else "not built: sh tests/deploy/go-tools.sh build/tools"


# What a container needs for the `restricted` profile, beside what its pod says.
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
# Everything that can be switched on, at once.
EVERYTHING = {
    "image": {"registry": "registry.example.com/a", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": {"cors_origin": ["https://a.example", "https://b.example"], "outbox_limit": "1MiB", "history": 10000000, "token_cookie": "access",
               "public": ["news.**", "open"]},
    "tokens": {"existingSecret": {"name": "sse-relay-tokens", "secrets": ["secret", "old.secret"], "publicKeys": ["jwks.json"]}},
    "tls": {"existingSecrets": ["events-example-com", "old.example"],
            "ticketKeys": {"existingSecret": {"name": "tickets", "keys": ["new", "old"]}},
            "clientCa": {"existingSecret": {"name": "partners"}}},
    "commonLabels": {"cost-centre": "42", "app.kubernetes.io/name": "not this"},
    "commonAnnotations": {"example.com/owner": "edge"},
    "deploymentLabels": {"tier": "edge"},
    "deploymentAnnotations": {"reloader.example.com/auto": "true"},
    "podAnnotations": {"example.com/a": "1"},
    "podLabels": {"team": "events"},
    "extraEnv": [{"name": "TZ", "value": "UTC"}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "extraEnvFrom": [{"configMapRef": {"name": "more", "optional": True}}],
    "extraVolumes": [{"name": "tmp", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    "extraContainers": [{"name": "proxy", "image": "proxy:1", "securityContext": CONFINED}],
    "extraInitContainers": [{"name": "before", "image": "before:1", "securityContext": CONFINED}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more", "namespace": "sse-relay"}, "data": {"A": "1"}},
        """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "sse-relay.fullname" . }}-text
  namespace: {{ .Release.Namespace }}
""",
    ],
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
    "service": {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "labels": {"exposed": "yes"},
        "annotations": {"example.com/lb": "nlb"},
        "nodePort": 30080,
        "loadBalancerClass": "example.com/lb",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
    "ingress": {
        "enabled": True,
        "className": "internal",
        "annotations": {"example.com/timeout": "1h"},
        "hosts": ["a.example.com", "*.b.example.com"],
        "tlsSecretName": "tls",
    },
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["events.example.com"],
    },
    "networkPolicy": {"clientsFrom": [{"podSelector": {}}], "redisTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
}
INGRESS = {"ingress": {"enabled": True, "hosts": ["events.example.com"], "tlsSecretName": "events-example-com-tls"}}


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
    """A pod by itself is its own template."""
    pods = [o for o in found.values() if o["kind"] == "Pod"]
    return pods + [o["spec"]["template"] for o in found.values() if o["kind"] in ("Deployment", "StatefulSet")]


def relay(found):
    """The relay's container."""
    (container,) = [c for c in found["Deployment", "sse-relay"]["spec"]["template"]["spec"]["containers"] if c["name"] == "relay"]
    return container


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
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == CONFINED
            assert all("hostPort" not in port for port in container.get("ports", []))


def fits(selector, labels):
    return selector["matchLabels"].items() <= labels.items()


def test_objects_find_each_other(rendered):
    found = objects(rendered)
    deployment = found["Deployment", "sse-relay"]
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    ports = {p["name"] for p in relay(found)["ports"]}
    assert fits(deployment["spec"]["selector"], labels)
    assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in found
    strangers = [o["metadata"]["labels"] for o in pod_templates(found) if o is not template]
    for (kind, name), o in found.items():
        spec = o.get("spec", {})
        if kind == "Service" and name != "redis":
            assert fits({"matchLabels": spec["selector"]}, labels), name
            assert not any(fits({"matchLabels": spec["selector"]}, other) for other in strangers), name
            assert {p["targetPort"] for p in spec["ports"]} <= ports
        elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
            assert fits(spec["selector" if kind == "PodDisruptionBudget" else "podSelector"], labels), name
            assert {p["port"] for rule in spec.get("ingress", []) for p in rule["ports"]} <= ports, name
        elif kind == "HorizontalPodAutoscaler":
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in found
            assert "replicas" not in deployment["spec"], "each `apply` would undo what the autoscaler did"
        elif kind == "ServiceMonitor":
            admin = [o for (k, _), o in found.items() if k == "Service" and fits(spec["selector"], o["metadata"]["labels"])]
            assert len(admin) == 1 and admin[0]["spec"]["ports"][0]["name"] == spec["endpoints"][0]["port"]
        elif kind == "Ingress":
            backends = [p["backend"]["service"] for r in spec["rules"] for p in r["http"]["paths"]]
            assert all(b == {"name": "sse-relay", "port": {"name": found["Service", "sse-relay"]["spec"]["ports"][0]["name"]}} for b in backends)
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
    """Without what is no difference: Helm's labels, what `helm test` brings, the order of variables, namespaces."""
    hook = "helm.sh/hook"
    found = {k: o for k, o in copy.deepcopy(found).items() if hook not in o["metadata"].get("annotations", {})}
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


def test_the_ingress_component_says_what_the_chart_says(chart, tmp_path):
    """The gateway's is part of production, above."""
    base, component = (os.path.relpath(KUSTOMIZE / d, tmp_path) for d in ("base", "components/ingress"))
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": [base], "components": [component]}))
    ours = objects(kustomize_text(tmp_path))["Ingress", "sse-relay"]
    assert ours["spec"] == chart(INGRESS)["Ingress", "sse-relay"]["spec"]


def test_the_token_component_says_what_the_chart_says(chart, tmp_path):
    base, component = (os.path.relpath(KUSTOMIZE / d, tmp_path) for d in ("base", "components/tokens"))
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": [base], "components": [component]}))
    ours = normalized(objects(kustomize_text(tmp_path)))["Deployment", "sse-relay"]
    theirs = normalized(chart({"tokens": {"existingSecret": {"name": "sse-relay-tokens", "secrets": ["secret"]}}}))["Deployment", "sse-relay"]
    assert ours["spec"] == theirs["spec"]


def test_the_tls_component_says_what_the_chart_says(chart, tmp_path):
    base, component = (os.path.relpath(KUSTOMIZE / d, tmp_path) for d in ("base", "components/tls"))
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": [base], "components": [component]}))
    ours, theirs = normalized(objects(kustomize_text(tmp_path))), normalized(chart({"tls": {"existingSecrets": ["sse-relay-tls"]}}))
    assert ours.keys() == theirs.keys()
    for key, o in ours.items():
        assert o["spec" if "spec" in o else "metadata"] == theirs[key]["spec" if "spec" in o else "metadata"], key


def test_tls_changes_what_clients_reach_and_nothing_else(chart):
    """Ports for clients are named by what is spoken there, as gateways and ingress controllers want it; probes and metrics stay plain."""
    plain, tls = chart({}), chart({"tls": {"existingSecrets": ["events"]}})
    assert {p["name"] for p in relay(plain)["ports"]} == {"http", "admin"} and {p["name"] for p in relay(tls)["ports"]} == {"https", "admin"}
    ports = [found["Service", "sse-relay"]["spec"]["ports"] for found in (plain, tls)]
    assert ports == [[{"name": name, "port": port, "targetPort": name, "appProtocol": name}] for name, port in (("http", 80), ("https", 443))]
    assert chart({"tls": {"existingSecrets": ["events"]}, "service": {"port": 8443}})["Service", "sse-relay"]["spec"]["ports"][0]["port"] == 8443
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert relay(tls)[probe] == relay(plain)[probe] and relay(tls)[probe]["httpGet"]["port"] == "admin"
    assert tls["Service", "sse-relay-admin"] == plain["Service", "sse-relay-admin"]


def test_the_alerts_of_kustomize_are_up_to_date():
    """Here without its tools as well: who changes an alert has to run `make docs`."""
    rule = yaml.safe_load((KUSTOMIZE / "components/monitoring/prometheusrule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text()), "run `make docs`"


def test_production_is_complete(chart):
    """It is scraped, has the alerts, and is reached through a gateway: the one controller that it could name is retired."""
    found = chart(HELM / "production.yaml")
    assert {"HTTPRoute", "ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler"} <= {kind for kind, _ in found}
    assert "Ingress" not in {kind for kind, _ in found}
    for file in [HELM / "production.yaml", CHART / "values.yaml", *KUSTOMIZE.rglob("*.yaml")]:
        assert "nginx" not in file.read_text(), file


def test_the_image_is_the_one_that_is_told(chart):
    """`make image` makes what chart and overlay for trying out ask for, under the name that the page tells."""
    rendered = relay(objects(kustomize_text(KUSTOMIZE / "overlays/dev")))["image"]
    assert relay(chart(HELM / "dev.yaml"))["image"] == rendered
    said = subprocess.run(["make", "-n", "image"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert f"-t '{rendered}'" in said, said
    page = (ROOT / "deploy/kubernetes.md").read_text()
    assert f"(its image is `{rendered}`)" in page and "`latest`" not in page and ":latest" not in page


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
    "keys of no secret": ({"tokens": {"existingSecret": {"secrets": ["a"]}}}, "tokens.existingSecret.name"),
    "a secret of no keys": ({"tokens": {"existingSecret": {"name": "a"}}}, "tokens.existingSecret"),
    "a key that leads elsewhere": ({"tokens": {"existingSecret": {"name": "a", "secrets": ["a/b"]}}}, "tokens"),
    "keys of tickets in no secret": ({"tls": {"existingSecrets": ["a"], "ticketKeys": {"existingSecret": {"keys": ["a"]}}}}, "tls.ticketKeys.existingSecret.name"),
    "a secret of no keys of tickets": ({"tls": {"existingSecrets": ["a"], "ticketKeys": {"existingSecret": {"name": "a"}}}}, "tls.ticketKeys.existingSecret.keys"),
    "keys of tickets without a certificate": ({"tls": {"ticketKeys": {"existingSecret": {"name": "a", "keys": ["a"]}}}}, "tls.existingSecrets"),
    "authorities without a certificate": ({"tls": {"clientCa": {"existingSecret": {"name": "a"}}}}, "tls.existingSecrets"),
    "a certificate twice": ({"tls": {"existingSecrets": ["a", "a"]}}, "existingSecrets"),
    "a certificate's key as a value": ({"tls": {"key": "-----BEGIN"}}, "tls"),
    "a file of TLS as an option": ({"config": {"tls_cert": ["/a"]}}, "tls_cert"),
    "an option that does not exist": ({"config": {"max_ages": "1h"}}, "max_ages"),
    "an option that is the chart's": ({"config": {"listen": ":1"}}, "listen"),
    "a PROXY protocol that nobody is believed with": ({"proxyProtocol": True}, "config.trusted_proxies"),
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
    "a port on machines of a Service without one": ({"service": {"nodePort": 30080}}, "service.nodePort"),
    "a class for no load balancer": ({"service": {"loadBalancerClass": "a/b"}}, "service.loadBalancerClass"),
    "a variable that is the chart's": ({"extraEnv": [{"name": "SSE_RELAY_REDIS", "value": "redis://x"}]}, "extraEnv"),
    "a job that no alert knows": ({"serviceMonitor": {"jobName": "events"}}, "jobName"),
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


@pytest.mark.parametrize("more", [{}, {"tls": {"existingSecrets": ["a"]}}], ids=["plain", "tls"])
def test_the_proxy_protocol_is_on_the_clients_port_alone(chart, more):
    """So that the kubelet, which speaks none, still gets its answers."""
    values = {"proxyProtocol": True, "config": {"trusted_proxies": ["10.0.0.0/8"]}, **more}
    env = {e["name"]: e.get("value") for e in relay(chart(values))["env"]}
    assert env["SSE_RELAY_LISTEN"] == ("proxy+https://:8080" if more else "proxy+:8080")
    assert env["SSE_RELAY_ADMIN_LISTEN"] == ":9090" and env["SSE_RELAY_TRUSTED_PROXIES"] == "10.0.0.0/8"


@pytest.mark.parametrize("values", [{}, HELM / "dev.yaml", HELM / "production.yaml", EVERYTHING], ids=str)
def test_a_relay_takes_what_its_pod_is_given(chart, values):
    found = chart(values)
    container = relay(found)
    env = {e["name"]: e.get("value", "redis://user:password@redis.example:6379") for e in container["env"]}
    run = subprocess.run([BUILD / "sse-relay", "--print-config"], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert said["listen"] == ([f"https://:{ports['https']}"] if values == EVERYTHING else [f":{ports['http']}"]) and said["admin_listen"] == f":{ports['admin']}"
    if values == EVERYTHING:
        assert said["cors_origin"] == EVERYTHING["config"]["cors_origin"]
        assert said["history"] == 10000000
        assert said["token_secret_file"] == ["/etc/sse-relay/tokens/secret", "/etc/sse-relay/tokens/old.secret"]
        assert said["token_key"] == ["/etc/sse-relay/tokens/jwks.json"] and said["public"] == ["news.**", "open"]
        for option, files in TLS_FILES.items():
            assert said[option] == files, option
        secrets = folders(found)
        read = [f for option in ("token_secret_file", "token_key", *TLS_FILES) for f in ([said[option]] if isinstance(said[option], str) else said[option])]
        assert {os.path.dirname(f) for f in read} == secrets.keys(), "each file of a Secret is read from its folder, and no folder is mounted in vain"
        assert secrets == {"/etc/sse-relay/tokens": "sse-relay-tokens", "/etc/sse-relay/tls/events-example-com": "events-example-com",
                           "/etc/sse-relay/tls/old.example": "old.example", "/etc/sse-relay/tls-ticket-keys": "tickets",
                           "/etc/sse-relay/tls-client-ca": "partners"}


# The files of EVERYTHING's TLS, as the relay is to see them.
TLS_FILES = {
    "tls_cert": ["/etc/sse-relay/tls/events-example-com/tls.crt", "/etc/sse-relay/tls/old.example/tls.crt"],
    "tls_key": ["/etc/sse-relay/tls/events-example-com/tls.key", "/etc/sse-relay/tls/old.example/tls.key"],
    "tls_ticket_key": ["/etc/sse-relay/tls-ticket-keys/new", "/etc/sse-relay/tls-ticket-keys/old"],
    "tls_client_ca": "/etc/sse-relay/tls-client-ca/ca.crt",
}


def folders(found):
    """Of the relay's container: where which Secret is mounted."""
    volumes = {v["name"]: v["secret"]["secretName"] for v in found["Deployment", "sse-relay"]["spec"]["template"]["spec"]["volumes"] if "secret" in v}
    mounts = [m for m in relay(found)["volumeMounts"] if m["name"] in volumes]
    assert all(m["readOnly"] and "subPath" not in m for m in mounts)
    return {m["mountPath"]: volumes[m["name"]] for m in mounts}


# ---- what is yours to set ----


def test_a_cluster_may_choose_the_user(chart):
    """OpenShift gives each namespace users of its own, and refuses a pod that names another."""
    found = chart({"podSecurityContext": {"runAsUser": None, "runAsGroup": None}})
    for template in pod_templates(found):
        assert template["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    found = chart({"podSecurityContext": {"runAsUser": 1000680000, "fsGroup": 7}, "securityContext": {"runAsGroup": 8}})
    for template in pod_templates(found):
        assert template["spec"]["securityContext"]["runAsUser"] == 1000680000 and template["spec"]["securityContext"]["fsGroup"] == 7
        assert all(c["securityContext"]["runAsGroup"] == 8 for c in template["spec"]["containers"])


def test_extras_are_where_they_belong(chart):
    found = chart(EVERYTHING)
    pod = found["Deployment", "sse-relay"]["spec"]["template"]["spec"]
    assert [e for e in relay(found)["env"] if e["name"] in ("TZ", "POD")] == EVERYTHING["extraEnv"]
    assert relay(found)["envFrom"] == EVERYTHING["extraEnvFrom"]
    assert relay(found)["volumeMounts"][5:] == EVERYTHING["extraVolumeMounts"] and pod["volumes"][5:] == EVERYTHING["extraVolumes"]
    extras = {key: EVERYTHING[key] for key in ("extraVolumes", "extraVolumeMounts")}
    alone = chart(extras)
    assert relay(alone)["volumeMounts"] == extras["extraVolumeMounts"]
    assert alone["Deployment", "sse-relay"]["spec"]["template"]["spec"]["volumes"] == extras["extraVolumes"]
    assert pod["containers"][1:] == EVERYTHING["extraContainers"] and pod["initContainers"] == EVERYTHING["extraInitContainers"]
    assert ("ConfigMap", "more") in found and ("ConfigMap", "sse-relay-text") in found
    service = found["Service", "sse-relay"]["spec"]
    assert service["loadBalancerClass"] == "example.com/lb" and service["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert [p["nodePort"] for p in service["ports"]] == [30080]
    assert found["Ingress", "sse-relay"]["spec"]["ingressClassName"] == "internal"


def test_labels_and_annotations(chart):
    """Those of all objects are on all of them, and none replaces one by which pods are found."""
    found = chart(EVERYTHING)
    for (kind, name), o in found.items():
        if kind == "ConfigMap":
            continue  # from extraObjects, as they were given
        assert o["metadata"]["labels"]["cost-centre"] == "42", (kind, name)
        assert o["metadata"]["labels"]["app.kubernetes.io/name"] in ("sse-relay", "sse-relay-test"), (kind, name)
        assert o["metadata"]["annotations"]["example.com/owner"] == "edge", (kind, name)
    deployment = found["Deployment", "sse-relay"]
    assert deployment["metadata"]["labels"]["tier"] == "edge"
    assert deployment["metadata"]["annotations"]["reloader.example.com/auto"] == "true"
    pod = deployment["spec"]["template"]["metadata"]
    assert pod["labels"]["team"] == "events" and pod["labels"]["cost-centre"] == "42" and pod["annotations"]["example.com/a"] == "1"
    assert "cost-centre" not in deployment["spec"]["selector"]["matchLabels"]
    service = found["Service", "sse-relay"]["metadata"]
    assert service["labels"]["exposed"] == "yes" and service["annotations"]["example.com/lb"] == "nlb"


@pytest.mark.parametrize("values", [{}, {"nameOverride": "events"}, {"fullnameOverride": "hub"},
                                    {"serviceMonitor": {"jobName": "edge-sse-relay"}}], ids=str)
def test_alerts_find_the_job_whatever_the_release_is_called(chart, values):
    """Prometheus names the job by what the ServiceMonitor says, and SseRelayDown looks for a word in that name."""
    values = values | {"serviceMonitor": {"enabled": True} | values.get("serviceMonitor", {})}
    found = chart(values)
    (monitor,) = [o for (kind, _), o in found.items() if kind == "ServiceMonitor"]
    (job,) = [r["replacement"] for r in monitor["spec"]["endpoints"][0]["relabelings"] if r["targetLabel"] == "job"]
    selectors = re.findall(r'job=~"([^"]+)"', ALERTS.read_text())
    assert selectors and all(re.fullmatch(selector, job) for selector in selectors), job


# ---- helm test ----


GUARDED = {"tokens": {"existingSecret": {"name": "keys", "secrets": ["new", "old"]}}}
ISSUED = GUARDED | {"config": {"token_audience": ["relay", "other"], "token_issuer": ["me"], "token_claim": "/app/sse", "prefix": "other"}}


@pytest.mark.parametrize("values", [{}, {"config": {"prefix": "other"}}, GUARDED, ISSUED], ids=str)
def test_what_helm_test_runs(chart, tmp_path, redis, values):
    """The containers of its pod, one after the other as a kubelet would, against a relay with the options of the chart's pods;
    and against none they fail."""
    found = chart(values)
    pod = found["Pod", "sse-relay-test"]["spec"]
    secrets = {f"/etc/sse-relay/tokens/{name}": str(tmp_path / name) for name in ("new", "old")}
    for path in secrets.values():
        pathlib.Path(path).write_text(path[-1] * 40)

    def ours(text):
        for there, here in (secrets | {"/run/minted": str(tmp_path)}).items():
            text = text.replace(there, here)
        return text

    env = {e["name"]: ours(e["value"]) for e in relay(found)["env"] if "value" in e and not e["name"].endswith("LISTEN")}
    node = harness.Relay(tmp_path, "relay", redis.url, "--drain", "0s", "--drain-grace", "0s", env=env).wait_ready()
    url = f"http://sse-relay:{found['Service', 'sse-relay']['spec']['ports'][0]['port']}"

    def run(container):
        assert container["command"] == ["/usr/bin/sse-publish"]
        mounted = {m["mountPath"]: m.get("readOnly", False) for m in container.get("volumeMounts", [])}
        assert mounted.keys() <= {"/etc/sse-relay/tokens", "/run/minted"}
        assert all(any(path in arg for path in mounted) for arg in container["args"] if "/etc/" in arg or "/run/" in arg)
        args = [a.replace(url, node.url).replace("timeout=60s", "timeout=1s") for a in container["args"]]
        assert (args != container["args"]) == (container["name"] == "read")
        variables = {e["name"]: redis.url for e in container.get("env", [])}
        assert not variables or container["name"] == "publish"
        return subprocess.run([BUILD / "sse-publish", *map(ours, args)], env=variables, capture_output=True, text=True, check=False)

    for container in pod["initContainers"]:
        done = run(container)
        assert done.returncode == 0, done.stderr
    assert [c["name"] for c in pod["initContainers"]] == (["publish", "token"] if "tokens" in values else ["publish"])
    read = run(pod["containers"][0])
    assert read.returncode == 0 and read.stdout == "sse-relay, revision 1\n", read
    node.finish()
    assert run(pod["containers"][0]).returncode != 0


def test_helm_test_reads_what_it_can(chart):
    """With public keys alone it can make no token: then it publishes, unless everybody may read its topic."""
    keys = {"tokens": {"existingSecret": {"name": "keys", "publicKeys": ["jwks.json"]}}}
    pod = chart(keys)["Pod", "sse-relay-test"]["spec"]
    assert [c["name"] for c in pod["containers"]] == ["publish"] and "initContainers" not in pod and "volumes" not in pod
    pod = chart(keys | {"config": {"public": ["news.**", "helm-test"]}})["Pod", "sse-relay-test"]["spec"]
    assert [c["name"] for c in pod["containers"]] == ["read"] and "volumes" not in pod


def secret_mentions(container):
    """What a container's arguments and variables say outright, without what names a file or a key of a Secret."""
    return [*container.get("command", []), *container.get("args", []), *(e["value"] for e in container.get("env", []) if "value" in e)]


def test_secrets_are_files_or_references(rendered):
    """In no argument and no variable of any container: there only a path, or a reference to a Secret (Redis's URL)."""
    for template in pod_templates(objects(rendered)):
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            said = secret_mentions(container)
            assert not [text for text in said if re.search(r"(redis|valkey)s?://[^/\s]*@|BEGIN|eyJ|--token=", text)], said
            for variable in container.get("env", []):
                if re.search(r"SECRET|TOKEN_KEY|TLS_(KEY|TICKET)", variable["name"]):
                    assert all(path.startswith("/etc/sse-relay/") for path in variable["value"].split(",")), variable


def test_nobody_keeps_helm_test_out(chart):
    """Where only a gateway's namespace may connect, its pod may as well, for as long as it is there."""
    found = chart(HELM / "production.yaml")
    policy, pod = found["NetworkPolicy", "sse-relay-test"], found["Pod", "sse-relay-test"]
    relays = found["Deployment", "sse-relay"]["spec"]["template"]["metadata"]["labels"]
    assert fits(policy["spec"]["podSelector"], relays)
    assert fits(policy["spec"]["ingress"][0]["from"][0]["podSelector"], pod["metadata"]["labels"])
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert ("Pod", "sse-relay-test") not in chart({"tests": {"enabled": False}})


def test_helm_test_by_https_asks_for_a_host_of_the_certificate(chart):
    """Which the Service's name is not: without another one there is nothing to run."""
    tls, url = {"existingSecrets": ["events"]}, "https://events.example.com"
    assert ("Pod", "sse-relay-test") not in chart({"tls": tls})
    found = chart({"tls": tls, "tests": {"url": url}})
    assert f"--url={url}" in found["Pod", "sse-relay-test"]["spec"]["containers"][0]["args"]
    assert found["NetworkPolicy", "sse-relay-test"]["spec"]["ingress"][0]["ports"][0]["port"] == "https"


# ---- between files ----


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
    run = chart.try_render({"prometheusRule": {"enabled": True}})
    assert run.returncode == 0, f"{CHART}/files/alerts.yml has to be a link to {ALERTS}: {run.stderr}"
    assert objects(run.stdout)["PrometheusRule", "sse-relay"]["spec"] == yaml.safe_load(ALERTS.read_text())
    code, said = validate(tmp_path, run.stdout)
    assert code == 0, said
    run = chart.try_render({"prometheusRule": {"enabled": True, "runbookUrl": "https://wiki.example.org/runbook"}})
    rules = objects(run.stdout)["PrometheusRule", "sse-relay"]["spec"]["groups"][0]["rules"]
    assert all(rule["annotations"]["runbook_url"] == f"https://wiki.example.org/runbook#{rule['alert'].lower()}" for rule in rules)


def test_the_table_of_values_is_up_to_date():
    run = subprocess.run([sys.executable, HELM / "table.py", "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
