"""HTTP over a plain socket: exact bytes out, every byte that comes back looked at.

A library would repair what a test has to see: this reads heads and chunks strictly, as written in RFC 9112,
and fails on anything else.
"""

import re
import socket
import time

from settings import DEADLINE

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\x20-\x7e]*)")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
CHUNK_LINE = re.compile(rb"[0-9a-fA-F]+")


class Closed(Exception):
    """The peer ended the connection where more was expected."""


class Head:
    """Status and header fields of an answer; names compare without case."""

    def __init__(self, raw):
        lines = raw.split(b"\r\n")
        match = STATUS_LINE.fullmatch(lines[0])
        assert match, f"status line {lines[0]!r}"
        self.raw = raw
        self.minor, self.status = int(match[1]), int(match[2])
        self.fields = []
        for line in lines[1:]:
            field = HEADER_LINE.fullmatch(line)
            assert field, f"header line {line!r}"
            self.fields.append((field[1].decode().lower(), field[2].decode()))

    def get(self, name):
        """The one value of a field, or None; a field that stands twice is a failure."""
        values = [v for n, v in self.fields if n == name.lower()]
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None


class Answer:
    """A whole answer."""

    def __init__(self, head, body):
        self.head, self.body = head, body
        self.status = head.status

    def get(self, name):
        return self.head.get(name)

    def __repr__(self):
        return f"<{self.status} {self.head.fields} {self.body[:300]!r}>"


class Conn:
    """One connection to an address tuple or, as a string, the path of a unix socket; from @source, an address of this machine."""

    def __init__(self, address, rcvbuf=None, source=None):
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.address = address
        self.buffer = bytearray()
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(DEADLINE)
        self.sock.connect(address)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    @property
    def host(self):
        """What belongs into the Host field."""
        if isinstance(self.address, str):
            return "localhost"
        host, port = self.address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, target, headers=(), body=None, version="1.1", host=None):
        """Send a request that is well formed apart from what the caller puts into it."""
        fields = [("Host", self.host if host is None else host), *headers]
        if body is not None and not any(n.lower() == "transfer-encoding" for n, _ in fields):
            fields.append(("Content-Length", str(len(body))))
        head = f"{method} {target} HTTP/{version}\r\n"
        head += "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
        self.send(head.encode("latin-1") + (body or b""))

    def fill(self, until=None):
        """Read what is there, waiting until the clock says @until."""
        left = DEADLINE if until is None else until - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing more came before the deadline")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError as error:
            raise Closed("reset by the peer") from error
        if not data:
            raise Closed(f"ended by the peer, left unread: {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def take(self, count, until=None):
        while len(self.buffer) < count:
            self.fill(until)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_until(self, mark, until=None):
        """The bytes before @mark, which is dropped."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            self.fill(until)
        return self.take(at + len(mark))[: -len(mark)]

    def take_all(self):
        """Everything up to the end of the connection, which has to come."""
        try:
            while True:
                self.fill()
        except Closed:
            return self.take(len(self.buffer))

    def read_head(self, until=None):
        return Head(self.take_until(b"\r\n\r\n", until))

    def read_chunk(self, until=None):
        """The next chunk's bytes; b"" is the last chunk. A timeout leaves a part of one where it was."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            self.fill(until)
        line = bytes(self.buffer[:end])
        assert CHUNK_LINE.fullmatch(line), f"chunk size {line!r}"
        size = int(line, 16)
        while len(self.buffer) < end + size + 4:
            self.fill(until)
        data = self.take(end + size + 4)[end + 2 :]
        assert data.endswith(b"\r\n"), "a chunk does not end in CRLF"
        return data[:-2]

    def read_answer(self, method="GET"):
        """The next answer with its whole body. Interim answers (100) are skipped."""
        head = self.read_head()
        while head.status == 100:
            head = self.read_head()
        return Answer(head, self._read_body(head, method))

    def _read_body(self, head, method):
        if method == "HEAD" or head.status in (204, 304):
            return b""
        if head.get("transfer-encoding"):
            assert head.get("transfer-encoding") == "chunked" and head.get("content-length") is None
            body = b""
            while chunk := self.read_chunk():
                body += chunk
            return body
        if head.get("content-length") is not None:
            return self.take(int(head.get("content-length")))
        return self.take_all()

    def ended(self):
        """Whether the peer closes without another byte; waits for it."""
        return self.take_all() == b""


def fetch(address, method, target, headers=(), body=None, **how):
    """One request on a connection of its own."""
    with Conn(address) as conn:
        conn.request(method, target, headers, body, **how)
        return conn.read_answer(method)
