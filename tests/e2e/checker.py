"""Judges what publishers and readers remember against the promise: each acknowledged durable event exactly once and
in order at each reader, or told by a reset. Knows nothing of sockets: test_checker.py feeds it histories.

A history is a list of Published, and for each reader its Connections in order, each a list of what came on it.
"""

import bisect
import collections
import functools
import json
import sys

# A place in the order of events. `birth` is the number of the birth in order of appearance, so that places compare.
Place = collections.namedtuple("Place", "birth epoch ms seq")

# One event as a publisher knows it: `id` is None where no 200 came. A label names an event within its topic.
Published = collections.namedtuple("Published", "topic label id at where")

# What came on a connection. kind: "event", "live" (relay.live) or "reset"; a reset has topics and a reason.
Seen = collections.namedtuple("Seen", "at kind topic label id topics reason", defaults=(None, None, None, (), None))

# Reasons that say where the lost part ends by the reset's own id. The others end with the first event that came.
ENDS_AT_ID = {"birth", "limit", "failover"}


@functools.lru_cache(maxsize=1 << 16)
def parse_id(text):
    """(birth, epoch, ms, seq) of an id's text."""
    birth, epoch, place = text.split(".")
    ms, seq = place.split("-")
    return birth, int(epoch, 36), int(ms, 36), int(seq, 36)


class Connection:
    """What one connection brought, in order. `cursor` is what the reader came with, or None."""

    def __init__(self, at, where, cursor):
        self.at, self.where, self.cursor = at, where, cursor
        self.seen = []
        self.end = None

    def take(self, at, event):
        """Note an event (name, data, id) of a stream with as=json; returns the note, or None for what is not judged."""
        if event.name == "relay.live":
            note = Seen(at, "live", id=sys.intern(event.id) or None)
        elif event.name == "relay.reset":
            told = json.loads(event.data)
            note = Seen(at, "reset", id=event.id or None, topics=tuple(told["topics"]), reason=told["reason"])
        elif event.name == "message":
            inner = json.loads(event.data)
            if inner["id"] is None:
                return None  # a live event: nothing was promised
            if inner["id"] != event.id:
                raise ValueError(f"the id beside the data is another: {event}")
            label = sys.intern(inner["data"].partition(" ")[0])
            note = Seen(at, "event", sys.intern(inner["topic"]), label, sys.intern(event.id))
        else:
            return None
        self.seen.append(note)
        return note


class Reader:
    """One subscriber over all of its connections."""

    def __init__(self, name, topics):
        self.name, self.topics = name, list(topics)
        self.connections = []


class Violation:
    """One promise that was broken; `at` is when, for the timeline."""

    def __init__(self, kind, reader, at, text):
        self.kind, self.reader, self.at, self.text = kind, reader, at, text

    def __str__(self):
        return f"{self.kind}: {self.reader}: {self.text}"


class Report:
    """Violations in order of time, and counts of everything looked at."""

    def __init__(self):
        self.violations = []
        self.counts = collections.Counter()

    def add(self, kind, reader, at, text):
        self.violations.append(Violation(kind, reader, at, text))

    def kinds(self):
        return collections.Counter(v.kind for v in self.violations)


class Checker:
    """Checks one history. @resets_allowed(reason, topics) says which resets the plan explains. @kept are the ids that
    the logs hold at the end; with @tail_lost (failovers), what they do not hold is asked of nobody, but whoever saw some
    of it has to be told."""

    def __init__(self, published, readers, resets_allowed=lambda reason, topics: False, kept=None, tail_lost=False):
        self.published, self.readers = published, readers
        self.resets_allowed, self.kept, self.tail_lost = resets_allowed, kept, tail_lost
        self.report = Report()
        self.births = {}
        self.content = {}  # id: (topic, label)
        self.ids = {}  # (topic, label): id
        self.first_at = {}  # id: when it was first known
        self.by_topic = collections.defaultdict(list)  # topic: sorted [(place, id)] of all that exists

    def place(self, id_text):
        birth, *rest = parse_id(id_text)
        return Place(self.births.setdefault(birth, len(self.births)), *rest)

    def run(self):
        self._collect()
        for reader in self.readers:
            Judge(self, reader).run()
        self.report.violations.sort(key=lambda v: v.at)
        return self.report

    def _collect(self):
        """All events that exist: those acknowledged, and those that anybody saw."""
        known = [(p.at, p.id, p.topic, p.label, f"publisher at {p.where}") for p in self.published if p.id]
        for reader in self.readers:
            for connection in reader.connections:
                known += [(s.at, s.id, s.topic, s.label, reader.name) for s in connection.seen if s.kind == "event"]
        labels = {(p.topic, p.label) for p in self.published}
        for at, id_text, topic, label, who in sorted(known, key=lambda k: k[0]):
            self._know(at, id_text, topic, label, who, labels)
        for topic_events in self.by_topic.values():
            topic_events.sort()
        counts = self.report.counts
        counts["published"] = len(self.published)
        counts["acknowledged"] = sum(p.id is not None for p in self.published)
        counts["acknowledged, gone"] = sum(p.id is not None and not self.exists(p.id) for p in self.published)
        counts["unacknowledged, seen"] = sum(p.id is None and (p.topic, p.label) in self.ids for p in self.published)
        if self.kept is not None and not self.tail_lost:
            for id_text, (topic, label) in self.content.items():
                if id_text not in self.kept:
                    text = f"{topic} {label} {id_text} is in no log"
                    self.report.add("vanished", "Redis", self.first_at[id_text], text)

    def _know(self, at, id_text, topic, label, who, labels):
        what = (topic, label)
        if what not in labels:
            self.report.add("foreign", who, at, f"{topic} {label} {id_text} was never published")
        if self.content.setdefault(id_text, what) != what:
            text = f"{id_text} is {topic} {label}, and also {' '.join(self.content[id_text])}"
            self.report.add("one id twice", who, at, text)
        elif self.exists(id_text) and self.ids.setdefault(what, id_text) != id_text:
            self.report.add("two ids", who, at, f"{topic} {label} is {id_text}, and also {self.ids[what]}")
        if id_text not in self.first_at:
            self.first_at[id_text] = at
            self.by_topic[topic].append((self.place(id_text), id_text))

    def exists(self, id_text):
        """Whether it can be asked for: a lost tail cannot."""
        return not self.tail_lost or self.kept is None or id_text in self.kept


class Judge:
    """One reader's case."""

    def __init__(self, checker, reader):
        self.checker, self.reader, self.report = checker, reader, checker.report
        self.place = checker.place
        self.start = None  # from here on everything is owed
        self.last = None  # the cursor that the reader holds
        self.got = {}  # id: when
        self.excused = collections.defaultdict(list)  # topic: [(above, up to)]
        self.open = {}  # topic: above what, where a reset `trimmed` waits for the first event behind it
        self.gone = {}  # topic: an event of it that it saw, that is gone, and of which it was not told yet

    def fault(self, kind, at, text):
        self.report.add(kind, self.reader.name, at, text)

    def run(self):
        self.report.counts["readers"] += 1
        for connection in self.reader.connections:
            self._connection(connection)
        if self.last is not None:
            self._look_for_lost()

    def _connection(self, connection):
        self.report.counts["connections"] += 1
        self.came_with = self.place(connection.cursor) if connection.cursor else None
        if self.came_with != self.last and self.last is not None:
            self.fault("cursor", connection.at, f"came with {connection.cursor}, which is not what it last saw")
        self.last = self.came_with
        if self.start is None:
            self.start = self.came_with
        self.reborn = False
        self.open.clear()  # the next connection tells again what this one did not get to
        for seen in connection.seen:
            self.report.counts[f"{seen.kind}s seen" if seen.kind != "reset" else f"resets ({seen.reason})"] += 1
            {"event": self._event, "live": self._live, "reset": self._reset}[seen.kind](seen, connection)

    def _event(self, seen, connection):
        where = f"{seen.topic} {seen.label} {seen.id} on {connection.where}"
        here = self.place(seen.id)
        if seen.topic not in self.reader.topics:
            self.fault("unasked", seen.at, where)
        if seen.id in self.got:
            self.fault("doubled", seen.at, f"{where}, first seen at {self.got[seen.id]:.3f}")
        elif self.last is not None and here <= self.last:
            at_cursor = "the cursor it came with" if self.last == self.came_with else "what came before it"
            self.fault("disordered", seen.at, f"{where} is not above {at_cursor}, {self._text(self.last)}")
        elif self.last is not None and here.birth != self.last.birth and not self.reborn:
            self.fault("untold", seen.at, f"{where} is of another birth, and no reset said so")
        self.got.setdefault(seen.id, seen.at)
        self._was_told(here, seen)
        if not self.checker.exists(seen.id):
            self.gone[seen.topic] = seen
        if seen.topic in self.open:
            self.excused[seen.topic].append((self.open.pop(seen.topic), here))
        if self.start is None:
            self.start = here
        self.last = here

    def _live(self, seen, connection):
        if seen.id is None:
            return  # no clock yet: nothing was ever published
        here = self.place(seen.id)
        if self.last is not None and here < self.last:
            self.fault("backwards", seen.at, f"relay.live {seen.id} is below {self._text(self.last)}, which it has seen")
        self._was_told(here, seen)
        for topic, above in self.open.items():
            self.excused[topic].append((above, here))
        self.open.clear()
        if self.start is None:
            self.start = here
        self.last = here

    def _reset(self, seen, connection):
        if not self.checker.resets_allowed(seen.reason, seen.topics):
            text = f"{seen.reason} for {','.join(seen.topics)} on {connection.where}, at {seen.id}, cursor {connection.cursor}"
            self.fault("unexpected reset", seen.at, text)
        here = self.place(seen.id) if seen.id else None
        for topic in seen.topics if self.last is not None else ():
            if seen.reason in ENDS_AT_ID and here is not None:
                self.excused[topic].append((self.last, here))
            elif seen.reason == "trimmed":
                self.open.setdefault(topic, self.last)
        self.reborn = self.reborn or seen.reason == "birth"
        if seen.reason in ("failover", "birth"):
            for topic in seen.topics:
                self.gone.pop(topic, None)
            self._forget_what_is_gone(here)
        if here is not None:
            self.last = here
            self.start = self.start or here

    def _forget_what_is_gone(self, here):
        """A relay that has not heard of the failover yet may give out again what the reader was told is gone."""
        for id_text in [i for i in self.got if not self.checker.exists(i)]:
            if here is None or self.place(id_text) > here:
                del self.got[id_text]

    def _was_told(self, here, seen):
        """Before anything of another epoch comes, a reset says that what it saw is gone."""
        for topic, lost in list(self.gone.items()):
            if self.place(lost.id)[:2] < here[:2]:
                self.fault("untold", seen.at, f"{topic} {lost.label} {lost.id} is gone, and {seen.id} came without a reset")
                del self.gone[topic]

    def _look_for_lost(self):
        """Everything between the first and the last place, on its topics, has to have come."""
        for topic in self.reader.topics:
            events = self.checker.by_topic[topic]
            for place, id_text in events[bisect.bisect_right(events, (self.start, "~")) :]:
                if place > self.last:
                    break
                if id_text in self.got or not self.checker.exists(id_text):
                    continue
                if any(above < place <= up_to for above, up_to in self.excused[topic]):
                    self.report.counts["told by a reset"] += 1
                else:
                    self._lost(topic, place, id_text)

    def _lost(self, topic, place, id_text):
        """Says on which connection it was passed over."""
        passed = "passed at an unknown place"
        at = self.checker.first_at[id_text]
        for connection in self.reader.connections:
            beyond = next((s for s in connection.seen if s.id and self.place(s.id) > place), None)
            if beyond:
                at = beyond.at
                passed = (
                    f"passed on {connection.where} (cursor {connection.cursor}, opened {connection.at:.3f}) "
                    f"by {beyond.kind} {beyond.topic or ''} {beyond.id}"
                )
                break
        label = self.checker.content[id_text][1]
        self.fault("lost", at, f"{topic} {label} {id_text} of {self.checker.first_at[id_text]:.3f}, {passed}")

    def _text(self, place):
        return f"{place.epoch}.{place.ms}-{place.seq} (decimal)"


def unreached(readers, markers):
    """Violations of readers that did not come to the marker, {topic: id}, of each of their topics."""
    found = []
    for reader in readers:
        got = {s.id for c in reader.connections for s in c.seen}
        missing = [f"{t} {markers[t]}" for t in reader.topics if markers[t] not in got]
        if missing:
            last = reader.connections[-1] if reader.connections else None
            where = f"{last.where}, its last: {last.seen[-1:]}" if last else "nothing: it was never connected"
            at = last.at if last else 0
            found.append(Violation("stuck", reader.name, at, f"never came to {', '.join(missing)}; it is on {where}"))
    return found
