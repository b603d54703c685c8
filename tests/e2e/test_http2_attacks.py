"""Clients that abuse HTTP/2, while 100 well-behaved subscribers on one connection lose nothing: floods of each kind, heads
that do not end, junk behind the preface, windows of one byte."""

import itertools
import os
import random
import socket
import struct
import threading

import pytest

pytest.importorskip("h2", reason="python-h2 is missing: make deps-test installs it")

from crowd import Crowd  # noqa: E402
from harness import wait_until  # noqa: E402
from http2 import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PADDED, PING, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, Client, Raw, frame,
)  # fmt: skip
from http_raw import Conn  # noqa: E402

MANY = 20_000


@pytest.fixture
def relay(start_relay):
    return start_relay("--workers", "1", "--header-timeout", "2s", "--allow-anonymous-publish").wait_ready()


@pytest.fixture
def crowd(relay, redis, topic):
    crowd = Crowd(relay, redis, topic, http1=0, http2=100)
    yield crowd
    crowd.close()


def rapid_reset(raw):
    for n in range(1, 2 * MANY, 2):
        yield raw.head(n, "/sse?topic=reset") + frame(RST_STREAM, 0, n, struct.pack(">I", 8))


def made_you_reset(raw):
    """Streams that the protocol makes the server reset: a name in capitals is malformed."""
    block = raw.head(1)[9:] + b"\0\1A\1b"
    for n in range(1, 2 * MANY, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, n, block)


def continuations(raw):
    yield frame(HEADERS, 0, 1, b"\x82\x86\x84")
    for _ in range(MANY):
        yield frame(CONTINUATION, 0, 1, b"\0\1a\1b")


def pings(raw):
    for _ in range(MANY):
        yield frame(PING, 0, 0, bytes(8))


def settings(raw):
    for n in range(MANY):
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + n % 2))


def empty_data(raw):
    yield raw.head(1, "/sse?topic=empty", "POST", end=False)
    for _ in range(MANY):
        yield frame(DATA, 0, 1)


def padded_data(raw):
    yield raw.head(1, "/sse?topic=empty", "POST", end=False)
    for _ in range(200):
        yield frame(DATA, PADDED, 1, b"\xff" + bytes(255))


def window_updates(raw):
    yield raw.head(1, "/sse?topic=window")
    for _ in range(MANY):
        yield frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))


def priorities(raw):
    for n in range(MANY):
        yield frame(PRIORITY, 0, 1 + 2 * n, struct.pack(">IB", 0, 1))


FLOODS = {
    rapid_reset: "reset",
    made_you_reset: "reset",
    continuations: "continuation",
    pings: "ping",
    settings: "settings",
    empty_data: "empty",
    padded_data: "empty",
    window_updates: "other",
}


@pytest.mark.parametrize("flood", FLOODS, ids=lambda f: f.__name__)
def test_flood(relay, crowd, flood):
    """GOAWAY (ENHANCE_YOUR_CALM), the connection ends, and the metric says what it was."""
    with Raw(relay.address) as raw:
        reader = threading.Thread(target=raw.read_to_end)
        reader.start()
        frames = flood(raw)
        while piece := b"".join(itertools.islice(frames, 500)):
            if raw.closed or not raw.send(piece):
                break
        reader.join()
        assert raw.goaway() == ENHANCE_YOUR_CALM
    assert relay.metrics().get("sse_relay_http2_floods_total", frames=FLOODS[flood]) == 1
    crowd.check()


def test_flood_that_reads_nothing(relay, crowd):
    """One who asks for answers and never reads them costs one buffer: what is asked is not read either, until it is cut."""
    with Raw(relay.address) as raw:
        raw.socket.settimeout(1)
        try:
            for n in range(1, 2 * 400_000, 2):
                raw.socket.sendall(raw.head(n, "/metrics"))
        except OSError:
            pass
        crowd.check()
        assert relay.rss_bytes() < 200 * 1024 * 1024 or "asan" in str(os.environ.get("BUILD", ""))


def test_priorities_cost_nothing(relay, crowd):
    """nghttp2 keeps no tree of them: they are read over, or the client is told to be calm."""
    with Raw(relay.address) as raw:
        for piece in iter(lambda f=priorities(raw): b"".join(itertools.islice(f, 500)), b""):
            if not raw.send(piece):
                break
    crowd.check()


def test_head_that_does_not_end(relay, crowd):
    with Raw(relay.address) as raw:
        raw.send(frame(HEADERS, 0, 1, b"\x82\x86\x84"))
        assert raw.goaway() == ENHANCE_YOUR_CALM
    crowd.check()


def bomb(raw, count):
    """One long field, which the table keeps, and @count bytes that each stand for it."""
    return raw.head(1)[9:] + b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * count


def test_hpack_bomb(relay, crowd):
    """A list of fields beyond what is allowed is 431, and takes no memory."""
    with Raw(relay.address) as raw:
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb(raw, 10)))
        raw.read_until(DATA)
        assert any(kind == DATA and b"larger than 16 KiB" in payload for kind, _, _, payload in raw.frames), raw.frames
    crowd.check()


@pytest.mark.parametrize("trailers", [False, True])
def test_hpack_bomb_that_takes_time(relay, crowd, trailers):
    """Far beyond it, each byte would have 4 KiB looked at: the connection ends."""
    with Raw(relay.address) as raw:
        if trailers:
            raw.send(raw.head(1, "/sse?topic=trailers", "POST", end=False))
            block = bomb(raw, 12000)[len(raw.head(1)[9:]) :]
        else:
            block = bomb(raw, 12000)
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        assert raw.goaway() == ENHANCE_YOUR_CALM
    assert relay.metrics().get("sse_relay_http2_floods_total", frames="continuation") == 1
    crowd.check()


@pytest.mark.parametrize("field", [(b"cookie", b"a=1\0"), (b"origin", b"http://a\r\nb: c"), (b"x\r\ny", b"z"), (b"x", b" y")])
def test_malformed_field(relay, field):
    """It is not left out in silence: the request would be another one than was sent."""
    name, value = field
    with Raw(relay.address) as raw:
        block = raw.head(1)[9:] + b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        raw.read_until(DATA)
        assert any(kind == DATA and b"control character" in payload for kind, _, _, payload in raw.frames), raw.frames


def test_window_of_one_byte(relay, redis, crowd, topic):
    """A stream that opens its window by one byte a time gets its bytes, and holds nobody up."""
    with Client(relay.address, window=0) as client:
        stream = client.request("GET", f"/sse?topic={topic}")
        for n in range(200):
            client.open_window(stream, 1)
            client.read_until(lambda: len(stream.body) == n + 1, f"byte {n}")
    crowd.check()


@pytest.mark.parametrize("seed", range(20))
def test_junk_behind_the_preface(relay, crowd, seed):
    """Random bytes, and random frames: whatever they are, the connection ends and nobody notices."""
    rng = random.Random(seed)
    with Conn(relay.address) as conn:
        junk = rng.randbytes(5000)
        if seed % 2:
            junk = frame(SETTINGS) + b"".join(
                frame(rng.randrange(12), rng.randrange(256), rng.randrange(6), rng.randbytes(rng.randrange(40)))
                for _ in range(200)
            )
        try:
            conn.send(PREFACE + junk)
        except OSError:
            pass
        wait_until(lambda: conn.ended(), "the end of the connection")
    crowd.check()


def test_preface_in_pieces(relay):
    """However the preface is cut it is one; what only begins like it is HTTP/1.1, and is refused as such."""
    with Raw.__new__(Raw) as raw:
        raw.socket, raw.frames, raw.closed, raw._rest = socket.create_connection(relay.address), [], False, b""
        for byte in PREFACE + frame(SETTINGS):
            raw.send(bytes([byte]))
        raw.read_until(SETTINGS)
        assert raw.frames[0][0] == SETTINGS and raw.frames[0][1] & ACK == 0
    with Conn(relay.address) as conn:
        conn.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert conn.read_answer().status == 505
    with Conn(relay.address) as conn:
        conn.send(b"P")
        conn.send(b"OST /sse?topic=a&live HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        assert conn.read_answer("POST").status in (200, 421)
