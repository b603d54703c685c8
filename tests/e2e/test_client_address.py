"""Whose a request is where a balancer stands before the relay: X-Forwarded-For, Forwarded and the PROXY protocol, from those
who are trusted and from others, over HTTP/1.1, HTTP/2 and TLS; with the real HAProxy, nginx and curl.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest

from harness import Process, free_port, run_relay, wait_until
from http_raw import Closed, Conn
from sse import Stream
from tls_raw import Certificate, context

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "198.51.100.7"
TRUST = ("--trusted-proxies", "loopback", "--log-level", "debug")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def line(source=CLIENT, family="TCP4", destination="192.0.2.1"):
    return f"PROXY {family} {source} {destination} 40000 443\r\n".encode()


def binary(source=CLIENT, command=0x21, extra=b""):
    """Version 2, for an address of either family or for none."""
    if source is None:
        family, block = 0x31, b"/run/client".ljust(108, b"\0") * 2
    else:
        v6 = ":" in source
        packed = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, source)
        family, block = 0x21 if v6 else 0x11, packed * 2 + struct.pack(">HH", 40000, 443)
    rest = block + extra
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


class Proxied(Conn):
    """A connection on which @header goes first, and then TLS where there is a context."""

    def __init__(self, address, header, ctx=None, rcvbuf=None, piece=None):
        super().__init__(address, rcvbuf)
        for at in range(0, len(header), piece or len(header)):
            self.sock.sendall(header[at : at + (piece or len(header))])
            if piece:
                time.sleep(0.001)
        if ctx:
            self.sock = ctx.wrap_socket(self.sock, server_hostname="localhost")


def clients(relay):
    """Whose the requests were, as its log has them, without its own tests' questions."""
    return [entry["client"] for entry in relay.logs() if entry["msg"] == "request" and entry["path"] not in ("/readyz", "/metrics")]


def last_client(relay):
    return clients(relay)[-1]


def ask(conn, target="/", headers=()):
    with conn:
        conn.request("GET", target, headers)
        assert conn.read_answer().status == 200


def refused(relay, reason):
    return relay.metrics().get("sse_relay_proxy_protocol_refused_total", reason=reason)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("certs"), "own", "localhost", "127.0.0.1")


@pytest.fixture
def behind(start_relay, certificate):
    """A relay whose health is on a plain address, with the PROXY protocol on two more, one of them with TLS."""

    def start(*options):
        listen = ["--listen", "proxy+http://127.0.0.1:0", "--listen", "proxy+https://127.0.0.1:0"]
        return start_relay(*listen, *certificate.options, *(options or TRUST)).wait_listening(3).wait_ready()

    def addresses(*options):
        relay = start(*options)
        relay.wait_listening(3)
        return relay, relay.addresses[1], relay.addresses[2]

    return addresses


# ---- header fields ----


def test_forwarded_for_of_a_trusted_proxy(start_relay):
    relay = start_relay(*TRUST).wait_ready()
    ask(relay.conn())
    assert last_client(relay) == "127.0.0.1"
    for value, whose in (
        (CLIENT, CLIENT),
        (f"1.1.1.1, {CLIENT}, 127.0.0.9", CLIENT),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("unknown", "127.0.0.1"),
        ("%20", "127.0.0.1"),
        ('"', "127.0.0.1"),
    ):
        ask(relay.conn(), headers=[("X-Forwarded-For", value)])
        assert last_client(relay) == whose, value
    ask(relay.conn(), headers=[("X-Forwarded-For", "1.1.1.1"), ("Forwarded", f"for={CLIENT}"), ("x-forwarded-for", "2.2.2.2")])
    assert last_client(relay) == "2.2.2.2"


def test_nobody_is_trusted_by_default(start_relay):
    relay = start_relay("--log-level", "debug").wait_ready()
    ask(relay.conn(), headers=[("X-Forwarded-For", CLIENT), ("Forwarded", f"for={CLIENT}")])
    assert last_client(relay) == "127.0.0.1"


def test_the_header_that_is_read_is_chosen(start_relay):
    both = [("X-Forwarded-For", "1.1.1.1"), ("Forwarded", 'for="[2001:db8::7]:1";proto=https, for=127.0.0.9')]
    relay = start_relay(*TRUST, "--client-header", "forwarded").wait_ready()
    ask(relay.conn(), headers=both)
    assert last_client(relay) == "2001:db8::7"
    relay = start_relay(*TRUST, "--client-header", "none").wait_ready()
    ask(relay.conn(), headers=both)
    assert last_client(relay) == "127.0.0.1"


def test_requests_of_one_connection_are_of_many_clients(start_relay):
    """As balancers keep connections: over HTTP/1.1 one behind the other, over HTTP/2 beside one another."""
    relay = start_relay(*TRUST).wait_ready()
    with relay.conn() as conn:
        for n in range(5):
            conn.request("GET", "/", [("X-Forwarded-For", f"198.51.100.{n}")])
            assert conn.read_answer().status == 200
    assert clients(relay)[-5:] == [f"198.51.100.{n}" for n in range(5)]
    argv = ["curl", "-sS", "--http2-prior-knowledge"]
    for n in range(5):
        argv += [*(["--next"] if n else []), "-H", f"X-Forwarded-For: 203.0.113.{n}", "-o", "/dev/null", f"{relay.url}/"]
    subprocess.run(argv, check=True, timeout=60)
    assert clients(relay)[-5:] == [f"203.0.113.{n}" for n in range(5)]


def test_a_unix_socket_may_be_trusted(start_relay, socket_dir):
    relay = start_relay("--trusted-proxies", "unix", "--log-level", "debug", listen=f"unix:{socket_dir}/r.sock").wait_ready()
    ask(relay.conn())
    assert last_client(relay) == "-"
    ask(relay.conn(), headers=[("X-Forwarded-For", CLIENT)])
    assert last_client(relay) == CLIENT


def test_limits_count_whom_the_proxy_names(start_relay, topic):
    """One client beyond its rate costs another behind the same proxy nothing; and by hiding it gets no second one."""
    relay = start_relay(*TRUST, "--allow-anonymous-publish", "--publish-rate", "1", "--publish-burst", "3").wait_ready()

    def publish(forwarded):
        return relay.post(f"/sse?topic={topic}&live", b"x", [("X-Forwarded-For", forwarded)]).status

    assert [publish(CLIENT) for _ in range(8)].count(429) >= 4
    assert publish(f"203.0.113.9, {CLIENT}") == 429, "what it says in front of it does not count"
    assert publish("203.0.113.9") == 200
    assert publish("2001:db8::1") == 200
    assert [publish(f"2001:db8::{n}") for n in range(2, 10)].count(429) >= 4, "one network of IPv6 is one client"


# ---- the PROXY protocol ----


@pytest.mark.parametrize("piece", [None, 1, 5])
def test_both_versions_before_http_and_tls(behind, certificate, piece):
    relay, plain, tls = behind()
    ctx = context(certificate)
    for header, whose in (
        (line(), CLIENT),
        (line("2001:db8::7", "TCP6", "::1"), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (binary(), CLIENT),
        (binary("2001:db8::7"), "2001:db8::7"),
        (binary("::ffff:198.51.100.7"), CLIENT),
        (binary(None), "-"),
        (binary(command=0x20), "127.0.0.1"),
        (binary(extra=b"\x04\x00\x05" + b"\0" * 5), CLIENT),
    ):
        ask(Proxied(plain, header, piece=piece))
        assert last_client(relay) == whose, header
        ask(Proxied(tls, header, ctx, piece=piece))
        assert last_client(relay) == whose, header


def test_what_follows_may_come_in_the_same_packet(behind):
    """A header, a request, and another one, in one write; and 64 KiB of extensions."""
    relay, plain, _ = behind()
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for header in (line(), binary(), binary(extra=b"\x04" + struct.pack(">H", 65000) + b"\0" * 65000)):
        with Proxied(plain, header + request + request) as conn:
            assert conn.read_answer().status == conn.read_answer().status == 200
        assert clients(relay)[-2:] == [CLIENT, CLIENT]


def test_streams_and_http2_behind_it(behind, certificate, redis, topic):
    relay, plain, tls = behind()
    ctx = context(certificate)
    connects = (lambda address, rcvbuf=None: Proxied(plain, binary(), None, rcvbuf), lambda address, rcvbuf=None: Proxied(tls, line(), ctx, rcvbuf))
    for connect in connects:
        with Stream(plain, f"/sse?topic={topic}", connect=connect).wait_live() as stream:
            redis.publish(topic, "through")
            stream.wait_data("through")
        assert last_client(relay) == CLIENT
    for options in (["--http2-prior-knowledge", f"http://localhost:{plain[1]}/"], ["--cacert", str(certificate.cert), f"https://localhost:{tls[1]}/"]):
        argv = ["curl", "-sS", "-4", "--haproxy-protocol", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert done.stdout == "2 200"


def test_a_named_client_that_is_trusted_is_asked_on(behind):
    """A proxy of TCP before one of HTTP: the one names the other, and that one names the client."""
    relay, plain, _ = behind("--trusted-proxies", "loopback, 10.0.0.0/8", "--log-level", "debug")
    ask(Proxied(plain, line("10.1.1.1")), headers=[("X-Forwarded-For", f"1.1.1.1, {CLIENT}")])
    assert last_client(relay) == CLIENT
    ask(Proxied(plain, line()), headers=[("X-Forwarded-For", "1.1.1.1")])
    assert last_client(relay) == CLIENT, "a client does not say who it is"


def closed(conn):
    with contextlib.suppress(OSError):
        return conn.sock.recv(1) == b""
    return True


def test_whoever_is_no_proxy_is_closed(behind, certificate):
    relay, plain, tls = behind("--trusted-proxies", "192.0.2.0/24", "--log-level", "debug")
    for address in (plain, tls):
        with Conn(address) as conn:
            with contextlib.suppress(OSError):
                conn.sock.sendall(line("127.0.0.1") + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert closed(conn)
    assert refused(relay, "untrusted") == 2 and not clients(relay)
    warnings = [entry for entry in relay.logs() if "--trusted-proxies" in entry["msg"]]
    assert 1 <= len(warnings) <= 2 and warnings[0]["from"] == "127.0.0.1" and warnings[0]["level"] == "warn"


BAD = {
    "missing": [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0"],
    "malformed": [
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\nGET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 1.1.1.1\r\n",
        b"PROXY UNKNOWN " + b"x" * 200,
        line("::1"),
        SIGNATURE + b"\x31\x11\x00\x0c" + b"\0" * 12,
        SIGNATURE + b"\x21\x21\x00\x0c" + b"\0" * 12,
    ],
}


@pytest.mark.parametrize("reason", BAD)
def test_a_connection_that_begins_otherwise_is_closed(behind, reason):
    relay, plain, tls = behind()
    for sent in BAD[reason]:
        for address in (plain, tls):
            with Conn(address) as conn:
                conn.sock.sendall(sent)
                assert closed(conn), sent
    assert refused(relay, reason) == 2 * len(BAD[reason]) and not clients(relay)
    told = [entry for entry in relay.logs() if "PROXY protocol" in entry["msg"]]
    assert 1 <= len(told) <= 2, "a line of each worker in ten seconds"


def test_a_header_has_to_arrive(behind):
    relay, plain, tls = behind(*TRUST, "--header-timeout", "300ms")
    for begun in (b"", b"PRO", line()[:-1], binary()[:20], SIGNATURE + b"\x21\x11\xff\xff"):
        for address in (plain, tls):
            with Conn(address) as conn:
                conn.sock.sendall(begun)
                assert closed(conn)
    assert refused(relay, "unfinished") == 10
    with Conn(plain) as conn:
        conn.sock.sendall(line()[:-1])
        conn.sock.shutdown(socket.SHUT_WR)
        assert closed(conn)
    assert refused(relay, "unfinished") == 11
    Conn(plain).close()  # a balancer that looks whether the port is open
    ask(Proxied(plain, line()))
    assert refused(relay, "unfinished") == 11


def test_a_drain_does_not_wait_for_headers(behind):
    relay, plain, _ = behind(*TRUST, "--header-timeout", "1m")
    silent = [Conn(plain) for _ in range(20)]
    wait_until(lambda: relay.metrics()["sse_relay_connections"] >= 21, "the connections")
    assert relay.terminate() == 0
    for conn in silent:
        conn.close()


def test_subscribers_lose_nothing_while_rubbish_comes(behind, redis, topic):
    """100 subscribers through it, and beside them headers that are wrong, cut, slow or missing."""
    relay, plain, tls = behind(*TRUST, "--header-timeout", "500ms")
    connect = lambda address, rcvbuf=None: Proxied(plain, binary(), None, rcvbuf)  # noqa: E731
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(plain, f"/sse?topic={topic}", connect=connect)) for _ in range(100)]
        for stream in streams:
            stream.wait_live()
        bad = [sent for kind in BAD.values() for sent in kind] + [line()[:7], binary()[:17]]
        for round_ in range(20):
            for n, sent in enumerate(bad):
                conn = stack.enter_context(Conn((plain, tls)[n % 2]))
                with contextlib.suppress(OSError):
                    conn.sock.sendall(sent)
            redis.publish(topic, f"event {round_}")
        for stream in streams:
            stream.wait_data("event 19")
            assert [e.data for e in stream.events if e.data.startswith("event ")] == [f"event {n}" for n in range(20)]
    assert refused(relay, "malformed") > 0 and refused(relay, "missing") > 0


def test_health_is_asked_by_it(start_relay):
    listen = f"proxy+http://127.0.0.1:{free_port()}"
    start_relay("--trusted-proxies", "loopback", listen=listen).wait_listening()
    ready = lambda *trust: run_relay("--check-ready", "--listen", listen, *trust)  # noqa: E731
    wait_until(lambda: ready("--trusted-proxies", "loopback").stdout == "ready\n", "readiness")
    other = f"proxy+http://127.0.0.1:{free_port()}"
    start_relay("--trusted-proxies", "192.0.2.1", listen=other).wait_listening()
    said = run_relay("--check-health", "--listen", other, "--trusted-proxies", "192.0.2.1")
    assert said.returncode == 1 and "--admin-listen" in said.stderr


# ---- the real balancers ----


HAPROXY_CONFIG = """
global
    log stdout format raw local0
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
{listens}
"""

HAPROXY_LISTEN = """
listen {name}
    bind 127.0.0.1:{port}
    mode {mode}
    {lines}
    server relay 127.0.0.1:{relay} {options}
"""


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")
def test_haproxy(behind, certificate, tmp_path, redis, topic):
    """Both versions in TCP mode, before plain HTTP and with TLS passed through, with health checks; and its header fields."""
    relay, plain, tls = behind()
    ports = {name: free_port() for name in ("v1", "v2", "tls1", "tls2", "xff", "forwarded")}
    listens = [
        ("v1", "tcp", "", plain, "check inter 100ms send-proxy"),
        ("v2", "tcp", "", plain, "check inter 100ms send-proxy-v2 proxy-v2-options unique-id,crc32c"),
        ("tls1", "tcp", "", tls, "send-proxy"),
        ("tls2", "tcp", "", tls, "check inter 100ms send-proxy-v2"),
        ("xff", "http", "option forwardfor", relay.address, "check inter 100ms"),
        ("forwarded", "http", 'http-request set-header Forwarded "for=%[src];proto=http"', relay.address, ""),
    ]
    config = tmp_path / "haproxy.cfg"
    text = "".join(
        HAPROXY_LISTEN.format(name=name, port=ports[name], mode=mode, lines=lines, relay=to[1], options=options)
        for name, mode, lines, to, options in listens
    )
    config.write_text(HAPROXY_CONFIG.format(listens=text))
    balancer = Process([HAPROXY, "-db", "-f", config], tmp_path, "haproxy")
    try:
        _ask_haproxy(relay, certificate, ports, redis, topic)
    finally:
        balancer.kill()


def _ask_haproxy(relay, certificate, ports, redis, topic):
    def listens(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    wait_until(lambda: all(listens(port) for port in ports.values()), "haproxy")
    for number, (name, port) in enumerate(ports.items()):
        source = f"127.0.0.{20 + number}"
        with Conn(("127.0.0.1", port), source=source) as conn:
            if name.startswith("tls"):
                conn.sock = context(certificate).wrap_socket(conn.sock, server_hostname="localhost")
            conn.request("GET", "/")
            assert conn.read_answer().status == 200
        # Its clients are loopback addresses too, and so trusted: they have to be the last that was named.
        assert last_client(relay) == (source if name != "forwarded" else "127.0.0.1"), name
    with Stream(("127.0.0.1", ports["v2"]), f"/sse?topic={topic}").wait_live() as stream:
        redis.publish(topic, "through haproxy")
        stream.wait_data("through haproxy")
    for kind in ("untrusted", "missing", "malformed", "unfinished"):
        assert refused(relay, kind) == 0, f"its health checks too: {kind}"


NGINX_CONFIG = """
worker_processes 1; pid {dir}/pid; error_log stderr warn; daemon off; {user}
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
    uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{relay}; proxy_http_version 1.1; proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_nginx(start_relay, tmp_path):
    """It writes behind what the client wrote, which then does not count."""
    relay = start_relay("--trusted-proxies", "127.0.0.1", "--log-level", "debug").wait_ready()
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(dir=tmp_path, port=port, relay=relay.address[1], user=user))
    balancer = Process([NGINX, "-e", "stderr", "-c", config], tmp_path, "nginx")
    try:
        def asked(headers):
            with contextlib.suppress(OSError, Closed):
                ask(Conn(("127.0.0.1", port), source="127.0.0.30"), headers=headers)
                return True

        wait_until(lambda: asked([]), "nginx")
        assert last_client(relay) == "127.0.0.30"
        assert asked([("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", '"')])
        assert last_client(relay) == "127.0.0.30"
    finally:
        balancer.signal(15)
        balancer.wait()
