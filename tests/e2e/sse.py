"""Server-Sent Events as the WHATWG standard reads them, and a stream that can be waited on."""

import collections
import time

from http_raw import Closed, Conn
from settings import DEADLINE

Event = collections.namedtuple("Event", "name data id")


class Parser:
    """Bytes in any pieces become `events`, `comments`, `retries`, and `log`, all of it in order."""

    def __init__(self):
        self.events, self.comments, self.retries, self.log = [], [], [], []
        self._line, self._first, self._after_cr = bytearray(), True, False
        self._name, self._data, self._id, self._last_id = "", [], "", ""

    def feed(self, data):
        """Lines end at CR, LF and CRLF, wherever the pieces are cut."""
        for part in data.splitlines(keepends=True):  # of bytes: splits at these three and nothing else
            self._feed_part(part)

    def _feed_part(self, part):
        # A CR that ended the last piece may be the first half of a CRLF: an LF right behind it is no line.
        half = self._after_cr and part == b"\n"
        self._after_cr = part.endswith(b"\r")
        if half:
            return
        self._line += part.rstrip(b"\r\n")
        if part[-1:] not in (b"\r", b"\n"):
            return
        line = bytes(self._line)
        self._line.clear()
        if self._first and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        self._first = False
        self._take_line(line.decode("utf-8", errors="replace"))

    def _take_line(self, line):
        if not line:
            self._dispatch()
            return
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if line.startswith(":"):
            self.comments.append(line[1:])
            self.log.append(("comment", line[1:]))
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retries.append(int(value))
            self.log.append(("retry", int(value)))

    def _dispatch(self):
        self._last_id = self._id
        if self._data:
            event = Event(self._name or "message", "\n".join(self._data), self._last_id)
            self.events.append(event)
            self.log.append(("event", event))
        self._name, self._data = "", []


class Stream:
    """An open subscription. Read it with wait_for(): each call goes on behind the event it last returned."""

    def __init__(self, address, target, headers=(), rcvbuf=None, version="1.1", accept="text/event-stream", connect=Conn):
        self.conn = connect(address, rcvbuf)
        self.parser = Parser()
        self.raw = bytearray()
        self.chunks = []
        self.ended = False
        self._next = 0
        fields = [("Accept", accept), *headers] if accept else list(headers)
        self.conn.request("GET", target, fields, version=version)
        self.head = self.conn.read_head()
        self.chunked = self.head.get("transfer-encoding") == "chunked"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.conn.close()

    @property
    def events(self):
        """Every event so far."""
        return self.parser.events

    def read_more(self, until):
        """One more piece of the body; sets `ended` at its end."""
        try:
            if self.chunked:
                piece = self.conn.read_chunk(until)
                self.ended = piece == b""
                self.chunks.append(piece)
            else:
                if not self.conn.buffer:
                    self.conn.fill(until)
                piece = self.conn.take(len(self.conn.buffer))
        except Closed:
            if self.chunked:
                self.ended = True
                raise
            piece, self.ended = b"", True
        self.raw += piece
        self.parser.feed(piece)

    def read_until(self, happened, timeout=None):
        """Read until @happened() or, when it never does, fail with what came instead."""
        until = time.monotonic() + (timeout or DEADLINE)
        while not happened():
            if self.ended:
                raise AssertionError(f"the stream ended; its last lines: {self.parser.log[-5:]}")
            try:
                self.read_more(until)
            except TimeoutError:
                last = str(self.parser.log[-5:])[:1000]
                raise AssertionError(f"did not come; the stream's last lines: {last}") from None

    def wait_for(self, wanted, timeout=None):
        """The next event for which @wanted(event) holds."""
        found = []

        def look():
            while self._next < len(self.events):
                event = self.events[self._next]
                self._next += 1
                if wanted(event):
                    found.append(event)
                    return True
            return False

        self.read_until(look, timeout)
        return found[0]

    def wait_data(self, data):
        return self.wait_for(lambda e: e.data == data)

    def wait_name(self, name):
        return self.wait_for(lambda e: e.name == name)

    def wait_live(self):
        """`relay.live`: subscribed on Redis, nothing is missed from here on. Returns the stream."""
        self.wait_name("relay.live")
        return self

    def wait_end(self):
        """Read to the end that the relay makes, which has to be a proper one."""
        until = time.monotonic() + DEADLINE
        while not self.ended:
            self.read_more(until)
        return self

    def named(self, name):
        """All events of this name so far."""
        return [e for e in self.events if e.name == name]
