"""Starts and stops what the tests run: redis-server, relays, Node clients. Each in a directory, a port and a
session of its own, ended by its process id, and dead with the test runner whatever happens to that.
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

import http_raw
from http_raw import Conn
from resp import RedisClient, RedisError
from settings import DEADLINE, HERE, PUBLISH, RELAY
from sse import Stream

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_FOR_THREADS = 0x40000000  # __WALL

# What a sanitizer writes when it has found something.
SANITIZER_MARKS = ("Sanitizer", "runtime error:")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1",
    "LSAN_OPTIONS": "exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "exitcode=99:second_deadlock_stack=1",
}


def wait_until(probe, what="it", timeout=None):
    """Call @probe until it returns something true, and return that."""
    until = time.monotonic() + (timeout or DEADLINE)
    while True:
        if result := probe():
            return result
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.02)


def publish_until_received(redis, stream, topic, data):
    """Live events are not kept: publish until one comes through."""

    def attempt():
        redis.publish(topic, data)
        try:
            stream.wait_for(lambda e: e.data == data, timeout=0.2)
        except AssertionError:
            return False
        return True

    wait_until(attempt, f"{data!r} on the stream")


def _ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        number = ctypes.get_errno()
        if number == errno.EPERM:
            pytest.skip("nobody may trace a process here, so no thread can be held")
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def frozen_thread(pid, name):
    """Hold the thread of that name, which waits in some system call (so it holds no lock), while all others go on."""
    threads = [task for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text() == f"{name}\n"]
    assert len(threads) == 1, f"{len(threads)} threads are called {name}"
    thread = int(threads[0].name)

    def freeze():
        _ptrace(PTRACE_SEIZE, thread)
        _ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WAIT_FOR_THREADS)
        if (threads[0] / "syscall").read_text().split()[0].isdigit():
            return True
        _ptrace(PTRACE_DETACH, thread)
        return False

    wait_until(freeze, f"{name} in a system call")
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def json_lines(text):
    """The complete lines of @text, parsed. Only a line feed ends a line: splitlines() knows ten more."""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def free_port():
    """A loopback port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Process:
    """A child with its output in files: `out` and `err` are what it wrote so far."""

    def __init__(self, argv, directory, name, env=None, fds=None, cwd=None):
        self.name, self.argv = name, [str(a) for a in argv]
        self.directory = pathlib.Path(directory)
        self._out, self._err = (self.directory / f"{name}.{kind}" for kind in ("out", "err"))

        def in_child():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if fds:
                resource.setrlimit(resource.RLIMIT_NOFILE, (fds, fds))

        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=in_child,
            )
        self.pid = self.child.pid

    @property
    def out(self):
        return self._out.read_text(errors="replace")

    @property
    def err(self):
        return self._err.read_text(errors="replace")

    @property
    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=None):
        """The exit code, once it ended by itself."""
        return self.child.wait(timeout or DEADLINE)

    def kill(self):
        if self.running:
            self.child.kill()
        self.child.wait()


# What was acknowledged is kept, however Redis ends; start it again behind mend_file().
LASTING = ("--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no")


class Redis:
    """A private redis-server without persistence unless @options say otherwise, on a port and on a unix socket."""

    def __init__(self, directory, *options, program="redis-server"):
        self.program = program
        self.directory = pathlib.Path(directory)
        self.options = options
        self.port = free_port()
        self.socket = str(self.directory / "redis.sock")
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        """Start it, again too: on the same port, with what it wrote to its disk."""
        for _ in range(5):
            argv = [self.program, "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.socket]
            argv += ["--save", "", "--appendonly", "no", "--dir", self.directory, "--daemonize", "no"]
            argv += self.options
            self.process = Process(argv, self.directory, "redis")
            if wait_until(lambda: self._answers() or not self.process.running, "redis-server") and self._answers():
                return
            if "in use" not in self.process.out:
                break
            self.port = free_port()  # somebody was faster
            self.url = f"redis://127.0.0.1:{self.port}"
        raise AssertionError(f"redis-server does not start: {self.process.out}{self.process.err}")

    def _answers(self):
        try:
            with self.client() as client:
                return client("PING") == "PONG"
        except (OSError, EOFError, RedisError):
            return False

    def client(self):
        return RedisClient(self.socket)

    def __call__(self, *args):
        """One command on a connection of its own."""
        with self.client() as client:
            return client(*args)

    def publish(self, topic, data):
        """A raw message, as any Redis client would send it."""
        return self("PUBLISH", f"sse:{topic}", data)

    def subscriptions(self):
        """Number of subscribers by channel."""
        with self.client() as client:
            channels = client("PUBSUB", "CHANNELS", "*")
            counts = client("PUBSUB", "NUMSUB", *channels) if channels else []
        return {c.decode(): n for c, n in itertools.zip_longest(*[iter(counts)] * 2)}

    def pause(self):
        """Stalled: connections stay, nothing is answered."""
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def mend_file(self):
        """As relay/DURABLE.md tells to, once it was killed: of a write that was cut in the middle, Redis alone would keep a
        half, and that would be an event again at its next start. Returns how many files were cut (0 or 1)."""
        manifest = self.directory / "appendonlydir" / "appendonly.aof.manifest"
        fix = subprocess.run(["redis-check-aof", "--fix", manifest], input=b"y", capture_output=True, check=False)
        assert fix.returncode == 0, f"redis-check-aof: {fix.stdout[-500:]}"
        return fix.stdout.count(b"Successfully truncated")

    def stop(self):
        """Down at once, its port refused from here on."""
        if self.process:
            self.process.kill()


class Relay(Process):
    """A relay under test. Listens on a port that the kernel chose unless @listen says otherwise."""

    def __init__(self, directory, name, redis_url, *args, listen="127.0.0.1:0", env=None, fds=None):
        argv = [RELAY]
        argv += ["--listen", listen] if listen else []
        argv += ["--redis", redis_url] if redis_url else []
        super().__init__([*argv, *args], directory, name, env=relay_env(env), fds=fds)
        self.expect_clean = True
        self.addresses = []

    def wait_listening(self, count=1):
        """Until it printed @count addresses; returns itself."""
        wait_until(lambda: len(self._printed()) >= count or not self.running, f"listening of {self.name}")
        assert self.running, f"{self.name} exited with {self.child.returncode}: {self.err}"
        self.addresses = self._printed()
        return self

    def wait_ready(self):
        """Until /readyz says 200; returns itself."""
        self.wait_listening()
        if "--admin-listen" in self.argv:  # health is there alone
            wait_until(lambda: "\nadmin on " in self.out or not self.running, f"the admin listener of {self.name}")
            self.addresses = self._printed()
        answers = lambda: http_raw.fetch(self.health_address, "GET", "/readyz", [], None).status == 200
        wait_until(answers, f"readiness of {self.name}")
        return self

    def _printed(self):
        """The addresses of its lines `listening on ...` and `admin on ...`, as sockets want them."""
        found = []
        for line in re.findall(r"^(?:listening|admin) on (\S+)\n", self.out, re.M):
            if match := re.fullmatch(r"(?:proxy\+)?https?://\[?([^/\]]+)\]?:(\d+)/", line):
                found.append((match[1], int(match[2])))
            else:
                found.append(line.removeprefix("unix:"))
        return found

    @property
    def address(self):
        return self.addresses[0]

    @property
    def health_address(self):
        """Where it says whether it is ready."""
        return self.addresses[-1 if "--admin-listen" in self.argv else 0]

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}"

    def conn(self, **how):
        return Conn(self.address, **how)

    def request(self, method, target, headers=(), body=None, **how):
        return http_raw.fetch(self.address, method, target, headers, body, **how)

    def get(self, target, headers=(), **how):
        return self.request("GET", target, headers, **how)

    def post(self, target, body=b"", headers=(), **how):
        return self.request("POST", target, headers, body, **how)

    def stream(self, target, **how):
        """Subscribe: @target is a topic, or a whole target when it begins with a slash."""
        return Stream(self.address, target if target.startswith("/") else f"/sse?topic={target}", **how)

    def live(self, target, **how):
        """Subscribe, and wait until it is live."""
        return self.stream(target, **how).wait_live()

    def try_live(self, target):
        """Subscribe to a relay that may be full: the stream when it is live, or None when it was turned away."""
        stream = self.stream(target)
        stream.read_until(lambda: stream.ended or stream.named("relay.live"))
        if stream.ended:
            stream.close()
        return None if stream.ended else stream

    def metrics(self):
        return Metrics(self.get("/metrics").body.decode())

    def logs(self):
        """Its log, each line parsed: a line that is not JSON fails."""
        return json_lines(self.err)

    def open_files(self):
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def terminate(self):
        """SIGTERM, and the end that must follow."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def finish(self):
        """Stop it if it still runs, and see that it ended well unless the test has its own opinion."""
        if self.running:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(DEADLINE)
        timed_out = self.running
        self.kill()
        complaints = [line for line in self.err.splitlines() if any(m in line for m in SANITIZER_MARKS)]
        assert not complaints, f"{self.name}: {self.err[-6000:]}"
        if self.expect_clean:
            assert not timed_out, f"{self.name} did not end after SIGTERM: {self.err[-2000:]}"
            assert self.child.returncode == 0, f"{self.name} exited {self.child.returncode}: {self.err[-2000:]}"


class Metrics:
    """Prometheus text as a table: `metrics["name"]` is the sum over all label sets that fit."""

    LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = self.LINE.fullmatch(line)
                assert match, f"not a sample: {line!r}"
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                self.samples.append((match[1], labels, float(match[3])))

    def __getitem__(self, name):
        return self.get(name)

    def get(self, name, **labels):
        fitting = [v for n, have, v in self.samples if n == name and labels.items() <= have.items()]
        assert fitting, f"no sample {name} with {labels}"
        return sum(fitting)


class NodeClient(Process):
    """The npm package `eventsource`, subscribed to @url; `records` is what it has seen so far."""

    def __init__(self, directory, name, url, *event_names):
        script = HERE / "clients" / "eventsource.mjs"
        super().__init__(["node", script, url, *event_names], directory, name)

    @property
    def records(self):
        return json_lines(self.out)

    def wait_for(self, wanted):
        def look():
            assert self.running, f"the Node client ended: {self.err}"
            return next((r for r in self.records if wanted(r)), None)

        return wait_until(look, "what the Node client waits for")

    def wait_type(self, kind):
        return self.wait_for(lambda r: r["type"] == kind)


def relay_env(extra=None):
    """The surroundings of a relay: none of its own options but @extra."""
    # pytest writes the whole name of a test into its variable, and a parameter of a megabyte is part of it.
    foreign = ("REDIS_URL", "PYTEST_CURRENT_TEST")
    env = {k: v for k, v in os.environ.items() if not k.startswith("SSE_RELAY_") and k not in foreign}
    for name, options in SANITIZER_ENV.items():
        env[name] = options + ":" + env[name] if name in env else options
    return env | (extra or {})


def run_relay(*args, env=None):
    """A relay that is expected to end by itself at once."""
    return _run([RELAY, *args], env)


def run_publish(*args, env=None, stdin=b""):
    """sse-publish to its end."""
    return _run([PUBLISH, *args], env, stdin)


def _run(argv, env, stdin=b""):
    done = subprocess.run(
        [str(a) for a in argv], input=stdin, capture_output=True, env=relay_env(env), timeout=DEADLINE, check=False
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    for mark in SANITIZER_MARKS:
        assert mark not in done.stderr, done.stderr
    return done
