"""The units of deploy/systemd: what systemd says of them, and the relay under a real systemd with all their restrictions."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

import harness
from harness import wait_until
from settings import PUBLISH, RELAY, ROOT, tool
from systemd_box import box

UNITS = ROOT / "deploy/systemd"
ENVIRONMENT = UNITS / "relay.env"
MOST_EXPOSED = 2.0
DROPPED = {"@privileged", "@resources"}

BOX_FILES = {
    "/usr/local/bin/sse-relay": RELAY,
    "/usr/local/bin/sse-publish": PUBLISH,
    "/etc/systemd/system/sse-relay.service": UNITS / "sse-relay.service",
    "/etc/systemd/system/sse-relay@.service": UNITS / "sse-relay@.service",
    "/etc/sse-relay/relay.env": re.sub(r"^(SSE_RELAY_DRAIN.*)=.*", r"\1=1s", ENVIRONMENT.read_text(), flags=re.M).encode(),
}
READY = ("curl", "-fsS", "http://127.0.0.1:9090/readyz")


def needs(program, package):
    if not tool(program):
        pytest.skip(f"{program} is missing: it is in the package {package}")


def settings(file):
    """The assignments of a unit or an environment file, comments left out."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "["))]
    return [tuple(line.split("=", 1)) for line in lines]


def seconds(text):
    """A duration in systemd's words or the relay's: 2min, 10s."""
    number, unit = re.fullmatch(r"(\d+)(s|min|m)", text).groups()
    return int(number) * {"s": 1, "m": 60, "min": 60}[unit]


@pytest.mark.parametrize("unit", ["sse-relay.service", "sse-relay@.service"])
def test_verify(unit, tmp_path):
    """`systemd-analyze verify` finds nothing to say."""
    needs("systemd-analyze", "systemd")
    text = (UNITS / unit).read_text().replace("ExecStart=sse-relay", f"ExecStart={RELAY}")
    copy = tmp_path / unit.replace("@", "@8081")
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "sse-relay" in line]  # other units of this machine may be odd
    assert not complaints, done.stderr


@pytest.mark.parametrize("unit", ["sse-relay.service", "sse-relay@.service"])
def test_security(unit):
    """The issue: `systemd-analyze security` under 2.0."""
    needs("systemd-analyze", "systemd")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / unit],
                          capture_output=True, text=True, check=True)
    exposed = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposed[1]) < MOST_EXPOSED, done.stdout


def test_instances_are_the_same():
    """sse-relay@.service is sse-relay.service but for its description, its ports and a file of its own."""
    one, many = (settings(UNITS / name) for name in ("sse-relay.service", "sse-relay@.service"))
    differ = {"Description", "ExecStart", "EnvironmentFile"}
    assert [s for s in one if s[0] not in differ] == [s for s in many if s[0] not in differ]


def test_stop_outlasts_drain():
    """TimeoutStopSec is longer than the drain of relay.env, so that it holds where the relay cannot ask for more."""
    unit, env = dict(settings(UNITS / "sse-relay.service")), dict(settings(ENVIRONMENT))
    drain = seconds(env["SSE_RELAY_DRAIN_GRACE"]) + seconds(env["SSE_RELAY_DRAIN"])
    assert seconds(unit["TimeoutStopSec"]) > drain + 10
    assert f"TimeoutStopSec of the unit, {unit['TimeoutStopSec']}," in ENVIRONMENT.read_text()


def test_environment_is_valid(tmp_path):
    """The relay takes each setting of relay.env, those behind a `#` as well."""
    file = tmp_path / "relay.json"
    file.write_text('{"log_level": "debug"}')
    text = re.sub(r"^#(?=SSE_)", "", ENVIRONMENT.read_text(), flags=re.M)
    env = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("SSE_"))
    assert len(env) == text.count("\nSSE_") > 5
    assert env["SSE_RELAY_CONFIG"] == "/etc/sse-relay/relay.json"
    env["SSE_RELAY_CONFIG"] = str(file)
    done = harness.run_relay("--print-config", env=env)  # the files that it names are not here
    assert done.returncode == 0, done.stderr


def allowed_calls():
    """What the units' SystemCallFilter lets through, from systemd's own lists."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    sets, name = {}, None
    for line in said.splitlines():
        if line.startswith("@"):
            sets[name := line.strip()] = set()
        elif name and line.strip() and not line.strip().startswith("#"):
            sets[name].add(line.strip())

    def members(name):
        return set().union(*(members(m) if m.startswith("@") else {m} for m in sets[name]))

    filters = [value for key, value in settings(UNITS / "sse-relay.service") if key == "SystemCallFilter"]
    assert filters == ["@system-service", "~" + " ".join(sorted(DROPPED))]
    return members("@system-service") - set().union(*map(members, DROPPED))


def test_system_calls(tmp_path, redis):
    """Start, stream, publish, metrics, losing Redis, drain: the relay makes no call that the units' filter refuses."""
    needs("strace", "strace")
    needs("systemd-analyze", "systemd")
    trace = tmp_path / "trace"
    port = harness.free_port()
    argv = ["strace", "-f", "-qq", "-o", trace, RELAY, "--listen", f"127.0.0.1:{port}", "--redis", redis.url.replace("127.0.0.1", "localhost"),
            "--workers", "2", "--drain-grace", "100ms", "--drain", "100ms", "--allow-anonymous-publish"]
    relay = harness.Relay.__new__(harness.Relay)
    harness.Process.__init__(relay, argv, tmp_path, "relay", env=harness.relay_env({"NOTIFY_SOCKET": f"{tmp_path}/notify"}))
    try:
        relay.wait_ready()
        stream = relay.live("calls")
        assert relay.post("/sse?topic=calls", b"x").status == 200
        stream.wait_data("x")
        assert relay.get("/metrics").status == 200
        redis("CLIENT", "KILL", "TYPE", "pubsub")
        assert relay.post("/sse?topic=calls", b"y").status == 200
        stream.wait_data("y")
        traced = int(re.match(r"(\d+)", trace.read_text())[1])
        os.kill(traced, signal.SIGHUP)
        wait_until(lambda: '"msg":"reloaded"' in relay.err, "the reload")
        os.kill(traced, signal.SIGTERM)
        assert relay.wait() == 0, relay.err
    finally:
        relay.kill()
    made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(), re.M))
    assert {"execve", "accept4", "epoll_ctl", "sendto"} <= made
    assert made <= allowed_calls(), made - allowed_calls()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine where the units were installed as deploy/systemd/README.md says, and the relay has started."""
    with box(BOX_FILES, tmp_path_factory.mktemp("machine")) as it:
        it.run("systemctl", "start", "sse-relay")
        assert it.run("curl", "-fsS", READY[-1].replace("readyz", "healthz")) == "ok", "started is what listens"
        wait_until(lambda: it.run(*READY, check=False) == "ready", "readiness")
        yield it


def test_confined(machine):
    """It runs, as nobody in particular, with no capability, a filter on its calls, and all the restrictions in force."""
    pid = machine.show("sse-relay", "MainPID")
    status = dict(re.findall(r"^(\w+):\s+(.*)$", machine.run("cat", f"/proc/{pid}/status"), re.M))
    assert status["Uid"].split()[0] != "0" and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    inside = ("nsenter", f"--target={pid}", "--mount", "--")
    assert machine.run(*inside, "ls", "/home", "/root") == "/home:\n\n/root:"
    assert machine.run(*inside, "sh", "-c", "test -w /usr && test -w /etc && echo writable", check=False) == ""


def test_stream(machine, tmp_path):
    """A client of a confined relay gets an event that was published with sse-publish."""
    reader = machine.start(tmp_path, "reader", "curl", "-sN", "http://127.0.0.1:8080/sse?topic=unit")
    try:
        wait_until(lambda: "relay.live" in reader.out, "relay.live")
        machine.run("sse-publish", "unit", "hello")
        wait_until(lambda: "data: hello" in reader.out, "the event")
    finally:
        reader.kill()


def test_restart_drains(machine, tmp_path):
    """`systemctl restart` lets the relay drain: it ends its streams itself and exits with 0, and the next one serves."""
    before = machine.show("sse-relay", "MainPID")
    reader = machine.start(tmp_path, "reader", "curl", "-sN", "http://127.0.0.1:8080/sse?topic=unit")
    try:
        wait_until(lambda: "relay.live" in reader.out, "relay.live")
        restart = machine.start(tmp_path, "restart", "systemctl", "restart", "sse-relay")
        wait_until(lambda: machine.run("curl", "-sS", READY[-1], check=False).count("draining"), "the drain")
        machine.run("sse-publish", "unit", "while draining")
        assert reader.wait() == 0 and "data: while draining" in reader.out, reader.out
        assert restart.wait() == 0
    finally:
        reader.kill()
    wait_until(lambda: machine.run(*READY, check=False) == "ready", "readiness")
    assert machine.show("sse-relay", "MainPID") != before
    assert machine.show("sse-relay", "NRestarts") == "0", "that restart was asked for"


def test_crash_is_restarted(machine):
    """A relay that dies is started again."""
    before = machine.show("sse-relay", "MainPID")
    machine.run("kill", "-KILL", before)
    wait_until(lambda: machine.show("sse-relay", "NRestarts") == "1", "the restart")
    wait_until(lambda: machine.run(*READY, check=False) == "ready", "readiness")


def log_level(machine, unit, level):
    """Write the file that a unit's options come from, which has the level alone."""
    machine.run("sh", "-c", f"""echo '{{"log_level": "{level}"}}' >/etc/sse-relay/{unit}.json""")


@pytest.fixture
def node(machine, tmp_path):
    """A second node, sse-relay@8085, with a configuration file, and a client on it."""
    log_level(machine, "8085", "info")
    machine.run("sh", "-c", "printf 'SSE_RELAY_CONFIG=/etc/sse-relay/8085.json\\n' >/etc/sse-relay/8085.env")
    machine.run("systemctl", "start", "sse-relay@8085")
    reader = machine.start(tmp_path, "reader", "curl", "-sN", "http://127.0.0.1:8085/sse?topic=unit")
    wait_until(lambda: "relay.live" in reader.out, "relay.live")
    yield reader
    machine.run("systemctl", "stop", "sse-relay@8085")
    machine.run("rm", "-rf", "/etc/sse-relay/8085.env", "/etc/systemd/system/sse-relay@8085.service.d")
    machine.run("systemctl", "daemon-reload")
    reader.kill()


def test_reload(machine, node):
    """`systemctl reload` changes the log's level and touches no stream."""
    before = machine.show("sse-relay@8085", "MainPID")
    log_level(machine, "8085", "debug")
    machine.run("systemctl", "reload", "sse-relay@8085")
    wait_until(lambda: '"msg":"reloaded","log_level":"debug"' in machine.journal("sse-relay@8085"), "the line of the reload")
    wait_until(lambda: machine.show("sse-relay@8085", "ActiveState") == "active", "the end of the reload")
    machine.run("sse-publish", "unit", "after the reload")
    wait_until(lambda: "data: after the reload" in node.out, "the event")
    assert machine.show("sse-relay@8085", "MainPID") == before


@pytest.mark.parametrize("number", ["HUP", "USR1", "USR2", "ALRM"])
def test_signals_that_end_nothing(machine, node, number):
    """They took a node down for good once, and systemd called that a clean end."""
    before = machine.show("sse-relay@8085", "MainPID")
    machine.run("systemctl", "kill", f"--signal={number}", "sse-relay@8085")
    machine.run("sse-publish", "unit", f"after {number}")
    wait_until(lambda: f"data: after {number}" in node.out, "the event")
    assert machine.show("sse-relay@8085", "MainPID") == before


def test_an_end_that_nobody_asked_systemd_for(machine, node):
    """A SIGTERM from elsewhere drains the relay, and then it is started again."""
    before = machine.show("sse-relay@8085", "MainPID")
    machine.run("kill", "-TERM", before)
    assert node.wait() == 0
    wait_until(lambda: machine.show("sse-relay@8085", "NRestarts") == "1", "the restart")
    wait_until(lambda: machine.run("curl", "-fsS", "http://127.0.0.1:18085/readyz", check=False) == "ready", "readiness")


def test_a_drain_longer_than_the_timeout(machine, node):
    """The relay asks systemd for the time that it needs, and is not killed."""
    machine.run("sh", "-c", "mkdir -p /etc/systemd/system/sse-relay@8085.service.d; printf '[Service]\\nTimeoutStopSec=2s\\n' "
                ">/etc/systemd/system/sse-relay@8085.service.d/short.conf; echo SSE_RELAY_DRAIN_GRACE=6s >>/etc/sse-relay/8085.env")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sse-relay@8085")
    assert machine.show("sse-relay@8085", "TimeoutStopUSec") == "2s"
    machine.run("systemctl", "stop", "sse-relay@8085")
    assert machine.show("sse-relay@8085", "Result") == "success" and machine.show("sse-relay@8085", "ExecMainStatus") == "0"


def test_priorities(machine):
    """`journalctl -p warning` has the warnings, and no line of a lower priority."""
    machine.run("redis-cli", "CLIENT", "KILL", "TYPE", "pubsub")
    warnings = lambda: machine.run("journalctl", "--no-pager", "--output=cat", "--unit=sse-relay", "--priority=warning")
    wait_until(lambda: '"level":"warn"' in warnings(), "a warning")
    assert '"level":"info"' not in warnings() and "<4>" not in machine.journal("sse-relay")
    wait_until(lambda: machine.run(*READY, check=False) == "ready", "readiness")


def test_wrong_option_stays_down(machine):
    """A relay with an option that does not exist fails the start, is not tried again and again, and the journal has the sentence,
    as an error."""
    machine.run("sh", "-c", "echo SSE_RELAY_DRIAN=1s >/etc/sse-relay/8088.env")
    started = machine.run("sh", "-c", "systemctl start sse-relay@8088 && echo started", check=False)
    assert started == "" and machine.show("sse-relay@8088", "ActiveState") == "failed"
    assert machine.show("sse-relay@8088", "ExecMainStatus") == "2" and machine.show("sse-relay@8088", "NRestarts") == "0"
    said = machine.run("journalctl", "--no-pager", "--output=cat", "--unit=sse-relay@8088", "--priority=err")
    assert "SSE_RELAY_DRIAN" in said


def test_an_address_in_use_fails_the_start(machine):
    """As a wrong option does; but it is tried again, since the other may go."""
    machine.run("sh", "-c", "echo SSE_RELAY_LISTEN=127.0.0.1:8080 >/etc/sse-relay/8089.env")
    machine.run("sh", "-c", "mkdir -p /etc/systemd/system/sse-relay@8089.service.d; printf '[Service]\\nExecStart=\\nExecStart=sse-relay\\n' "
                ">/etc/systemd/system/sse-relay@8089.service.d/listen.conf; systemctl daemon-reload")
    assert machine.run("sh", "-c", "systemctl start sse-relay@8089 && echo started", check=False) == ""
    wait_until(lambda: int(machine.show("sse-relay@8089", "NRestarts")) >= 1, "another try")
    machine.run("systemctl", "stop", "sse-relay@8089")


def test_instances(machine):
    """Two more nodes on the same machine, by port, and a port of a file of its own."""
    for port in (8081, 8082):
        machine.run("systemctl", "start", f"sse-relay@{port}")
        wait_until(lambda: machine.run("curl", "-fsS", f"http://127.0.0.1:1{port}/readyz", check=False) == "ready", "readiness")
        assert machine.run("curl", "-fsS", f"http://127.0.0.1:1{port}/healthz") == "ok"
        assert "console" in machine.run("curl", "-fsS", f"http://127.0.0.1:{port}/")
    machine.run("systemctl", "stop", "sse-relay@8081", "sse-relay@8082")
    assert machine.show("sse-relay@8081", "Result") == "success" and machine.show("sse-relay@8082", "ExecMainStatus") == "0"


def test_secrets_come_as_credentials(machine):
    """The lines of the README: a relay has its token's secret and the key of its certificate, out of files that only root may read, and
    they are in no variable and no argument. The last test here: the relay speaks TLS from now on."""
    blocks = re.findall(r"^```ini\n(.*?)^```$", (UNITS / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 2
    dropin = "/etc/systemd/system/sse-relay.service.d"
    machine.run("sh", "-c", f"umask 077; cd /etc/sse-relay; openssl rand -hex 32 >token-secret; mkdir {dropin}; openssl req -x509 -nodes "
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
                "-keyout privkey.pem -out fullchain.pem; sed -i 's,^SSE_RELAY_LISTEN=.*,SSE_RELAY_LISTEN=https://:8443,' relay.env")
    for number, block in enumerate(blocks):
        machine.run("sh", "-c", f"cat >{dropin}/{number}.conf <<'END'\n{block}END")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sse-relay")
    wait_until(lambda: machine.run(*READY, check=False) == "ready", "readiness")

    asked = ("curl", "-sS", "--cacert", "/etc/sse-relay/fullchain.pem", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
             "-d", "x", "https://localhost:8443/sse?topic=unit")
    assert machine.run(*asked) == "2 401"
    token = machine.run("sse-publish", "token", "--secret-file", "/etc/sse-relay/token-secret", "--publish", "unit")
    assert machine.run(*asked, "-H", f"Authorization: Bearer {token}") == "2 200"

    pid = machine.show("sse-relay", "MainPID")
    everywhere = machine.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline") + machine.run("systemctl", "show", "sse-relay")
    everywhere += machine.run("systemctl", "cat", "sse-relay") + machine.journal("sse-relay")
    assert "token-secret" in everywhere
    for secret in machine.run("cat", "/etc/sse-relay/token-secret", "/etc/sse-relay/privkey.pem").splitlines():
        assert secret.startswith("-----") or secret not in everywhere


@pytest.mark.parametrize("file", sorted((ROOT / "deploy/sysctl").glob("*.conf")), ids=lambda file: file.name)
def test_sysctl(file):
    """Each setting, those behind a `#` as well, is one that this kernel knows, with as many values as it takes."""
    lines = re.findall(r"^#?([a-z]\S*\.\S+) = (.+)$", file.read_text(), re.M)
    assert len(lines) >= 2
    for name, value in lines:
        there = pathlib.Path("/proc/sys", *name.split("."))
        assert len(value.split()) == len(there.read_text().split()), name
