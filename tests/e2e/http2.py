"""A client of HTTP/2 on python-h2: many streams on one connection, read when a test waits, and frames of any kind by hand."""

import select
import socket
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.settings

from settings import DEADLINE
from sse import Parser

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PROTOCOL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 1, 7, 11


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Stream:
    """What came of one stream: its head, the bytes of its body, and these as events."""

    def __init__(self, number):
        self.number, self.head, self.body, self.parser = number, {}, bytearray(), Parser()
        self.status = self.reset = None
        self.ended = False

    @property
    def events(self):
        return self.parser.events

    def data(self):
        """The data of all messages so far."""
        return [event.data for event in self.parser.events if event.name == "message"]


class Client:
    """One connection. @window: what a stream may send before it is asked for more; None: no bound that matters."""

    def __init__(self, address, window=None, source=None):
        self.socket = socket.create_connection(address, timeout=DEADLINE, source_address=source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams, self.goaways, self.closed, self.pongs = {}, [], False, 0
        self._rest = b""
        self.authority = "%s:%d" % address[:2]
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30 if window is None else window})
        self.h2.increment_flow_control_window(2**30)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, method, path, headers=(), body=None, end=True):
        """Begin a stream; returns it at once."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream(number)
        fields = [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", path), *headers]
        self.h2.send_headers(number, fields, end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(number, body, end_stream=end)
        self.flush()
        return self.streams[number]

    def read(self, until):
        """What has come, or one more piece of it."""
        ready, _, _ = select.select([self.socket], [], [], max(0, until - time.monotonic()))
        if not ready:
            raise TimeoutError
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3], "big")):
            for event in self.h2.receive_data(self._rest[:size]):
                self.take(event)
            self._rest = self._rest[size:]
            # python-h2 takes a GOAWAY for the end of everything, and not of new streams alone (RFC 9113, section 6.8).
            if self.goaways:
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        if not self.goaways:
            self.flush()

    def read_to_end(self):
        while not self.closed:
            self.read(time.monotonic() + DEADLINE)

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.head = dict(event.headers)
            stream.status = int(stream.head[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            stream.parser.feed(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def read_until(self, happened, what="it"):
        until = time.monotonic() + DEADLINE
        while not happened():
            assert not self.closed, f"the connection ended before {what}; GOAWAY: {self.goaways}"
            try:
                self.read(until)
            except TimeoutError:
                raise AssertionError(f"{what} did not happen") from None

    def answer(self, method, path, headers=(), body=None):
        """A request and its whole answer."""
        stream = self.request(method, path, headers, body)
        self.read_until(lambda: stream.ended or stream.reset is not None, f"the answer to {method} {path}")
        return stream

    def live(self, topic, query="", headers=()):
        """A stream of @topic that is live."""
        stream = self.request("GET", f"/sse?topic={topic}{query}", headers)
        self.read_until(lambda: any(e.name == "relay.live" for e in stream.events), "relay.live")
        return stream

    def open_window(self, stream, size):
        self.h2.increment_flow_control_window(size, stream.number)
        self.flush()

    def reset(self, stream):
        self.h2.reset_stream(stream.number, error_code=8)
        self.flush()


class Raw:
    """A connection on which a test sends what it likes, and looks at the frames that come back."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=DEADLINE)
        self.frames, self.closed, self._rest = [], False, b""
        self.send(PREFACE + frame(SETTINGS))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, data):
        """Returns False when the server has cut the connection."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def head(self, stream, path="/healthz", method="GET", end=True):
        """HEADERS of a request, its fields as literals that the table does not keep."""
        fields = [(":method", method), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", path)]
        block = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in fields)
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def read_to_end(self):
        """All frames up to the end of the connection, as (kind, flags, stream, payload)."""
        while not self.closed:
            self.read()
        return self.frames

    def read_until(self, kind):
        """Until a frame of that kind has come, or the end."""
        while not self.closed and not any(frame[0] == kind for frame in self.frames):
            self.read()

    def read(self):
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.closed = data == b""
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3], "big")):
            kind, flags, stream = self._rest[3], self._rest[4], int.from_bytes(self._rest[5:9], "big")
            self.frames.append((kind, flags, stream, self._rest[9:size]))
            self._rest = self._rest[size:]

    def goaway(self):
        """The error code of the GOAWAY with which the server ended the connection."""
        codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in self.read_to_end() if kind == GOAWAY]
        assert codes, f"ended without a GOAWAY after {self.frames[-5:]}"
        return codes[-1]
