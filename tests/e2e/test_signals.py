"""Signals, and what the service manager is told: which end a relay, which reload it, and that all others do nothing."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest

import harness
from harness import run_relay, wait_until
from http_raw import fetch
from settings import DEADLINE, RELAY

OF_A_CRASH = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
OF_THE_KERNEL = {signal.SIGKILL, signal.SIGSTOP}
OF_JOB_CONTROL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU, signal.SIGPWR}
HARMLESS = signal.valid_signals() - OF_A_CRASH - OF_THE_KERNEL - OF_JOB_CONTROL - ENDING


def lines(relay, message):
    """The lines of its log with that message."""
    return [line for line in harness.json_lines(relay.err) if line["msg"] == message]


@pytest.mark.parametrize("number", sorted(ENDING), ids=lambda number: number.name)
def test_an_end_is_a_drain(start_relay, topic, number):
    """Readiness fails, the stream is served on and then closed properly, and the exit code is 0."""
    relay = start_relay("--drain-grace", "10m", "--allow-anonymous-publish", quick=False).wait_ready()
    with relay.live(topic) as stream:
        relay.signal(number)
        wait_until(lambda: relay.get("/readyz").status == 503, "a failing /readyz")
        assert relay.post(f"/sse?topic={topic}", b"in the grace").status == 200
        stream.wait_data("in the grace")
    relay.expect_clean = False
    relay.signal(signal.SIGTERM)
    relay.wait()
    other = start_relay("--drain", "100ms").wait_ready()
    with other.live(topic) as stream:
        other.signal(number)
        stream.wait_end()
    assert other.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_drain_is_not_cut_by_what_is_no_order(start_relay, topic, number):
    """The kernel sends SIGXCPU once a second, and a closed terminal more than one SIGHUP: only those that mean it end at once."""
    relay = start_relay("--drain-grace", "0s", "--drain", "5s", quick=False).wait_ready()
    streams = [relay.live(topic) for _ in range(10)]
    relay.signal(signal.SIGTERM)
    for stream in streams:
        relay.signal(number)
        stream.wait_end()
        assert stream.parser.retries and stream.events[-1].name == "relay.close", "an end that is told"
        stream.close()
    assert relay.wait() == 0


def test_all_others_do_nothing(start_relay, redis, topic):
    """Every signal that is neither an order nor a crash, real-time ones included: the stream goes on, and the log has a line
    for those that somebody may have meant something by."""
    relay = start_relay().wait_ready()
    assert {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO, signal.SIGPIPE, signal.SIGRTMIN} <= HARMLESS
    with relay.live(topic) as stream:
        for number in sorted(HARMLESS):
            relay.signal(number)
        wait_until(lambda: len(lines(relay, "this signal does nothing: SIGHUP reloads, SIGTERM ends")) == 2, "its lines")
        wait_until(lambda: lines(relay, "reloaded"), "the line of the reload")
        redis.publish(topic, "still here")
        stream.wait_data("still here")
    assert relay.terminate() == 0


# With a pause, since one without takes all the time of the threads that are interrupted, whatever is done about it.
FLOOD = """
import os, sys, time
while True:
    for number in sys.argv[2:]:
        os.kill(int(sys.argv[1]), int(number))
    time.sleep(0.0001)
"""


def test_an_order_is_not_lost_in_a_flood(start_relay, redis, topic, tmp_path):
    """Somebody sends signals that mean little, again and again, faster than the relay reloads; it serves, and ends when told to."""
    file = tmp_path / "long.json"
    file.write_text(json.dumps({"redis": redis.url, "allow_anonymous_publish": True, "allowed_host": [f"h{n}.example" for n in range(5000)]}))
    relay = start_relay("--config", file, redis_url="").wait_ready()
    numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
    flood = harness.Process([sys.executable, "-c", FLOOD, relay.pid, *map(int, numbers)], tmp_path, "flood")
    try:
        with relay.live(topic) as stream:
            for number in range(20):
                assert relay.post(f"/sse?topic={topic}", b"%d" % number).status == 200
                stream.wait_data(str(number))
            wait_until(lambda: relay.err.count('"msg":"reloaded"') >= 200, "a flood that has gone on for a while")
            relay.signal(signal.SIGTERM)
            stream.wait_end()
        assert relay.wait() == 0
    finally:
        flood.kill()


# ---- reload ----


@pytest.fixture
def configured(tmp_path, start_relay, redis):
    """A relay with a configuration file, and a function that writes the file anew and sends SIGHUP."""
    file = tmp_path / "relay.json"

    def write(**members):
        file.write_text(json.dumps({"redis": redis.url} | members))

    write(log_level="info", heartbeat="15s")
    relay = start_relay("--config", file, redis_url="").wait_ready()

    def reload(text=None, **members):
        if text is None:
            write(**members)
        else:
            file.write_text(text)
        said = lambda: len(lines(relay, "reloaded") + lines(relay, "the configuration was not reloaded"))
        seen = said()
        relay.signal(signal.SIGHUP)
        wait_until(lambda: said() > seen, "what it says of the reload")
        return relay

    return reload


def test_the_log_level_is_reloaded(configured, topic):
    """Up and down again, while a stream goes on; what the level hides is hidden from then on."""
    relay = configured(log_level="debug", heartbeat="15s")
    (line,) = lines(relay, "reloaded")
    assert line["log_level"] == "debug" and line["file"].endswith("relay.json")
    relay.live(topic).close()
    wait_until(lambda: any(entry["level"] == "debug" for entry in harness.json_lines(relay.err)), "a line of level debug")
    configured(log_level="error", heartbeat="15s")
    assert lines(relay, "reloaded")[-1]["log_level"] == "error"
    relay.signal(signal.SIGUSR1)  # which the log would tell
    relay.live(topic).close()
    configured(log_level="info", heartbeat="15s")
    assert not lines(relay, "this signal does nothing: SIGHUP reloads, SIGTERM ends")


def test_what_needs_a_restart_is_named(configured, redis):
    """Each option that a reload cannot change, and no value of it."""
    relay = configured(log_level="info", heartbeat="20s", cors_origin=["https://a.example"], redis=f"redis://user:secret@127.0.0.1:{redis.port}")
    wait_until(lambda: lines(relay, "changed in the configuration, but needs a restart"), "the line")
    (line,) = lines(relay, "changed in the configuration, but needs a restart")
    assert sorted(line["options"].split(", ")) == ["cors_origin", "heartbeat", "redis"]
    assert "secret" not in relay.err


@pytest.mark.parametrize("text", ["{", '{"log_level": "loud"}', '{"hartbeat": "1s"}'])
def test_a_file_that_cannot_be_used_changes_nothing(configured, topic, text):
    """The sentence that a start would have said, and the relay goes on as it was."""
    relay = configured(text)
    (line,) = lines(relay, "the configuration was not reloaded")
    assert line["level"] == "error" and "relay.json" in line["why"] and not line["why"].endswith("\n")
    relay.live(topic).close()
    assert relay.terminate() == 0


# ---- a terminal that goes ----


class OnATerminal:
    """A relay that leads the session of a terminal of its own, as under a shell that `exec`s it."""

    def __init__(self, directory, redis, *before):
        self.port = harness.free_port()
        self.log = directory / "terminal.err"
        argv = [*before, RELAY, "--listen", f"127.0.0.1:{self.port}", "--redis", redis.url, "--drain-grace", "0s", "--drain", "0s"]
        argv += ["--log-format", "json"]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT, 0o600), 2)
            os.execvpe(argv[0], [str(a) for a in argv], harness.relay_env())
        wait_until(self.serves, "a relay on a terminal")

    def serves(self):
        try:
            return fetch(("127.0.0.1", self.port), "GET", "/readyz").status == 200
        except OSError:
            return False

    def says(self, message):
        return f'"msg":"{message}"' in self.log.read_text()  # nohup writes a line of its own there

    def close_terminal(self):
        os.close(self.terminal)

    def ended(self):
        """Its exit status once it has ended, else None."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def end(self):
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def on_a_terminal(tmp_path, redis):
    started = []

    def start(*before):
        started.append(OnATerminal(tmp_path, redis, *before))
        return started[-1]

    yield start
    for relay in started:
        relay.end()


def test_a_closed_terminal_ends_it(on_a_terminal):
    """What a person started by hand does not go on unseen when the window is closed; a SIGHUP before that reloads."""
    relay = on_a_terminal()
    os.kill(relay.pid, signal.SIGHUP)
    wait_until(lambda: relay.says("reloaded"), "the line of the reload")
    assert relay.ended() is None and relay.serves()
    relay.close_terminal()
    status = []
    wait_until(lambda: status.append(relay.ended()) or status[-1] is not None, "the end")
    assert status[-1] == 0 and relay.says("told to end: no longer ready")


def test_nohup_is_respected(on_a_terminal):
    """Whoever says that it may outlive the terminal is believed."""
    relay = on_a_terminal("nohup")
    relay.close_terminal()
    wait_until(lambda: relay.says("reloaded"), "the line of the reload")
    assert relay.ended() is None and relay.serves()


# ---- the service manager ----


class Manager:
    """A socket like systemd's for notifications, in the file system or, with @, out of it."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name[0] == "@" else name)
        self.socket.settimeout(DEADLINE)

    def next(self):
        """What is told next, as a dictionary."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def is_silent(self):
        self.socket.setblocking(False)
        try:
            return self.socket.recv(4096) is None
        except BlockingIOError:
            return True


@pytest.fixture(params=["path", "abstract"])
def manager(request, socket_dir):
    one = Manager(f"{socket_dir}/notify" if request.param == "path" else f"@sse-relay-test-{os.getpid()}")
    yield one
    one.socket.close()


def test_the_manager_is_told(start_relay, manager):
    """Ready once it listens, Redis or not; a reload by its time; the end, and how long that may take."""
    relay = start_relay("--drain-grace", "100ms", "--drain", "2s", redis_url="redis://127.0.0.1:1", quick=False,
                        env={"NOTIFY_SOCKET": manager.name})
    assert manager.next() == {"READY": "1"}
    assert relay.wait_listening().get("/healthz").status == 200
    before = time.monotonic_ns() // 1000
    relay.signal(signal.SIGHUP)
    told = manager.next()
    assert told.pop("RELOADING") == "1" and before <= int(told.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000 and not told
    assert manager.next() == {"READY": "1"}
    relay.signal(signal.SIGTERM)
    told = manager.next()
    assert told.pop("STOPPING") == "1" and int(told.pop("EXTEND_TIMEOUT_USEC")) >= 2_100_000 and not told
    assert relay.wait() == 0 and manager.is_silent()


def test_a_start_that_fails_is_not_told(manager, relay):
    """A wrong option, an address that is taken: the manager hears nothing and sees the exit code."""
    env = {"NOTIFY_SOCKET": manager.name}
    assert run_relay("--drian", "1s", env=env).returncode == 2
    assert run_relay("--listen", "%s:%d" % relay.address, env=env).returncode == 1
    assert manager.is_silent()


def test_children_do_not_speak_for_it(start_relay, socket_dir, manager):
    """The private Redis does not know where the manager listens."""
    relay = start_relay("--embedded-redis", redis_url="", env={"NOTIFY_SOCKET": manager.name, "TMPDIR": str(socket_dir)}).wait_ready()
    (child,) = open(f"/proc/{relay.pid}/task/{relay.pid}/children").read().split()
    (redis,) = open(f"/proc/{child}/task/{child}/children").read().split()
    assert b"NOTIFY_SOCKET" not in open(f"/proc/{redis}/environ", "rb").read()


@pytest.mark.parametrize("name", ["", "relative", "@", "/" + "x" * 200, "/nowhere/notify"])
def test_no_manager_is_no_trouble(start_relay, name):
    """A name that cannot be one, or where nobody listens."""
    assert start_relay(env={"NOTIFY_SOCKET": name}).wait_ready().terminate() == 0


def test_priorities_for_the_journal(start_relay, tmp_path, redis):
    """Where standard error is the journal, each line has its priority in front; where it was redirected since, none."""
    for number, difference in enumerate((0, 1)):
        file = tmp_path / f"relay{number}.err"
        file.touch()
        stat = file.stat()
        env = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino + difference}"}
        relay = start_relay(env=env).wait_ready()
        redis("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: "lost" in relay.err, "a warning")
        assert relay.terminate() == 0
        marks = {"info": "<6>", "warn": "<4>", "error": "<3>"} if difference == 0 else dict.fromkeys(("info", "warn", "error"), "")
        seen = set()
        for line in relay.err.splitlines():
            text = line[line.index("{"):]
            level = json.loads(text)["level"]
            assert line.removesuffix(text) == marks[level], line
            seen.add(level)
        assert {"info", "warn"} <= seen


def test_a_wrong_option_is_an_error_in_the_journal(tmp_path):
    """What is said before there is a log has its priority, too."""
    with open(tmp_path / "err", "w+") as err:
        stat = os.fstat(err.fileno())
        env = harness.relay_env({"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
        assert subprocess.run([RELAY, "--drian", "1s"], stderr=err, env=env, check=False).returncode == 2
        err.seek(0)
        assert err.read().startswith("<3>sse-relay: --drian is no option")
