"""The servers that the benchmark measures, each started afresh on a port of its own and alone.

A server knows how it is started, how subscribers and publishers reach it, and which of its processes count.
`redis` stands beside `server` in what is measured: what a server makes Redis do is not free either, but it is
shared by all nodes, so the two are never added up.
"""

import ctypes
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/libexec/nginx")
PR_SET_PDEATHSIG = 1
STREAMS = 100  # of HTTP/2 on each connection: what browsers open, about
H2 = ("--streams", str(STREAMS))


class Unavailable(Exception):
    """The server cannot be measured here; the text says why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def children_of(parent):
    pids = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == parent:
            pids.append(int(stat.parent.name))
    return pids


def child_set_up():
    """In the child: all descriptors it may have, and an end that comes with ours."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One program that listens on a port; its output goes to a file that failures quote."""

    def __init__(self, directory, name, port, *command):
        self.log = pathlib.Path(directory, name + ".log")
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          cwd=directory, preexec_fn=child_set_up)
        deadline = time.monotonic() + 10
        while not accepts(port):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Unavailable(f"{name} does not start: {' '.join(last) or 'it says nothing'}")
            time.sleep(0.02)

    def pids(self):
        return [self.popen.pid] + children_of(self.popen.pid)

    def stop(self):
        """A polite signal, a second one for those who drain on the first, and no third."""
        for wait in (0.2, 5):
            if self.popen.poll() is None:
                self.popen.terminate()
            try:
                self.popen.wait(wait)
                return
            except subprocess.TimeoutExpired:
                pass
        self.popen.kill()
        self.popen.wait()


class Server:
    """A running server. `with Floor(build) as s:` gives the load generator's options in s.options()."""

    name = ""
    redis = False  # started with a redis-server of its own
    # Options of the load generator: how to subscribe and publish, and what to add when saturating.
    load_options = ()
    saturate_options = ("--outstanding", "1")
    measures = ("load", "step", "saturate", "idle", "connect")
    # Of an idle measurement: connect a few first, so that what a process needs for the first ones is not counted.
    warm = False
    settle_seconds = 0  # after the start, before anybody connects

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()

    def command(self):
        """The command line; directory, port and redis_port are known by then."""
        raise NotImplementedError

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sse-bench-")
        self.processes = {}
        try:
            if self.redis:
                self.redis_port = free_port()
                self.processes["redis"] = start_redis(self.directory, self.redis_port)
            self.port = free_port()
            command = self.command()
            self.processes["server"] = Process(self.directory, self.name, self.port, *command)
            time.sleep(self.settle_seconds)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(list(self.processes.values())):
            process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def options(self, mode):
        """The load generator's options for this server."""
        options = ["--target", f"127.0.0.1:{self.port}", *self.load_options]
        if mode == "saturate":
            options += self.saturate_options
        for group, process in self.processes.items():
            for pid in process.pids():
                options += ["--pid", f"{group}:{pid}"]
        return options


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


def start_redis(directory, port):
    return Process(directory, "redis-server", port, program("redis-server"), "--bind", "127.0.0.1",
                   "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(directory),
                   "--client-output-buffer-limit", "pubsub 0 0 0")


def certificate(directory):
    """[certificate, key], made as `make run TLS=1` makes them."""
    if shutil.which("openssl") is None:
        raise Unavailable("openssl is not installed")
    subprocess.run(["sh", str(ROOT / "deploy/compose/certificate.sh"), str(directory)], check=True, capture_output=True)
    return [str(pathlib.Path(directory, "localhost.pem"))] * 2  # one file holds both


class Floor(Server):
    name = "floor"

    def command(self):
        return [str(self.build / "tests/bench/floor"), f"127.0.0.1:{self.port}"]


class FloorTls(Floor):
    """SSL_write(3) in the place of send(2). Published to without TLS, as all servers are."""

    name = "floor-tls"
    load_options = ("--tls",)
    measures = ("load", "step", "idle", "connect", "resume")
    warm = True

    def command(self):
        self.publish_port = free_port()
        floor = str(self.build / "tests/bench/floor")
        return [floor, f"127.0.0.1:{self.publish_port}", "--tls", f"127.0.0.1:{self.port}", *certificate(self.directory)]

    def options(self, mode):
        return [*super().options(mode), "--publish-at", f"127.0.0.1:{self.publish_port}"]


NCHAN_CONFIG = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  nchan_shared_memory_size 256M;
  nchan_message_buffer_length 1000;
  {upstream}
  server {{
    listen 127.0.0.1:{port} backlog=4096{listen_options};
    {more}
    location = /sub {{ nchan_subscriber eventsource; nchan_channel_id bench; {redis_pass} }}
    location = /pub {{ nchan_publisher http; nchan_channel_id bench; {redis_pass} }}
  }}
}}
"""


class Nchan(Server):
    """Nchan in one nginx worker, its messages in shared memory."""

    name = "nchan"
    load_options = ("--subscribe", "/sub", "--publish-http", "/pub")
    listen_options = ""

    def more_config(self):
        """Further lines of the server."""
        return ""

    def command(self):
        nginx = program("nginx")
        modules = [pathlib.Path(d, "ngx_nchan_module.so") for d in NGINX_MODULES]
        module = next((m for m in modules if m.exists()), None)
        if module is None:
            raise Unavailable("nginx has no module nchan (Debian: libnginx-mod-nchan)")
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        upstream = redis_pass = ""
        if self.redis:
            upstream = f"upstream redis {{ nchan_redis_server redis://127.0.0.1:{self.redis_port}; }}"
            redis_pass = "nchan_redis_pass redis;"
        config = pathlib.Path(self.directory, "nginx.conf")
        config.write_text(NCHAN_CONFIG.format(
            module=module, descriptors=descriptors, connections=min(descriptors - 200, 100000),
            directory=self.directory, port=self.port, upstream=upstream, redis_pass=redis_pass,
            listen_options=self.listen_options, more=self.more_config(),
            user="user root;" if os.geteuid() == 0 else ""))
        return [nginx, "-p", self.directory, "-c", str(config)]


class NchanRedis(Nchan):
    """Nchan whose messages go through Redis, as several nodes would need it."""

    name = "nchan-redis"
    redis = True


class NchanTls(NchanRedis):
    """The same by TLS; published to without."""

    name = "nchan-tls"
    load_options = (*Nchan.load_options, "--tls")
    listen_options = " ssl"
    measures = ("load", "step", "idle", "connect", "resume")
    warm = True

    def more_config(self):
        cert, key = certificate(self.directory)
        self.publish_port = free_port()
        return (f"listen 127.0.0.1:{self.publish_port}; ssl_certificate {cert}; ssl_certificate_key {key};"
                " ssl_protocols TLSv1.2 TLSv1.3;")  # nginx before 1.23.4 has to be told of the latter

    def options(self, mode):
        return [*super().options(mode), "--publish-at", f"127.0.0.1:{self.publish_port}"]


class NchanH2(NchanTls):
    """Nchan's EventSource over HTTP/2, STREAMS of them on each connection. Of those that come before Nchan has
    its connection to Redis, some are never answered."""

    name = "nchan-h2"
    load_options = (*NchanTls.load_options, *H2)
    listen_options = " ssl http2"
    settle_seconds = 1
    measures = ("load", "step", "idle")


class Relay(Server):
    """The relay, published to through Redis as any Redis client does it."""

    name = "relay"
    redis = True
    load_options = ("--ready-event", "relay.live")
    saturate_options = ("--outstanding", "64")
    published_by_redis = True
    scheme = ""
    program = "sse-relay"  # below the build directory, or an absolute path
    more_options = ("--allow-anonymous-publish",)

    def command(self):
        relay = self.build / self.program
        if not relay.exists():
            raise Unavailable(f"{relay} is not built")
        return [str(relay), "--listen", f"{self.scheme}127.0.0.1:{self.port}", "--redis",
                f"redis://127.0.0.1:{self.redis_port}", "--workers", "1", *self.more_options]

    def options(self, mode):
        options = super().options(mode)
        if self.published_by_redis:
            options += ["--publish-redis", f"127.0.0.1:{self.redis_port}"]
        return options


class RelayPost(Relay):
    """The same relay, published to by POST: from there through Redis and back."""

    name = "relay-post"
    saturate_options = Server.saturate_options
    published_by_redis = False
    measures = ("load", "step", "saturate")


class RelayBefore(Relay):
    """Another build of the relay, such as one of an earlier commit; --before says where it is."""

    name = "relay-before"
    more_options = ()


class RelayTls(Relay):
    name = "relay-tls"
    scheme = "https://"
    load_options = (*Relay.load_options, "--tls")
    measures = ("load", "step", "idle", "connect", "resume")
    warm = True

    def command(self):
        cert, key = certificate(self.directory)
        return [*super().command(), "--tls-cert", cert, "--tls-key", key]


class RelayH2(RelayTls):
    name = "relay-h2"
    load_options = (*RelayTls.load_options, *H2)
    measures = ("load", "step", "idle")


class RelayH2c(Relay):
    """HTTP/2 in cleartext, as a balancer speaks it."""

    name = "relay-h2c"
    load_options = (*Relay.load_options, *H2)
    measures = ("load", "step", "idle")
    warm = True


PLAIN = (Floor, Nchan, NchanRedis, Relay, RelayPost)
TLS = (FloorTls, NchanTls, NchanH2, RelayTls, RelayH2, RelayH2c)
