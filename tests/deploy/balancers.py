"""The balancers of deploy/balancers as processes in front of relays: each runs the very file that is shipped, with other
addresses, ports and certificates. And clients that speak TLS to them.
"""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "browser")]

import harness  # noqa: E402
from checker import Connection, Reader  # noqa: E402
from http_raw import Conn  # noqa: E402
from readers import Marks  # noqa: E402
from sse import Event, Stream  # noqa: E402

RECIPES = ROOT / "deploy" / "balancers"
TOOLS = ROOT / "build" / "tools"
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


class Certificate:
    """A certificate for localhost that is its own authority, and its key, made anew each time."""

    def __init__(self, directory):
        self.cert, self.key, self.pem = (pathlib.Path(directory) / f"tls.{end}" for end in ("crt", "key", "pem"))
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        argv += [*subject, "-keyout", self.key, "-out", self.cert]
        subprocess.run(argv, check=True, capture_output=True)
        self.pem.write_bytes(self.cert.read_bytes() + self.key.read_bytes())


class Names:
    """A name server on loopback that knows the addresses of one name; `addresses` may change while it runs."""

    def __init__(self, addresses):
        self.addresses = addresses
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if query:
                self.sock.sendto(self._answer(query), peer)

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5  # of the question: its name, type and class
        wants_a = query[end - 4 : end - 2] == b"\0\1"
        found = self.addresses if wants_a else []
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        records = (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(a) for a in found)
        return head + query[12:end] + b"".join(records)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes its thread, and says that it was never connected
        self.sock.close()


def replaced(text, *changes):
    """@text with each (old, new); what is not there any more is a mistake of the test."""
    for old, new in changes:
        assert old in text, f"not in the recipe: {old!r}"
        text = text.replace(old, new)
    return text


class Limit:
    """A setting of a recipe that may cut a stream: @line, with {} where its value stands. An @age cuts a stream that
    heartbeats keep busy, too. Some say "never" with 0."""

    def __init__(self, file, line, age=False):
        self.file, self.line, self.age = file, line, age

    def _pattern(self):
        return re.compile(re.escape(self.line).replace(r"\{\}", r"(\d+)(ms|s|m|h)"))

    def seconds(self, text):
        value, unit = self._pattern().search(text).groups()
        return int(value) * SECONDS[unit]

    def shortened(self, text, value):
        changed, count = self._pattern().subn(lambda _: self.line.replace("{}", value), text)
        assert count == 1, f"{self.line} stands {count} times in {self.file}"
        return changed


class Balancer:
    """One of them in front of @relays, addresses with one port in common; their health is asked at @check_port, where it is not
    that. @edit(file, text) may change the recipe."""

    limits = ()

    def __init__(self, directory, certificate, relays, edit=lambda file, text: text, check_port=None):
        self.directory = pathlib.Path(directory) / f"{self.name}{harness.free_port()}"
        self.directory.mkdir()
        self.certificate, self.relays, self.edit, self.check_port = certificate, relays, edit, check_port
        self.port, self.plain_port, self.admin_port = (harness.free_port() for _ in range(3))
        self.origin = f"https://localhost:{self.port}"
        self.process = None
        self.context = ssl.create_default_context(cafile=certificate.cert)
        self.context.set_alpn_protocols(["http/1.1"])

    @classmethod
    def program(cls):
        """The path of its program, or None."""
        return shutil.which(cls.name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin")

    def recipe(self, file, *changes):
        """Write a file of the recipe to our directory, changed; returns its path there."""
        text = replaced(self.edit(file, (RECIPES / self.name / file).read_text()), *changes)
        path = self.directory / file
        path.write_text(text)
        return path

    def env(self):
        return dict(os.environ)

    def start(self):
        """Until it serves through a relay; returns itself."""
        self.process = harness.Process([self.program(), *self.argv()], self.directory, self.name, env=self.env())
        harness.wait_until(lambda: self._serves() or not self.process.running, f"{self.name} that serves")
        assert self.process.running, f"{self.name} ended: {self.process.err[-3000:]}{self.process.out[-1000:]}"
        return self

    def _serves(self):
        try:
            return self.fetch("GET", "/").status == 200
        except (OSError, EOFError, harness.http_raw.Closed):
            return False

    def check(self):
        """Let the program itself look at the recipe; returns (exit code, what it said)."""
        argv = [self.program(), *self.check_argv()]
        done = subprocess.run(argv, env=self.env(), capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def stop(self):
        if self.process:
            self.process.kill()

    # ---- what clients do ----

    def connect(self, _address=None, rcvbuf=None):
        return TlsConn(self, rcvbuf)

    def stream(self, target, **how):
        return Stream(None, target, connect=self.connect, **how)

    def live(self, target, **how):
        return self.stream(target, **how).wait_live()

    def fetch(self, method, target, headers=(), body=None):
        with self.connect() as conn:
            conn.request(method, target, headers, body)
            return conn.read_answer(method)


class TlsConn(Conn):
    """HTTP/1.1 over TLS."""

    def __init__(self, balancer, rcvbuf=None):
        super().__init__(("127.0.0.1", balancer.port), rcvbuf)
        try:
            self.sock = balancer.context.wrap_socket(self.sock, server_hostname="localhost")
        except BaseException:
            self.close()
            raise

    @property
    def host(self):
        return f"localhost:{self.address[1]}"


class HAProxy(Balancer):
    name = "haproxy"
    limits = (Limit("haproxy.cfg", "timeout server  {}"),)

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.names = Names([host for host, _ in self.relays])

    def env(self):
        ports = {"BIND_HTTPS": self.port, "BIND_HTTP": self.plain_port, "BIND_STATS": self.admin_port}
        own = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        own |= {"RELAY_PORT": str(self.relays[0][1]), "RESOLVER": self.names.address}
        own |= {"RELAY_CHECK_PORT": str(self.check_port)} if self.check_port else {}
        return os.environ | own | {"TLS_PEM": str(self.certificate.pem)}

    def argv(self):
        return ["-db", "-f", self.recipe("haproxy.cfg")]

    def check_argv(self):
        return ["-c", "-f", self.recipe("haproxy.cfg")]

    def stop(self):
        super().stop()
        self.names.close()


class Nginx(Balancer):
    name = "nginx"
    limits = (Limit("nginx.conf", "proxy_read_timeout {}"),)

    def argv(self):
        server = "server {}:{} max_fails=1 fail_timeout=2s;"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        scratch = "".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in kinds)
        file = self.recipe(
            "nginx.conf",
            (server.format("relay1", 8080), "".join(server.format(*relay) for relay in self.relays)),
            (server.format("relay2", 8080), ""),
            (server.format("relay3", 8080), ""),
            ("worker_processes auto;", "worker_processes 2;" + (" user root;" if os.geteuid() == 0 else "")),
            ("http {\n", f"http {{\n{scratch}\n"),
            ("listen 443 ", f"listen 127.0.0.1:{self.port} "),
            ("listen 80 ", f"listen 127.0.0.1:{self.plain_port} "),
            ("/etc/nginx/tls.crt", str(self.certificate.cert)),
            ("/etc/nginx/tls.key", str(self.certificate.key)),
        )
        return ["-e", "stderr", "-c", file, "-g", f"daemon off; pid {self.directory}/pid;"]

    def check_argv(self):
        return ["-t", *self.argv()]

    def stop(self):
        """Its master ends its workers."""
        if self.process and self.process.running:
            self.process.signal(signal.SIGTERM)
            self.process.wait()


class Caddy(Balancer):
    name = "caddy"
    limits = (Limit("Caddyfile", "read_timeout {}"),)

    def env(self):
        own = {"BIND": "127.0.0.1", "CADDY_ADMIN": f"127.0.0.1:{self.admin_port}"}
        own |= {"HTTPS_PORT": str(self.port), "HTTP_PORT": str(self.plain_port)}
        own |= {"TLS_CERT": str(self.certificate.cert), "TLS_KEY": str(self.certificate.key)}
        own |= {"RELAYS": " ".join(f"{host}:{port}" for host, port in self.relays)}
        return os.environ | own | {name: str(self.directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}

    def argv(self):
        port = [("health_uri /readyz\n", f"health_uri /readyz\n\t\thealth_port {self.check_port}\n")] if self.check_port else []
        return ["run", "--config", self.recipe("Caddyfile", *port), "--adapter", "caddyfile"]

    def check_argv(self):
        return ["validate", *self.argv()[1:]]


class Traefik(Balancer):
    name = "traefik"
    limits = (Limit("traefik.yml", "writeTimeout: {}", age=True),)

    def argv(self):
        first, *others = (f'- url: "http://{host}:{port}"' for host, port in self.relays)
        self.recipe(
            "dynamic.yml",
            ('- url: "http://relay1:8080"', "\n          ".join([first, *others])),
            ('- url: "http://relay2:8080"', ""),
            ('- url: "http://relay3:8080"', ""),
            ("/etc/traefik/tls.crt", str(self.certificate.cert)),
            ("/etc/traefik/tls.key", str(self.certificate.key)),
            ("path: /readyz\n", "path: /readyz\n" + (f"          port: {self.check_port}\n" if self.check_port else "")),
        )
        file = self.recipe(
            "traefik.yml",
            ('":443"', f'"127.0.0.1:{self.port}"'),
            ('":80"', f'"127.0.0.1:{self.plain_port}"'),
            ("/etc/traefik/dynamic.yml", str(self.directory / "dynamic.yml")),
        )
        return [f"--configFile={file}"]

    check_argv = None  # it has no such thing


class Envoy(Balancer):
    name = "envoy"
    limits = (
        Limit("envoy.yaml", "stream_idle_timeout: {}"),
        Limit("envoy.yaml", "timeout: {}  # of a stream", age=True),
    )

    def argv(self):
        endpoint = "- endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}"
        check = f", health_check_config: {{{{port_value: {self.check_port}}}}}" if self.check_port else ""
        checked = endpoint[:-2] + check + "}}"
        file = self.recipe(
            "envoy.yaml",
            (endpoint.format("relay", 8080), ("\n" + " " * 14).join(checked.format(*relay) for relay in self.relays)),
            ("0.0.0.0", "127.0.0.1"),
            ("port_value: 443}", f"port_value: {self.port}}}"),
            ("port_value: 80}", f"port_value: {self.plain_port}}}"),
            ("port_value: 9901}", f"port_value: {self.admin_port}}}"),
            ("/etc/envoy/tls.crt", str(self.certificate.cert)),
            ("/etc/envoy/tls.key", str(self.certificate.key)),
        )
        return ["-c", file, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]

    def check_argv(self):
        return ["--mode", "validate", *self.argv()]


ALL = [HAProxy, Nginx, Caddy, Traefik, Envoy]


def missing(kind):
    """Why a balancer cannot be run, or None."""
    if kind.program():
        return None
    said = TOOLS / f"{kind.name}.missing"
    return said.read_text().strip() if said.exists() else f"{kind.name} is not installed (see tests/deploy/README.md)"


class H2Readers:
    """Readers that are streams of one HTTP/2 connection. Like those of readers.py, but many."""

    def __init__(self, run, name, topics, balancer, target, count):
        self.run_ = run
        self.memories = [Reader(f"{name}.{i}", topics) for i in range(count)]
        self.marks = [Marks(topics) for _ in range(count)]
        self.others = []  # records that are no event of a reader
        argv = ["node", HERE / "h2.mjs", balancer.origin, target, count]
        env = os.environ | {"NODE_EXTRA_CA_CERTS": str(balancer.certificate.cert)}
        self.process = harness.Process(argv, balancer.directory, name, env=env)
        self.file, self.offset = balancer.directory / f"{name}.out", 0

    def start(self):
        """It was started when it was made."""

    def poll(self):
        """Take what it has printed since the last time."""
        with open(self.file, "rb") as out:
            out.seek(self.offset)
            lines, _, _ = out.read().rpartition(b"\n")
        self.offset += len(lines) + 1 if lines else 0
        for line in lines.split(b"\n") if lines else ():
            self._take(json.loads(line))

    def _take(self, record):
        if record["type"] in ("session", "error"):
            self.others.append(record)
            return
        connections = self.memories[record["reader"]].connections
        if record["type"] == "connect":
            assert record["coding"] is None, record
            connections.append(Connection(record["at"], "h2", record["cursor"]))
        elif record["type"] == "end":
            if connections:
                connections[-1].end = "ended"
        else:
            seen = connections[-1].take(record["at"], Event(record["type"], record["data"], record["id"]))
            self.marks[record["reader"]].look(seen)

    def wait(self, probe, what):
        def attempt():
            self.poll()
            return probe()

        harness.wait_until(attempt, what)

    def live(self):
        """How many of them had `relay.live` on their last connection."""
        last = (m.connections[-1] for m in self.memories if m.connections)
        return sum(any(s.kind == "live" for s in c.seen) and c.end is None for c in last)

    def reached(self):
        return all(marks.all() for marks in self.marks)

    def finish(self):
        self.process.kill()
        self.poll()


@functools.cache
def default_heartbeat():
    """In seconds, as the reference of options says."""
    options = (ROOT / "relay/config/OPTIONS.md").read_text()
    value, unit = re.search(r"\| `--heartbeat TIME` \| `(\d+)(ms|s|m|h)` \|", options).groups()
    return int(value) * SECONDS[unit]


class Relays:
    """Relays that share a port on loopback addresses of their own, as those of a DNS name do."""

    def __init__(self, directory, redis_url, *options):
        self.directory, self.redis_url, self.options = pathlib.Path(directory), redis_url, options
        self.port, self.started, self.running = harness.free_port(), 0, []

    def start(self, number=None, redis_url=None, options=()):
        """One more, or one in the place of the one with this number; returns it, ready."""
        number = len(self.running) if number is None else number
        self.started += 1
        relay = harness.Relay(
            self.directory, f"relay{number}.{self.started}.{self.port}", redis_url or self.redis_url, *self.options, *options,
            listen=f"127.0.0.{number + 1}:{self.port}",
        )  # fmt: skip
        self.running[number : number + 1] = [relay]
        return relay.wait_ready()

    @property
    def addresses(self):
        return [relay.address for relay in self.running]

    def subscribers(self):
        return [int(relay.metrics()["sse_relay_subscribers"]) for relay in self.running]

    def finish(self):
        for relay in self.running:
            relay.kill()
