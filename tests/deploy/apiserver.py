"""Has a real kube-apiserver take what the chart and kustomize make, by server-side apply with strict field validation, as a
dry run. Not part of `make test`, since building it takes ten minutes of one core; by hand:

    sh tests/deploy/go-tools.sh build/tools
    sh tests/deploy/apiserver.sh build/tools        # builds kube-apiserver and etcd
    python3 tests/deploy/apiserver.py

Beside the schemas this asks what only a server knows: defaults, rules of validation in its code, warnings, admission by Pod
Security, and what helm makes of a cluster. Both servers listen on loopback, in a directory of their own, and end with this.
"""

import contextlib
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))  # as conftest.py does for pytest

import test_kubernetes as kubernetes  # noqa: E402

TOOLS = kubernetes.TOOLS
TOKEN = "manual"  # of servers that live for a minute on loopback
DEADLINE = 120


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Cluster:
    """An API server on its etcd: no scheduler, no kubelet."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.processes = []
        etcd, peer, self.port = free_port(), free_port(), free_port()
        at = "http://127.0.0.1:{}".format
        self.start("etcd", "--data-dir", self.directory / "etcd", "--listen-client-urls", at(etcd),
                   "--advertise-client-urls", at(etcd), "--listen-peer-urls", at(peer))  # fmt: skip
        (self.directory / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        key = self.directory / "key.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        self.start("kube-apiserver", "--etcd-servers", at(etcd), "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", f"--secure-port={self.port}", f"--cert-dir={self.directory}",
                   f"--token-auth-file={self.directory / 'tokens.csv'}", "--service-cluster-ip-range=10.0.0.0/24",
                   "--authorization-mode=RBAC", "--service-account-issuer=https://127.0.0.1",
                   f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
                   "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount")  # fmt: skip
        self.wait_ready()

    def start(self, program, *args):
        with open(self.directory / f"{program}.log", "wb") as log:
            self.processes.append(subprocess.Popen([TOOLS / program, *args], stdout=log, stderr=log))

    def wait_ready(self):
        until = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(OSError):
                if self.call("GET", "/readyz")[0] == 200:
                    return
            log = self.directory / "kube-apiserver.log"
            assert time.monotonic() < until and self.processes[-1].poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)

    def call(self, method, path, body=None, kind="application/json"):
        """Status, what the server answered, and its warnings."""
        context = ssl.create_default_context(cafile=None)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a certificate that it just made itself
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind, "Accept": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        url = f"https://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, answer.read().decode(), answer.headers.get_all("Warning") or []
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers.get_all("Warning") or []

    def path(self, o):
        group = "/api/v1" if o["apiVersion"] == "v1" else f"/apis/{o['apiVersion']}"
        names = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
        plural = names.get(o["kind"], o["kind"].lower() + "s")
        namespace = o["metadata"].get("namespace")
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{group}{within}/{plural}/{o['metadata']['name']}"

    def apply(self, o, dry_run=True):
        query = "?fieldManager=test&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.call("PATCH", self.path(o) + query, o, "application/apply-patch+yaml")

    def kubeconfig(self):
        """For helm."""
        file = self.directory / "kubeconfig"
        server = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))  # fmt: skip
        return file

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, good, what, said=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {what}{'' if good else ': ' + said}")


def apply_all(cluster, report, name, text):
    for o in yaml.safe_load_all(text):
        status, said, warnings = cluster.apply(o)
        good = status in (200, 201) and not warnings
        report(good, f"{name}: {o['kind']} {o['metadata']['name']}", f"{status} {said[:600]} {warnings}")


def check_pod_security(cluster, report, text):
    """The Deployment's pod is let into a restricted namespace, and with one right more it is not."""
    found = kubernetes.objects(text)
    pod = found["Deployment", "sse-relay"]["spec"]["template"]
    o = {"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"]}
    o["metadata"] = {"name": "pod", "namespace": "sse-relay", "labels": pod["metadata"]["labels"]}
    del o["spec"]["priorityClassName"]  # such a class would have to exist
    status, said, warnings = cluster.apply(o)
    report(status == 201 and not warnings, "a pod of it is let into a restricted namespace", f"{said} {warnings}")
    o["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    status, said, _ = cluster.apply(o)
    report(status == 403 and "restricted" in said, "and is not, with one right more", said)


def check_helm(cluster, report):
    """helm against a cluster: versions, notes, an upgrade."""
    for values in ([], ["-f", str(kubernetes.HELM / "production.yaml")]):
        run = kubernetes.tool("helm", "--kubeconfig", cluster.kubeconfig(), "upgrade", "--install", "sse-relay",
                              kubernetes.CHART, "-n", "sse-relay", "--dry-run=server", *values)  # fmt: skip
        report(run.returncode == 0, f"helm upgrade --install --dry-run=server {' '.join(values)}", run.stderr)
        print(run.stdout.partition("NOTES:")[2])


def check(cluster, report, directory):
    for file in sorted((TOOLS / "crds").glob("*.yaml")):
        status, said, _ = cluster.apply(yaml.safe_load(file.read_text()), dry_run=False)
        report(status in (200, 201), f"custom resource {file.name}", said)
    for overlay in ("dev", "production"):
        namespace = yaml.safe_load((kubernetes.KUSTOMIZE / "overlays" / overlay / "namespace.yaml").read_text())
        cluster.apply(namespace, dry_run=False)
    time.sleep(5)  # the API of a new kind is served a moment after it was defined
    chart = kubernetes.Charts(directory)
    for name, render in kubernetes.RENDERED.items():
        apply_all(cluster, report, name, render(chart))
    text = chart.text(kubernetes.EVERYTHING)
    check_pod_security(cluster, report, text)
    wrong = kubernetes.objects(text)["Deployment", "sse-relay"]
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    status, said, _ = cluster.apply(wrong)
    report(status >= 400 and "terminationGracePeriod" in said, "an unknown field is refused", said)
    check_helm(cluster, report)


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(directory)
        try:
            check(cluster, report, cluster.directory)
        finally:
            cluster.stop()
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
