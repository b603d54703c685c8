"""docker-compose.yml, really brought up: what a person meets, and that no event is lost whatever ends meanwhile.

One deployment for all tests, in their order: each leaves it well.
"""

import json
import pathlib
import random
import re
import subprocess
import threading
import time
import types
import urllib.request

import pytest

import containers
from balancers import H2Readers
from containers import ROOT, Deployment, docker, inspect

import chaos
import harness
from chaos import Publisher, log_ids
from checker import Checker, Violation, unreached
from harness import Metrics
from http_raw import fetch
from readers import SocketReader, target_of
from resp import RedisClient
from sse import Stream
from tls_raw import Certificate, TlsConn, context


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    if reason := containers.missing():
        pytest.skip(reason)
    one = Deployment()
    one.directory = tmp_path_factory.mktemp("compose")
    began = time.monotonic()
    try:
        one.up()
        print(f"up and well after {time.monotonic() - began:.1f} s, the images' building in it")
        one.certificate = types.SimpleNamespace(cert=one.directory / "localhost.crt")
        one("cp", "balancer:/tls/localhost.crt", str(one.certificate.cert))
        one.origin = f"https://localhost:{one.https}"
        yield one
    finally:
        print(one("logs", "--no-color", "--tail", "60", check=False).stdout)
        one.down()


@pytest.fixture
def front(deployment):
    """Where the balancer speaks plain HTTP."""
    return ("127.0.0.1", deployment.http)


def metrics(deployment, number):
    answer = fetch(deployment.address("relay", number, 9090), "GET", "/metrics")
    return Metrics(answer.body.decode())


def curl(deployment, *args):
    argv = ["curl", "-sS", "--cacert", deployment.certificate.cert, *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def variables():
    """What docker-compose.yml takes from the environment, with its defaults."""
    found = re.findall(r"(?<!\$)\$\{([A-Z_]+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text())
    for name, default in found:
        assert dict(found)[name] == default, f"{name} has two defaults"
    return {name: default.replace("$$", "$") for name, default in found if name != "NAME"}


def test_the_documentation_names_each_variable():
    text = (ROOT / "deploy/containers.md").read_text()
    assert variables().keys() == set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", re.search(r"^Variables, (.*?)\n\n", text, re.M | re.S)[1]))


def test_the_example_of_settings_has_the_defaults():
    text = (ROOT / "deploy/compose/.env.example").read_text()
    assert not re.search(r"^[^#\n]", text, re.M), "a copy of it must change nothing"
    assert {name: value.strip("'") for name, value in re.findall(r"^#([A-Z_]+)=(.*)$", text, re.M)} == variables()


def test_one_service_builds_an_image():
    """Two that build under one tag take it from each other, and Compose then replaces what runs."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is missing: `make deps-test` installs it")
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built = [service["image"] for service in services.values() if "build" in service]
    assert built and len(set(built)) == len(built), built
    for name, service in services.items():
        if service["image"] in built and "build" not in service:
            assert service["pull_policy"] == "never", f"{name} would ask a registry for an image that is built here"


def composed(text):
    """A value of a Compose file, with the defaults of its variables."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda m: m[1] or "", str(text))


def test_the_override_for_tls(tmp_path, redis):
    """A relay with the environment that tls.yml and docker-compose.yml give it together, and with its secrets: it serves by TLS, and
    what others reach publishes nothing. The services that it leaves out are there, and nobody else takes their ports."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is missing: `make deps-test` installs it")
    base, over = (yaml.safe_load((ROOT / file).read_text()) for file in ("docker-compose.yml", "deploy/compose/tls.yml"))
    assert over["services"].keys() <= base["services"].keys()
    assert [name for name in over["services"] if "profiles" in over["services"][name]] == ["balancer", "certificate"]
    assert "balancer" not in (base["services"]["relay"].get("depends_on") or {})
    relay = over["services"]["relay"]
    assert set(relay["secrets"]) == over["secrets"].keys() and all(set(secret) == {"file"} for secret in over["secrets"].values())
    assert set(relay["networks"]) <= base["networks"].keys() and relay["deploy"]["replicas"] == 1
    ((address, _, inside),) = (composed(port).split(":") for port in relay["ports"])
    assert address == "127.0.0.1"

    own = Certificate(tmp_path, "own", "localhost")
    files = {"/run/secrets/tls.crt": str(own.cert), "/run/secrets/tls.key": str(own.key), "redis://redis": redis.url}
    env = {name: composed(value) for name, value in (base["services"]["relay"]["environment"] | relay["environment"]).items()}
    assert set(files) <= set(env.values()) and f"https://:{inside}" in env["SSE_RELAY_LISTEN"].split(",")
    env = {name: files.get(value, value) for name, value in env.items()}
    env |= {"SSE_RELAY_LISTEN": re.sub(r":\d+", "127.0.0.1:0", env["SSE_RELAY_LISTEN"]), "SSE_RELAY_DRAIN_GRACE": "0s", "SSE_RELAY_DRAIN": "0s"}
    node = harness.Relay(tmp_path, "relay", None, listen=None, env=env)
    try:
        node.wait_listening(2)
        secure, plain = node.addresses
        with TlsConn(secure, context(own), "localhost") as conn:
            conn.request("POST", "/sse?topic=a", body=b"x")
            assert conn.read_answer("POST").status in (401, 403)
        assert fetch(plain, "GET", "/healthz").status == 200
    finally:
        node.finish()


def stop_timeout_needed(said):
    """What `sse-relay --print-config` says, in seconds: its grace, its drain and 5 s for the last bytes."""
    return sum(int(said[name].removesuffix("s")) for name in ("drain_grace", "drain")) + 5


def test_docker_run_leaves_time_for_the_drain():
    """`docker run` as the page has it: Docker's own 10 s are less than grace and drain."""
    told = re.findall(r"^    (docker run .*sse-relay)$", (ROOT / "deploy/containers.md").read_text(), re.M)
    assert told
    default = json.loads(harness.run_relay("--print-config").stdout)
    for line in told:
        assert int(re.search(r"--stop-timeout (\d+)", line)[1]) >= stop_timeout_needed(default), line


def test_a_live_page(deployment, front):
    page = fetch(front, "GET", "/")
    assert page.status == 200 and b"<title>" in page.body
    told = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{deployment.origin}/"]
    assert curl(deployment, *told) == "2 200"
    with Stream(front, "/sse?topic=page").wait_live() as stream:
        answer = json.loads(curl(deployment, "-d", "over TLS", f"{deployment.origin}/sse?topic=page"))
        assert stream.wait_data("over TLS").id == answer["ids"]["page"]


def test_it_says_where_to_look(deployment, front):
    """In the log, with ports that answer."""
    said = deployment("logs", "--no-color", "--no-log-prefix", "balancer")
    pages = re.findall(r"(http://localhost:\d+\S*?)(?='|\s)", said)
    assert f"http://localhost:{deployment.http}/?topics=time,letters" in pages and f"https://localhost:{deployment.https}/" in said
    for page in pages:
        assert re.match(r"http://localhost:(\d+)/", page)[1] == str(deployment.http)
    assert fetch(front, "GET", "/?topics=time,letters").status == 200
    assert f"redis://127.0.0.1:{deployment.redis} " in said


def test_a_publisher_on_this_machine(deployment, front):
    """It reaches Redis by the port that is told, and what it publishes comes out of the balancer."""
    with Stream(front, "/sse?topic=machine").wait_live() as stream:
        done = harness.run_publish("--redis", f"redis://127.0.0.1:{deployment.redis}", "machine", "from outside the containers")
        assert done.returncode == 0, done.stderr
        assert stream.wait_data("from outside the containers").id == done.stdout.strip()


def test_more_relays_replace_none(deployment, front):
    """A stream goes on while there are more relays and fewer again: no container but theirs is made anew."""
    def running():
        return {c["Name"]: c["Id"] for c in deployment.containers()}

    before = running()
    with Stream(front, "/sse?topic=scaled").wait_live() as stream:
        deployment.up("--scale", "relay=5")
        more = running()
        assert len(more) == len(before) + 2 and more.items() >= before.items()
        deployment.up("--scale", "relay=4")
        deployment.up("--scale", "relay=3")
        assert running() == before
        curl(deployment, "-d", "still here", f"{deployment.origin}/sse?topic=scaled")
        stream.wait_data("still here")


def test_other_names_and_other_pages_are_refused(deployment, front):
    """What is published without a name comes from this machine, and from no page of elsewhere."""
    assert fetch(front, "GET", "/", host="rebound.example").status == 421
    for host in ("localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"):
        assert fetch(front, "GET", "/", host=host).status == 200
    assert fetch(front, "POST", "/sse?topic=a", [("Origin", "https://elsewhere.example")], b"x").status == 403
    assert fetch(front, "GET", "/metrics").status == 404


def test_each_container_is_confined(deployment):
    found = deployment.containers()
    services = sorted(c["Config"]["Labels"]["com.docker.compose.service"] for c in found)
    assert services == ["balancer", "certificate", "clock", "letters", "redis", "relay", "relay", "relay"]
    for container in found:
        how, name = container["HostConfig"], container["Name"]
        assert how["ReadonlyRootfs"] and how["CapDrop"] == ["ALL"] and not how["Privileged"], name
        assert how["SecurityOpt"] == ["no-new-privileges:true"], name
        assert container["Config"]["User"] not in ("", "root", "0"), name
        for bindings in (how["PortBindings"] or {}).values():
            assert {b["HostIp"] for b in bindings} == {"127.0.0.1"}, name
        if "certificate" not in name:
            assert how["Memory"] > 0 and how["PidsLimit"] > 0 and how["RestartPolicy"]["Name"] == "unless-stopped", name
            assert container["State"]["Health"]["Status"] == "healthy", name


def test_the_grace_is_longer_than_the_drain(deployment):
    relay = inspect(deployment.container("relay"))
    options = dict(entry.split("=", 1) for entry in relay["Config"]["Env"])
    own = json.loads(docker("run", "--rm", *(f"--env={k}={v}" for k, v in options.items()), deployment.image, "--print-config"))
    assert relay["Config"]["StopTimeout"] >= stop_timeout_needed(own)
    default = json.loads(docker("run", "--rm", deployment.image, "--print-config"))
    assert relay["Config"]["StopTimeout"] >= stop_timeout_needed(default)


def test_the_certificate_is_kept(deployment):
    before = deployment.certificate.cert.read_bytes()
    docker("start", "--attach", deployment.container("certificate"))
    deployment("cp", "balancer:/tls/localhost.crt", str(deployment.directory / "again.crt"))
    assert (deployment.directory / "again.crt").read_bytes() == before


def test_tail_in_the_image_reads_over_tls(deployment):
    """With the certificate that is given to it, and not without."""
    curl(deployment, "-d", "kept", f"{deployment.origin}/sse?topic=tailed")
    network = ["--network", f"container:{deployment.container('balancer')}", "--volumes-from", f"{deployment.container('balancer')}:ro"]
    run = ["run", "--rm", "--read-only", "--cap-drop", "ALL", *network, "--entrypoint", "sse-publish"]
    tail = [deployment.image, "tail", "tailed", "--last", "1", "--count", "1", "--timeout", "5s", "--url", "https://localhost:8443"]
    assert docker(*run, "--env", "SSL_CERT_FILE=/tls/localhost.crt", *tail) == "kept"
    untrusted = docker(*run, *tail, check=False)
    assert untrusted.returncode != 0 and "certificate" in untrusted.stderr, untrusted.stderr


class Storm:
    """What publishers and readers of the chaos know of a run: where they go, and what they complain of."""

    rate, publishers, cutting = 10, 2, True

    def __init__(self, addresses, violations):
        self.nodes = types.SimpleNamespace(addresses=addresses)
        self.violations, self.counts = violations, chaos.collections.Counter()
        self.ending = threading.Event()

    def random(self, name):
        return random.Random(name)

    def fault(self, kind, who, text):
        self.violations.append(Violation(kind, who, time.time(), text))


def acknowledged(publishers):
    return sum(p.id is not None for publisher in publishers for p in publisher.published)


def go_on(publishers, count=60):
    """Until so many more events were acknowledged."""
    before = acknowledged(publishers)
    harness.wait_until(lambda: acknowledged(publishers) >= before + count, "events that are acknowledged", 120)


def kill_a_relay(deployment, publishers):
    docker("kill", deployment.container("relay", 2))
    go_on(publishers)
    docker("start", deployment.container("relay", 2))
    deployment.wait_well("relay", 2)


def drain_a_relay(deployment, _publishers):
    docker("stop", deployment.container("relay", 3))
    assert inspect(deployment.container("relay", 3))["State"]["ExitCode"] == 0
    docker("start", deployment.container("relay", 3))
    deployment.wait_well("relay", 3)


def kill_redis(deployment, publishers):
    docker("kill", deployment.container("redis"))
    docker("start", deployment.container("redis"))
    deployment.wait_well("redis")
    go_on(publishers)


def scale_to_five(deployment, _publishers):
    deployment.up("--scale", "relay=5")


def test_nothing_is_lost(deployment, front):
    """Published through one node, read through the balancer over HTTP/1.1 and HTTP/2, while a relay is killed, one is
    drained, Redis is killed, and there are five relays all at once: each acknowledged event exactly once and in order."""
    violations = []
    out, back = Storm([deployment.address("relay", 1)] * 3, violations), Storm([front], violations)
    publishers = [Publisher(out, number, keyed=True) for number in range(Storm.publishers)]
    plain = [SocketReader(back, f"reader{n}", topics, by_query=n % 2) for n, topics in enumerate([chaos.TOPICS] * 3 + [["quiet"]] * 2)]
    h2 = H2Readers(back, "h2", chaos.TOPICS, deployment, target_of(chaos.TOPICS), 8)
    try:
        for thread in [*plain, *publishers]:
            thread.start()
        go_on(publishers)
        for fault in (kill_a_relay, kill_redis, scale_to_five, drain_a_relay):
            fault(deployment, publishers)
            go_on(publishers)
        back.cutting = False
        out.ending.set()
        for publisher in publishers:
            publisher.join()
        published = [p for publisher in publishers for p in publisher.published]
        markers = {topic: publishers[0].publish([topic], "end", 0)[topic] for topic in chaos.TOPICS}
        published = [p for publisher in publishers for p in publisher.published]
        h2.wait(lambda: h2.reached() and all(r.reached() for r in plain), "the end of all readers")
    finally:
        out.ending.set()
        for reader in [*plain, h2]:
            reader.finish()
    assert [r["alpn"] for r in h2.others if r["type"] == "session"].count("h2") == len(h2.others), h2.others
    memories = [*(r.memory for r in plain), *h2.memories]
    with RedisClient(deployment.address("redis", port=6379, network="redis")) as client:
        birth = client("HGET", "sse:{0}:clock", "birth").decode()
        kept = {i for topic in chaos.TOPICS for i in log_ids(client, topic, birth)}
    report = Checker(published, memories, kept=kept).run()
    violations += report.violations + unreached(memories, markers)
    print(dict(report.counts), dict(out.counts))
    assert not violations, "\n".join(map(str, violations[:20]))
    assert report.counts["acknowledged"] > 300 and report.counts["connections"] > len(memories)


def test_all_five_get_new_streams(deployment, front):
    """Least connections: the new ones come first."""
    streams = [Stream(front, "/sse?topic=spread").wait_live() for _ in range(20)]
    try:
        assert all(metrics(deployment, number)["sse_relay_subscribers"] >= 1 for number in range(1, 6))
    finally:
        for stream in streams:
            stream.close()


def test_the_demo(deployment, front):
    for topic in ("time", "letters"):
        with Stream(front, f"/sse?topic={topic}").wait_live() as stream:
            stream.wait_for(lambda event: event.name == "message")


def ask_prometheus(deployment, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{deployment.prometheus}/api/v1/{path}", timeout=30) as answer:
        return json.load(answer)["data"]


def test_prometheus_sees_every_relay(deployment):
    deployment("--profile", "observability", "up", "--detach", "--wait", "--no-recreate", "prometheus")
    relays = len(deployment("ps", "--quiet", "relay").split())
    seen = lambda: len(ask_prometheus(deployment, "query?query=sse_relay_ready==1")["result"])
    harness.wait_until(lambda: seen() == relays, "every relay in Prometheus")
    assert [g["name"] for g in ask_prometheus(deployment, "rules")["groups"]]


def test_what_grafana_is_given(deployment):
    """Its image is on no machine that reaches no hub, so this looks at what is mounted, and where its settings say it is."""
    config = json.loads(deployment("--profile", "observability", "config", "--format", "json"))
    grafana = config["services"]["grafana"]
    mounted = {v["target"]: pathlib.Path(v["source"]) for v in grafana["volumes"] if v["type"] == "bind"}
    assert all(source.is_relative_to(ROOT) and list(source.iterdir()) for source in mounted.values())
    home = pathlib.Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted[str(home.parent)] / home.name).exists()
    assert {f.name for f in mounted["/etc/grafana/provisioning"].iterdir()} == {"dashboards", "datasources"}
    assert grafana["read_only"] and grafana["cap_drop"] == ["ALL"]
