"""Readers of the chaos: plain sockets, the npm package `eventsource`, Chromium. Each remembers what came on which
connection, for the checker, and keeps its cursor as an EventSource does.

They share: memory (a checker.Reader), start(), poll() (take what came since), reached() (it has seen the last event of
each of its topics), finish().
"""

import json
import pathlib
import shutil
import socket
import sys
import threading
import time
import urllib.parse

import harness
from checker import Connection, Reader
from http_raw import Closed, Conn
from settings import HERE, ROOT
from sse import Event, Parser

sys.path.insert(0, str(ROOT / "tests" / "browser"))

from webdriver import Browser, Chromedriver  # noqa: E402

RESET_AT_ONCE = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, 0 s


def quoted(text):
    return urllib.parse.quote(text, safe="")


def target_of(topics):
    return f"/sse?topics={quoted(','.join(topics))}&as=json"


class Marks:
    """Which topics a reader has come to the end of."""

    def __init__(self, topics):
        self.topics, self.marked = set(topics), set()

    def look(self, seen):
        if seen and seen.kind == "event" and seen.label == "end":
            self.marked.add(seen.topic)

    def all(self):
        return self.marked == self.topics


class SocketReader(threading.Thread):
    """A reader on plain sockets, which keeps its cursor as an EventSource does."""

    def __init__(self, run, name, topics, *, slow=False, by_query=False, steady=False, version="1.1"):
        super().__init__(daemon=True)
        self.run_, self.slow, self.by_query, self.steady = run, slow, by_query, steady
        self.version = version
        self.random = run.random(name)
        self.memory = Reader(name, topics)
        self.cursor = None
        self.ending = threading.Event()
        self.cut_now = False
        self.marks = Marks(topics)

    def run(self):
        while not self.ending.is_set():
            where = self.random.randrange(len(self.run_.nodes.addresses))
            note = Connection(time.time(), f"relay{where}", self.cursor)
            try:
                with self._connect(where) as conn:
                    self.memory.connections.append(note)
                    self._read(conn, note)
            except (OSError, Closed) as error:
                note.end = str(error)
            except (AssertionError, ValueError) as error:
                self.run_.fault("malformed", self.memory.name, f"on relay{where}: {error}")
            self.ending.wait(self.random.choice([0, 0.05, 0.3]))

    def _connect(self, where):
        addresses = self.run_.nodes.addresses
        conn = Conn(addresses[where], rcvbuf=2048 if self.slow else None)
        target = target_of(self.memory.topics)
        fields = [("Accept", "text/event-stream")]
        if self.cursor and self.by_query:
            target += f"&lastEventId={quoted(self.cursor)}"
        elif self.cursor:
            fields.append(("Last-Event-ID", self.cursor))
        try:
            conn.request("GET", target, fields, version=self.version)
            head = conn.read_head()
        except BaseException:
            conn.close()
            raise
        if head.status != 200:
            self.run_.fault("refused", self.memory.name, f"{head.status} for a stream on relay{where}")
        return conn

    def _budget(self):
        """After how many bytes this connection is cut: at any byte, often before its first event."""
        if self.steady or self.random.random() < 0.3:
            return float("inf")
        return int(10 ** self.random.uniform(0.5, 5.5))

    def _read(self, conn, note):
        parser, left = Parser(), self._budget()
        self.cut_now = False
        while not self.ending.is_set():
            piece = self._piece(conn)
            if piece == b"":
                note.end = "ended by the relay"
                return
            cut = self.run_.cutting and (self.cut_now or len(piece or b"") > left)
            if piece:
                piece = piece[: int(left)] if len(piece) > left and cut else piece
                left -= len(piece)
                parser.feed(piece)
                self._take(parser, note)
            if cut:
                note.end = "cut by the reader"
                if self.random.random() < 0.5:
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
                return
            if piece and self.slow and self.run_.cutting and self.random.random() < 0.05:
                self.ending.wait(self.random.uniform(0.1, 4))

    def _piece(self, conn):
        """Some bytes of the body, b"" at its end, None when nothing came for a while."""
        until = time.monotonic() + 0.2
        try:
            if self.version == "1.1":
                return conn.read_chunk(until)
            if not conn.buffer:
                conn.fill(until)
            return conn.take(len(conn.buffer))
        except TimeoutError:
            return None

    def _take(self, parser, note):
        at = time.time()
        for event in parser.events:
            self.marks.look(note.take(at, event))
            if event.id:
                self.cursor = event.id
        for kept in (parser.events, parser.log, parser.comments):
            kept.clear()

    def poll(self):
        """Its thread does."""

    def reached(self):
        return self.marks.all()

    def finish(self):
        self.ending.set()
        self.join()


class NodeReader:
    """A reader that is the npm package `eventsource`."""

    def __init__(self, run, name, topics):
        self.run_ = run
        self.memory = Reader(name, topics)
        path = target_of(topics)
        script = HERE / "clients" / "reader.mjs"
        self.process = harness.Process(["node", script, path, *run.nodes.origins], run.directory, name)
        self.offset = 0
        self.marks = Marks(topics)

    def poll(self):
        """Take what it has printed since the last time."""
        with open(self.process.directory / f"{self.memory.name}.out", "rb") as out:
            out.seek(self.offset)
            lines, _, _ = out.read().rpartition(b"\n")
        self.offset += len(lines) + 1 if lines else 0
        for line in lines.split(b"\n") if lines else ():
            self._take(json.loads(line))

    def _take(self, record):
        connections = self.memory.connections
        if record["type"] == "connect":
            connections.append(Connection(record["at"], record["where"], record["cursor"]))
        elif record["type"] == "error":
            connections[-1].end = record.get("message")
            if record["state"] == 2:
                self.run_.fault("dead", self.memory.name, f"its EventSource gave up: {record}")
        else:
            event = Event(record["type"], record["data"], record["id"])
            self.marks.look(connections[-1].take(record["at"], event))

    def start(self):
        """It was started when it was made."""

    def reached(self):
        return self.marks.all()

    def finish(self):
        if not self.process.running:
            self.run_.fault("dead", self.memory.name, f"the process ended: {self.process.err[-2000:]}")
        self.process.kill()
        self.poll()


class ChromiumReader:
    """A reader that is an EventSource in Chromium. It stays with the first relay, whose page it is on."""

    PAGE = """
        window.seen = [];
        const source = new EventSource(arguments[0]);
        const note = (event) => window.seen.push({
            at: Date.now() / 1000, type: event.type, data: event.data, id: event.lastEventId, state: source.readyState });
        for (const name of ["open", "error", "message", "relay.live", "relay.reset"]) source.addEventListener(name, note);
    """

    def __init__(self, run, name, topics):
        self.run_, self.where = run, run.nodes.origins[0]
        self.memory = Reader(name, topics)
        self.marks = Marks(topics)
        self.cursor = None
        directory = pathlib.Path(run.directory) / name
        directory.mkdir()
        self.driver = Chromedriver(directory)
        self.browser = Browser(self.driver, directory / "profile", any_certificate=self.where.startswith("https:"))
        self.browser.open(self.where + "/healthz")

    @staticmethod
    def here():
        return all(shutil.which(program) for program in ("chromium", "chromedriver"))

    def start(self):
        self.browser.script(self.PAGE, target_of(self.memory.topics))

    def poll(self):
        for record in self.browser.script("return window.seen.splice(0)"):
            self._take(record)

    def _take(self, record):
        connections = self.memory.connections
        if record["type"] == "open":
            connections.append(Connection(record["at"], self.where, self.cursor))
        elif record["type"] == "error":
            if record["state"] == 2:
                self.run_.fault("dead", self.memory.name, f"its EventSource gave up: {record}")
        else:
            event = Event(record["type"], record["data"], record["id"])
            self.marks.look(connections[-1].take(record["at"], event))
            self.cursor = event.id or self.cursor

    def reached(self):
        return self.marks.all()

    def finish(self):
        self.poll()
        self.browser.close()
        self.driver.stop()
