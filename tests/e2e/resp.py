"""A Redis client in one page: enough RESP2 to publish, to look at and to kill connections."""

import socket

from settings import DEADLINE


class RedisError(Exception):
    """An error reply, such as `ERR unknown command`."""


class RedisClient:
    """One connection. Call it with a command: `redis("PUBLISH", "sse:a", "hello")`."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(address)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __call__(self, *args):
        self.send(*args)
        return self.read()

    def send(self, *args):
        parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        frames = [b"$%d\r\n%s\r\n" % (len(p), p) for p in parts]
        self.sock.sendall(b"*%d\r\n%s" % (len(parts), b"".join(frames)))

    def pipeline(self, commands):
        """Send all, then read all: many commands for one round trip."""
        for command in commands:
            self.send(*command)
        return [self.read() for _ in commands]

    def read(self):
        """One reply; a connection that subscribed reads its messages with this too."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise ValueError(f"not RESP: {line!r}")

    def close(self):
        self.file.close()
        self.sock.close()
