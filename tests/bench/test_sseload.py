"""The load generator against a server that is faulty on purpose: what it claims to see, it must see.

The server here forwards published events to its subscribers through a hook that may drop, repeat, reorder or
damage them, and through a writer that cuts and wraps the bytes in every way that HTTP and SSE permit. The
counts that the generator reports are then known exactly.
"""

import contextlib
import json
import os
import pathlib
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest
import servers

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD", HERE.parent.parent / "build")).resolve()
SSELOAD = BUILD / "tests/bench/sseload"
SUBSCRIBERS = 3
EVENTS = 40  # published after the warm-up of as many
RATE = 400  # events a second
CLEAN = {"lost": 0, "duplicates": 0, "late": 0, "damaged": 0, "resets": 0, "refused": 0, "broken": 0,
         "publish_refused": 0, "unanswered": 0, "warmup_lost": 0}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def whole(data):
    return [data]


def bytewise(data):
    return [data[i:i + 1] for i in range(len(data))]


def uneven(data):
    """Pieces of 1, 2, 3, … bytes, so that every cut occurs."""
    pieces, size = [], 1
    while data:
        pieces.append(data[:size])
        data, size = data[size:], size % 50 + 1
    return pieces


class Wire:
    """How the stream is written: cut into pieces, each a chunk or not, with LF or CRLF, with noise between."""

    def __init__(self, cut=whole, chunked=False, end=b"\n", noise=b"", chunk_extension=b"", separate_sends=False):
        self.cut, self.chunked, self.end, self.noise = cut, chunked, end, noise
        self.chunk_extension, self.separate_sends = chunk_extension, separate_sends

    def head(self):
        coding = b"Transfer-Encoding: chunked\r\n" if self.chunked else b""
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + coding + b"\r\n"

    def write(self, connection, text):
        data = text.replace(b"\n", self.end)
        pieces = self.cut(data)
        if self.chunked:
            pieces = [b"%X%s\r\n%s\r\n" % (len(p), self.chunk_extension, p) for p in pieces]
        for piece in pieces if self.separate_sends else [b"".join(pieces)]:
            connection.sendall(piece)


class H2Stream:
    """A stream that the wire writes to as to a socket: each piece is a DATA frame."""

    def __init__(self, session, connection, number):
        self.session, self.connection, self.number = session, connection, number

    def flush(self):
        self.connection.sendall(self.session.data_to_send())

    def setsockopt(self, *_):
        pass

    def sendall(self, data):
        left = memoryview(data)
        while left:
            size = min(len(left), self.session.max_outbound_frame_size)
            self.session.send_data(self.number, left[:size].tobytes())
            left = left[size:]
        self.flush()

    def shutdown(self, _):
        self.session.end_stream(self.number)
        self.flush()


class H2Session:
    """The server's side of a connection that began with HTTP/2's preface."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.session.initiate_connection()

    def take(self, data):
        for event in self.session.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                assert dict(event.headers)["accept"] == "text/event-stream"
                self.session.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/event-stream")])
                self.server.subscribe(H2Stream(self.session, self.connection, event.stream_id))
        self.connection.sendall(self.session.data_to_send())


class FaultyServer(threading.Thread):
    """Serves until closed. `fault(number, event)` returns the events to send instead of that one. With `tls`, a
    context, there is a second port that speaks it; HTTP/2 is spoken to whoever begins it."""

    def __init__(self, wire=None, fault=None, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                 hang_up_at=None, stall=None, tls=None):
        super().__init__(daemon=True)
        self.wire = wire or Wire()
        self.fault = fault or (lambda number, event: [event])
        self.answer, self.hang_up_at, self.stall = answer, hang_up_at, stall
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.tls, self.secure = tls, socket.create_server(("127.0.0.1", 0), backlog=64)
        self.tls_port = self.secure.getsockname()[1]
        self.subscribers, self.inputs, self.number, self.sessions = [], {}, 0, {}
        self.stopping, self.wake = socket.socketpair()

    def run(self):
        while True:
            readable = select.select([self.listener, self.secure, self.stopping, *self.inputs], [], [])[0]
            if self.stopping in readable:
                return
            for connection in readable:
                if connection is self.listener:
                    self.inputs[self.listener.accept()[0]] = b""
                elif connection is self.secure:
                    with contextlib.suppress(ConnectionError, ssl.SSLError):  # at the end of a run, some are about to be made
                        self.inputs[self.tls.wrap_socket(self.secure.accept()[0], server_side=True)] = b""
                else:
                    self.serve(connection)

    def close(self):
        self.wake.send(b"x")
        self.join(10)
        for connection in [self.listener, self.secure, self.stopping, self.wake, *self.inputs]:
            connection.close()

    def serve(self, connection):
        with contextlib.suppress(ConnectionError):
            data = connection.recv(65536)
            if connection in self.sessions or data.startswith(PREFACE):
                self.sessions.setdefault(connection, H2Session(self, connection)).take(data)
                if data:
                    return
            self.inputs[connection] += data
            if data:
                while self.one_request(connection):
                    pass
                return
        del self.inputs[connection]
        if connection in self.subscribers:
            self.subscribers.remove(connection)
        connection.close()

    def one_request(self, connection):
        data = self.inputs[connection]
        get = re.match(rb"GET .*?\r\n\r\n", data, re.S)
        post = re.match(rb"POST .*?Content-Length: (\d+)\r\n\r\n", data, re.S)
        publish = re.match(rb"\*3\r\n\$7\r\nPUBLISH\r\n\$5\r\nbench\r\n\$(\d+)\r\n", data)
        if get:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(self.wire.head())
            self.subscribe(connection)
            self.inputs[connection] = b""
            return False
        match = post or publish
        if not match or len(data) < match.end() + int(match[1]):
            return False
        end = match.end() + int(match[1])
        self.inputs[connection] = data[end:].removeprefix(b"\r\n") if publish else data[end:]
        self.forward(data[match.end():end])
        connection.sendall(b":3\r\n" if publish else self.answer)
        return bool(self.inputs[connection])

    def subscribe(self, subscriber):
        self.wire.write(subscriber, b": welcome\n\nevent: relay.live\ndata: {}\n\n")
        self.subscribers.append(subscriber)

    def forward(self, body):
        number = self.number
        self.number += 1
        if self.stall and number == self.stall[0]:
            time.sleep(self.stall[1])
        for event in self.fault(number, b"data: " + body + b"\n\n"):
            for subscriber in self.subscribers:
                self.wire.write(subscriber, self.wire.noise + event)
        if number == self.hang_up_at:
            self.subscribers.pop().shutdown(socket.SHUT_RDWR)


def sseload(*options, check=True):
    command = [str(SSELOAD), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if check:
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return done


def load(mode="load", options=(), **faults):
    """Publish EVENTS events, after as many for warming up, through a server with the given faults."""
    server = FaultyServer(**faults)
    server.start()
    try:
        at = f"127.0.0.1:{server.port}"
        target = ("--target", f"127.0.0.1:{server.tls_port}", "--tls", "--publish-at", at) if server.tls else ("--target", at)
        result = sseload(mode, *target, "--subscribers", SUBSCRIBERS,
                         "--rate", RATE, "--seconds", EVENTS / RATE, "--warmup", EVENTS / RATE,
                         "--grace", 0.5, *options)
        return result | {"sessions": len(server.sessions)}
    finally:
        server.close()


def expect(result, deliveries=EVENTS * SUBSCRIBERS, **differences):
    assert {key: result[key] for key in CLEAN} == {**CLEAN, **differences}
    assert result["deliveries"] == deliveries


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's context, with a certificate as the benchmark's servers have it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*servers.certificate(tmp_path_factory.mktemp("tls")))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


# How the three subscribers reach the server, by the number of connections that speak HTTP/2.
WAYS = {1: ("--streams", 3), 2: ("--streams", 2), 3: ("--streams", 1), 0: ()}


WIRES = {
    "plain": Wire(),
    "chunks": Wire(chunked=True),
    "crlf": Wire(end=b"\r\n"),
    "byte by byte": Wire(cut=bytewise, separate_sends=True),
    "chunks of a byte": Wire(cut=bytewise, chunked=True),
    "chunks of a byte, sent alone": Wire(cut=bytewise, chunked=True, separate_sends=True),
    "uneven chunks with extensions, crlf": Wire(cut=uneven, chunked=True, end=b"\r\n", chunk_extension=b";x=1"),
    "uneven, sent alone": Wire(cut=uneven, separate_sends=True),
    "noise between": Wire(noise=b": beat\n\nid: 7\nretry: 5000\n\nevent: relay.ping\ndata: 1\n\n"),
}


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
def test_clean_whatever_the_bytes_look_like(wire):
    result = load(wire=wire)
    assert result["events"] == EVENTS
    expect(result)


@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: f"h2-{way[1]}" if way else "h1")
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("wire", [Wire(), WIRES["uneven, sent alone"], WIRES["noise between"]], ids=["whole", "uneven", "noise"])
def test_clean_whatever_carries_it(tls, way, secure, wire):
    result = load(options=(*way, "--ready-event", "relay.live"), wire=wire, tls=tls if secure else None)
    expect(result)
    assert WAYS[result["sessions"]] == way
    assert result["tls"].split(" ")[-1] == ("" if not secure else "h2" if way else "http/1.1")


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: f"h2-{way[1]}" if way else "h1")
def test_faults_are_counted_whatever_carries_them(tls, way, secure):
    lost, twice = EVENTS + 3, EVENTS + 7
    result = load(options=way, fault=lambda n, event: [] if n == lost else [event] * (1 + (n == twice)), tls=tls if secure else None)
    expect(result, deliveries=(EVENTS - 1) * SUBSCRIBERS, lost=SUBSCRIBERS, duplicates=SUBSCRIBERS)


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: f"h2-{way[1]}" if way else "h1")
def test_a_stream_that_ends_is_counted(tls, way, secure):
    result = load(options=way, hang_up_at=EVENTS + 9, tls=tls if secure else None)
    expect(result, deliveries=EVENTS * SUBSCRIBERS - (EVENTS - 10), lost=EVENTS - 10, broken=1)


@pytest.mark.parametrize("resume", [(), ("--resume",)], ids=["full", "resumed"])
def test_handshakes(tls, resume):
    server = FaultyServer(tls=tls)
    server.start()
    try:
        result = sseload("connect", "--target", f"127.0.0.1:{server.tls_port}", "--tls", "--subscribers", 2, "--seconds", 0.3,
                         "--warmup", 0.2, *resume)
    finally:
        server.close()
    assert result["connections"] > 2 and result["refused"] == result["broken"] == 0
    assert result["resumed"] >= result["connections"] if resume else result["resumed"] == 0


def test_ready_event_is_awaited():
    expect(load(options=("--ready-event", "relay.live"), wire=Wire(cut=bytewise, chunked=True)))


@pytest.mark.parametrize("size", [40, 66, 67, 1000, 65536])
def test_sizes(size):
    expect(load(options=("--size", size), wire=Wire(chunked=True)))


def test_loss_is_counted():
    lost = {EVENTS + 3, EVENTS + 4, EVENTS + 20, 2 * EVENTS - 1}  # a pair, one alone, and the last one
    result = load(fault=lambda n, event: [] if n in lost else [event])
    expect(result, deliveries=(EVENTS - 4) * SUBSCRIBERS, lost=4 * SUBSCRIBERS)


def test_loss_of_everything_is_counted():
    result = load(fault=lambda n, event: [] if n >= EVENTS else [event])
    expect(result, deliveries=0, lost=EVENTS * SUBSCRIBERS)


def test_loss_in_the_warm_up_is_told_apart():
    result = load(fault=lambda n, event: [] if n == 3 else [event])
    expect(result, warmup_lost=SUBSCRIBERS)


def test_duplicates_are_counted():
    result = load(fault=lambda n, event: [event] * 3 if n == EVENTS + 7 else [event])
    expect(result, duplicates=2 * SUBSCRIBERS)


def test_old_duplicates_are_counted():
    kept = []

    def repeat_the_first(n, event):
        kept.append(event)
        return [event, kept[EVENTS]] if n == 2 * EVENTS - 1 else [event]

    expect(load(fault=repeat_the_first), duplicates=SUBSCRIBERS)


def test_disorder_is_counted_and_is_no_loss():
    held = []

    def swap(n, event):
        if n == EVENTS + 10:
            held.append(event)
            return []
        return [event, held.pop()] if held else [event]

    expect(load(fault=swap), late=SUBSCRIBERS)


@pytest.mark.parametrize("damage", [
    lambda event: event[:-3] + b"\n\n",
    lambda event: event[:-3] + b"#\n\n",
    lambda event: event[:-2] + b"\ndata: more\n\n",
    lambda event: b"data: -" + event[7:],
    lambda event: b"data\n\n".replace(b"data", b"data: "),
])
def test_damage_is_counted(damage):
    result = load(fault=lambda n, event: [damage(event)] if n == EVENTS + 5 else [event])
    expect(result, deliveries=(EVENTS - 1) * SUBSCRIBERS, lost=SUBSCRIBERS, damaged=SUBSCRIBERS)


def test_resets_are_counted():
    reset = b"event: relay.reset\ndata: {\"reason\":\"live\"}\n\n"
    expect(load(fault=lambda n, event: [reset, event] if n == EVENTS + 5 else [event]), resets=SUBSCRIBERS)


def test_broken_connections_are_counted():
    result = load(hang_up_at=EVENTS + 9)
    expect(result, deliveries=EVENTS * SUBSCRIBERS - (EVENTS - 10), lost=EVENTS - 10, broken=1)


def test_refused_publishes_are_counted():
    result = load(answer=b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    expect(result, publish_refused=2 * EVENTS)


def test_publishes_to_redis():
    server = FaultyServer()
    server.start()
    try:
        address = f"127.0.0.1:{server.port}"
        result = sseload("load", "--target", address, "--publish-redis", address, "--channel", "bench",
                         "--subscribers", SUBSCRIBERS, "--rate", RATE, "--seconds", EVENTS / RATE,
                         "--warmup", EVENTS / RATE)
    finally:
        server.close()
    expect(result)


def test_a_stall_shows_in_every_event_that_was_due():
    """The server rests for as long as the measured part lasts. A generator that waited for it would have
    one slow event; an open loop has half of them late by more than half of the rest."""
    rest = EVENTS / RATE
    result = load(stall=(EVENTS, rest))
    expect(result)
    latency = result["latency_us"]
    assert latency["p50"] >= rest / 2 * 0.9e6
    assert latency["max"] >= rest * 1e6
    assert latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]


def test_saturate_delivers_everything_it_sent():
    result = load(mode="saturate", options=("--outstanding", 4, "--backlog", 8))
    assert result["events"] > 0
    expect(result, deliveries=result["events"] * SUBSCRIBERS)


def test_no_server_is_an_error_and_not_a_figure():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    done = sseload("load", "--target", address, check=False)
    assert done.returncode == 1 and "does not connect" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("options", [
    (), ("load",), ("nonsense", "--target", "127.0.0.1:1"), ("load", "--target", "nowhere"),
    ("load", "--target", "127.0.0.1:1", "--size", "39"), ("load", "--target", "127.0.0.1:1", "--unknown", "1"),
    ("load", "--target", "127.0.0.1:1", "--pid", "server:0"), ("load", "--target", "127.0.0.1:1", "--streams", "0"),
    ("load", "--target", "127.0.0.1:1", "--publish-at", "nowhere"), ("connect", "--target", "127.0.0.1:1", "--streams", "2"),
])
def test_bad_options_are_refused(options):
    assert sseload(*options, check=False).returncode != 0


@pytest.fixture(params=["plain", "tls"])
def floor(request, tmp_path):
    """Options that reach a floor; by TLS, it has a port for that beside the one that is published to."""
    address = f"127.0.0.1:{servers.free_port()}"
    secure, options = [], ("--target", address)
    if request.param == "tls":
        target = f"127.0.0.1:{servers.free_port()}"
        secure = ["--tls", target, *servers.certificate(tmp_path)]
        options = ("--target", target, "--tls", "--publish-at", address)
    process = subprocess.Popen([str(BUILD / "tests/bench/floor"), address, *secure])
    try:
        for _ in range(500):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(address.split(":")).close()
                break
            time.sleep(0.02)
        yield (*options, "--pid", f"server:{process.pid}", "--seconds", "0.3", "--warmup", "0.1")
    finally:
        process.terminate()
        process.wait(10)


def test_floor_under_load(floor):
    result = sseload("load", *floor, "--subscribers", 300, "--rate", 50, "--threads", 2)
    expect(result, deliveries=result["events"] * 300)
    assert result["usage"]["server"]["cpu_ns"] > 0
    assert result["usage"]["server"]["memory_after"] > 0


def test_floor_idle_and_connecting(floor):
    idle = sseload("idle", *floor, "--subscribers", 200)
    expect(idle, deliveries=0)
    connect = sseload("connect", *floor, "--subscribers", 8)
    assert connect["connections"] > 8 and connect["refused"] == connect["broken"] == 0


def test_run_writes_what_it_prints(tmp_path):
    output = tmp_path / "bench.json"
    done = subprocess.run([sys.executable, str(HERE / "run.py"), "--build", str(BUILD), "--servers", "floor",
                           "--measures", "load-100,connect", "--seconds", "0.3", "--repeat", "2",
                           "--output", str(output)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert [c["measure"] for c in result["cells"]] == 2 * ["load-100", "connect-64"]
    row = next(r for r in result["table"] if r.get("measure") == "load-100")
    assert row["values"]["floor"] > 0 and f"{row['values']['floor']:.2f}" in done.stdout
    assert "every event arrived once" in done.stdout
