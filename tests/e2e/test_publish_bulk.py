"""sse-publish with many events: where they come from, what it prints, how it ends."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import pytest

from harness import relay_env, run_publish, wait_until
from publisher import Publisher, data_of, entries_of, length_of, peak_bytes
from settings import DEADLINE, PUBLISH, sanitized

SUMMARY = r"sse-publish: published ([\d,]+) events? to (\d+) topics? in [\d.:]+ \w+ \([\d.,]+/s\)"


def publish(redis, *args, stdin=b"", code=0):
    """sse-publish to its end; it must exit with @code."""
    done = run_publish(*args, env={"REDIS_URL": redis.url}, stdin=stdin)
    assert done.returncode == code, done.stderr
    return done


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


# ---- what comes in ----


def test_lines_of_files_one_after_the_other(redis, topic, tmp_path):
    """Lines of files and of standard input, each an event: LF and CRLF, empty ones, a last one without an end."""
    (tmp_path / "a").write_bytes(b"one\r\n\ntwo")
    (tmp_path / "b").write_bytes(b"three\n")
    done = publish(redis, "--lines", topic, tmp_path / "a", "-", tmp_path / "b", stdin=b"in\nbetween\n")
    entries = entries_of(redis, topic)
    assert [event["data"] for _, event in entries] == ["one", "", "two", "in", "between", "three"]
    assert len(done.stdout.split()) == 6 and len(set(done.stdout.split())) == 6
    assert re.fullmatch(SUMMARY + "\n", done.stderr)[1] == "6"


MARK = b"\xef\xbb\xbf"


def test_a_byte_order_mark_is_taken_off(redis, topic, tmp_path):
    """At the beginning of each file, of lines and of objects, and nowhere else; a file may hold nothing more."""
    (tmp_path / "a").write_bytes(MARK + b"one\n" + MARK + b"two")
    (tmp_path / "b").write_bytes(MARK + MARK + b"three\n")
    (tmp_path / "c").write_bytes(MARK)
    (tmp_path / "d").write_bytes(MARK[:2])
    (tmp_path / "objects").write_bytes(MARK + json.dumps({"data": "four", "time": 1}).encode() + b"\n")
    publish(redis, "--lines", topic, tmp_path / "a", tmp_path / "b", tmp_path / "c", "-", stdin=MARK + b"x\n")
    publish(redis, "--ndjson", "-t", topic, tmp_path / "objects")
    publish(redis, "replay", "-t", topic, tmp_path / "objects")
    assert data_of(redis, topic) == ["one", "\ufefftwo", "\ufeffthree", "x", "four", "four"]
    assert ":1: the data is not valid UTF-8" in publish(redis, "--lines", topic, tmp_path / "d", code=1).stderr


def test_a_byte_order_mark_in_pieces(redis, topic):
    """Its bytes may come one by one; the longest line may stand behind it."""
    with Publisher(redis, "--lines", topic) as publisher:
        for i in range(len(MARK)):
            publisher.child.stdin.write(MARK[i:i + 1])
            publisher.child.stdin.flush()
            time.sleep(0.05)  # so that it is read alone; what must hold, holds without, too
        publisher.child.stdin.write(b"x" * 1048576 + b"\n")
        publisher.child.stdin.close()
        assert publisher.child.wait(DEADLINE) == 0
    assert data_of(redis, topic) == ["x" * 1048576]


def test_ids_are_those_of_the_log(redis, topic):
    """Standard output: the id of each event, in order of the input."""
    done = publish(redis, "--lines", "-t", f"{topic}.a", "-t", f"{topic}.b", stdin=b"1\n2\n3\n")
    ids = done.stdout.split()
    for at, name in enumerate("ab"):
        last = redis("GET", f"sse:{{0}}:last:{topic}.{name}").decode()
        assert ids[4 + at] == last and data_of(redis, f"{topic}.{name}") == ["1", "2", "3"]
    assert re.search(SUMMARY, done.stderr).groups() == ("6", "2")


def test_ndjson_members(redis, topic):
    """Each line says its topics, event, data (a string, or any JSON, published compact), key, retry, history, ttl."""
    lines = [
        {"topic": f"{topic}.a", "data": "plain", "event": "e", "retry": 5000},
        {"topics": [f"{topic}.a", f"{topic}.b"], "data": {"b": [1, None], "a": "\u00fc"}},
        {"topic": f"{topic}.a", "data": "once", "key": topic},
        {"topic": f"{topic}.a", "data": "once", "key": topic},
        {"topic": f"{topic}.c", "data": None, "ttl": "2m", "history": 5, "event": None},
        {"data": "to the topic of -t"},
    ]
    done = publish(redis, "--ndjson", "-t", f"{topic}.d", stdin="\n\n".join(map(json.dumps, lines)).encode())
    a = [event for _, event in entries_of(redis, f"{topic}.a")]
    assert a[0] == {"event": "e", "data": "plain", "retry": 5000}
    assert [event["data"] for event in a[1:]] == ['{"b":[1,null],"a":"\\u00fc"}', "once"]
    assert data_of(redis, f"{topic}.b") == ['{"b":[1,null],"a":"\\u00fc"}']
    assert data_of(redis, f"{topic}.c") == ["null"] and data_of(redis, f"{topic}.d") == ["to the topic of -t"]
    assert 0 < redis("PTTL", f"sse:{{0}}:log:{topic}.c") <= 120_000
    assert len(done.stdout.split()) == 7 and "1 of them published before" in done.stderr


def test_numbers_and_order_of_members_stay(redis, topic):
    """JSON is published as it was written, but for its white space: no digit of a number is lost."""
    data = '{ "z": 1.10, "a": 12345678901234567890123, "a":\t-0.0e+7, "s": "\\u00fc \\" " }'
    compact = '{"z":1.10,"a":12345678901234567890123,"a":-0.0e+7,"s":"\\u00fc \\" "}'
    publish(redis, "--json", topic, data)
    publish(redis, "--ndjson", "-t", topic, stdin=f'{{"data": {data}}}'.encode())
    publish(redis, "--lines", "--json", topic, stdin=data.encode())
    assert data_of(redis, topic) == [compact] * 3


def test_json_refuses_what_is_none(redis, topic):
    done = publish(redis, "--json", topic, "{'a': 1}", code=2)
    assert "DATA is not JSON" in done.stderr and "at byte 2" in done.stderr
    done = publish(redis, "--json", "--lines", "--on-error", "skip", topic, stdin=b"1\nx\n[2]\n", code=1)
    assert "standard input:2: the data is not JSON" in done.stderr and data_of(redis, topic) == ["1", "[2]"]


def test_durable_and_live_lines_in_order(relay, redis, topic):
    """A line may be live; subscribers get all of them in the order of the input."""
    lines = [json.dumps({"topic": topic, "data": str(n), "live": n % 3 == 0}) for n in range(100)]
    with relay.live(topic) as stream:
        done = publish(redis, "--ndjson", stdin="\n".join(lines).encode())
        stream.wait_data("99")
        assert [e.data for e in stream.named("message")] == [str(n) for n in range(100)]
    assert len(done.stdout.split()) == 66 and length_of(redis, topic) == 66


def test_keys_of_lines(redis, topic):
    """--key with lines: line n has the key KEY:n, so that the same input can be sent again."""
    for _ in range(2):
        done = publish(redis, "--lines", "--key", topic, topic, stdin=b"1\n2\n")
    assert data_of(redis, topic) == ["1", "2"] and "2 of them published before" in done.stderr


def test_a_trickle_goes_at_once(redis, topic):
    """`tail -f | sse-publish --lines`: no line waits for others, and its id is printed at once."""
    with Publisher(redis, "--lines", topic) as publisher:
        for n in range(1, 4):
            publisher.give(n)
            wait_until(lambda n=n: length_of(redis, topic) == n and len(publisher.ids) == n, f"line {n}")
        assert publisher.wait() == 0


def test_lines_from_a_fifo(redis, topic, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with Publisher(redis, "--lines", topic, tmp_path / "fifo", stdin=subprocess.DEVNULL) as publisher:
        with open(tmp_path / "fifo", "w", encoding="utf-8") as fifo:
            fifo.write("one\ntwo\n")
        assert publisher.wait() == 0 and data_of(redis, topic) == ["one", "two"]


def test_repeat_and_count(redis, topic, tmp_path):
    """--repeat reads the input again, --count ends after so many events."""
    path = write_lines(tmp_path / "lines", range(3))
    publish(redis, "--lines", "--repeat", "3", "--count", "7", topic, path)
    assert data_of(redis, topic) == list("0120120")
    publish(redis, "--repeat", "2", f"{topic}.data", "x")
    assert data_of(redis, f"{topic}.data") == ["x", "x"]
    os.mkfifo(tmp_path / "fifo")
    assert "can be read only once" in publish(redis, "--lines", "--repeat", "2", topic, tmp_path / "fifo", code=2).stderr


def test_rate(redis, topic):
    """--rate holds back: 120 events at 200/s cannot be there within a third of a second, whatever the machine."""
    with Publisher(redis, "--lines", "--rate", "200/s", topic) as publisher:
        publisher.give(*range(120))
        assert publisher.wait() == 0
    first, last = (int(entries_of(redis, topic)[at][0].split("-")[0]) for at in (0, -1))
    assert last - first >= 333 and length_of(redis, topic) == 120


def test_a_million_lines_take_constant_memory(redis, topic, tmp_path):
    """Peak memory does not grow with the input."""
    if sanitized():
        pytest.skip("a sanitizer keeps what was freed")
    small = write_lines(tmp_path / "small", range(10_000))
    large = write_lines(tmp_path / "large", range(1_000_000))
    peaks = [peak_bytes(redis, *how, "--quiet", "--lines", topic, path)
             for how in ([], ["--live"]) for path in (small, large)]
    assert length_of(redis, topic) >= 1000
    assert peaks[1] <= peaks[0] + (4 << 20) and peaks[3] <= peaks[2] + (4 << 20), peaks


# ---- bad lines ----


BAD = b'{"topic":"%s","data":1}\n{"topic":"%s","data":\n{"topic":"%s","evnt":"e","data":2}\n[]\n{"topic":"%s","data":3}\n'


def test_bad_lines_are_skipped_and_told(redis, topic, tmp_path):
    """--on-error skip: file, number and reason of each; the summary counts them; exit 1."""
    path = tmp_path / "lines"
    path.write_bytes(BAD.replace(b"%s", topic.encode()))
    done = publish(redis, "--ndjson", "--on-error", "skip", path, code=1)
    assert f"{path}:2: the line is not JSON: it ends too early at byte" in done.stderr
    assert f'{path}:3: the member "evnt" is not known' in done.stderr
    assert f"{path}:4: the line is not a JSON object" in done.stderr
    assert "; 3 skipped" in done.stderr and data_of(redis, topic) == ["1", "3"]


def test_a_bad_line_stops(redis, topic, tmp_path):
    """--on-error stop, the default: says which line, and that --resume-from goes on; which it does."""
    first = write_lines(tmp_path / "a", range(3))
    second = tmp_path / "b"
    second.write_bytes(b"3\n\xff\n5\n")
    done = publish(redis, "--lines", topic, first, second, code=1)
    assert f"{second}:2: the data is not valid UTF-8" in done.stderr and "--resume-from 5 goes on" in done.stderr
    assert data_of(redis, topic) == list("0123")
    second.write_bytes(b"3\n4\n5\n")
    publish(redis, "--lines", "--resume-from", "5", topic, first, second)
    assert data_of(redis, topic) == list("012345")


def test_many_bad_lines_are_counted(redis, topic):
    done = publish(redis, "--ndjson", "--on-error", "skip", "-t", topic, stdin=b"x\n" * 1000, code=1)
    assert done.stderr.count("standard input:") == 20 and "and 980 more like these" in done.stderr
    assert "published 0 events" in done.stderr and "1,000 skipped" in done.stderr


def test_a_line_that_is_too_long(redis, topic, tmp_path):
    """It is told without being held in memory, and what follows it is published."""
    path = tmp_path / "lines"
    with open(path, "wb") as file:
        file.write(b"before\n" + b"x" * (1 << 20) + b"\r\n")
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\nafter\n")
    done = publish(redis, "--lines", "--on-error", "skip", topic, path, code=1)
    assert f"{path}:3: the line is longer than 1 MiB" in done.stderr
    assert [data[:6] for data in data_of(redis, topic)] == ["before", "xxxxxx", "after"]
    if not sanitized():
        args = ["--lines", "--quiet", "--count", "2", "--live", topic, path]
        assert peak_bytes(redis, *args) < 64 << 20


def test_files_that_cannot_be_read(redis, topic, tmp_path):
    """All files are looked at before anything is published."""
    path = write_lines(tmp_path / "lines", range(3))
    done = publish(redis, "--lines", topic, path, tmp_path / "missing", code=2)
    assert f"cannot read {tmp_path}/missing: No such file" in done.stderr and length_of(redis, topic) == 0
    assert "directory" in publish(redis, "--lines", topic, tmp_path, code=2).stderr


# ---- what it prints ----


def test_output_json(redis, topic):
    """--output json: one object a line; live events have no id and Redis's count of subscribers."""
    done = publish(redis, "--output", "json", "-t", f"{topic}.a", "-t", f"{topic}.b", "x")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["topic"] == f"{topic}.a" and second["topic"] == f"{topic}.b" and first["id"] != second["id"]
    assert first["duplicate"] is False and "line" not in first
    done = publish(redis, "--output", "json", "--live", topic, "x")
    assert json.loads(done.stdout) == {"topic": topic, "id": None, "subscribers": 0}


def test_output_json_says_of_which_line(redis, topic):
    """With lines that are skipped an id alone does not say whose it is; the object does."""
    lines = b'{"topics":["%(t)s.a","%(t)s.b"],"data":"1"}\nnot one\n{"topic":"%(t)s.a","data":"3"}\n' % {b"t": topic.encode()}
    done = publish(redis, "--ndjson", "--on-error", "skip", "--output", "json", stdin=lines, code=1)
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["topic"], one["line"]) for one in printed] == [(f"{topic}.a", 1), (f"{topic}.b", 1), (f"{topic}.a", 3)]


def test_quiet(redis, topic):
    """--quiet: nothing where all is well, the summary where it is not."""
    done = publish(redis, "--quiet", "--lines", topic, stdin=b"1\n2\n")
    assert not done.stdout and not done.stderr
    done = publish(redis, "--quiet", "--lines", "--on-error", "skip", topic, stdin=b"\xff\n2\n", code=1)
    assert not done.stdout and "1 skipped" in done.stderr


def test_nobody_reads_the_ids(redis, topic):
    """`| head`: ends like any program whose reader went, and says how far it came."""
    argv = [PUBLISH, "--redis", redis.url, "--lines", topic]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.close()
        child.stdin.write(b"1\n")
        child.stdin.flush()
        assert child.wait(DEADLINE) == 128 + signal.SIGPIPE
        assert "stopped behind line 1 of the input: --resume-from 2 goes on" in child.stderr.read().decode()


class Terminal:
    """sse-publish with a terminal as its standard error, and as its standard output too if so asked."""

    def __init__(self, redis, *args, out=subprocess.DEVNULL):
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        self.child = subprocess.Popen([str(a) for a in (PUBLISH, *args)], stdin=subprocess.PIPE,
                                      stdout=theirs if out is None else out, stderr=theirs,
                                      env=relay_env({"REDIS_URL": redis.url, "TERM": "xterm"}))
        os.close(theirs)
        self.text = ""

    def read_until(self, pattern):
        while not re.search(pattern, self.text):
            self.text += os.read(self.ours, 4096).decode()

    def read_all(self):
        try:
            while piece := os.read(self.ours, 4096):
                self.text += piece.decode()
        except OSError:
            pass
        os.close(self.ours)
        return self.child.wait(DEADLINE)

    def screen(self):
        """The lines that stand there at the end."""
        lines = []
        for line in re.sub(r"\033\[\d+m", "", self.text).split("\n"):
            shown, at = "", 0
            for part in re.split(r"(\r|\033\[K)", line):
                if part == "\r":
                    at = 0
                elif part == "\033[K":
                    shown = shown[:at]
                else:
                    shown = shown[:at] + part + shown[at + len(part):]
                    at += len(part)
            lines.append(shown)
        return lines


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs termios.tcsetwinsize")
def test_progress_bar(redis, topic, tmp_path):
    """On a terminal a bar with rate, ETA and errors; at the end it is gone and the summary stands in its place."""
    path = tmp_path / "lines"
    path.write_bytes(b"\xff\n" + b"x\n" * 200)
    terminal = Terminal(redis, "--lines", "--rate", "200/s", "--on-error", "skip", topic, path)
    terminal.read_until(r"\[#+\.+\] +\d+ %  \d+ events  [\d.,]+/s  ETA 0:0\d  1 error")
    assert terminal.read_all() == 1
    lines = terminal.screen()
    assert len(lines) == 3 and lines[2] == "", lines
    assert f"{path}:1: the data is not valid UTF-8" in lines[0]
    assert re.fullmatch(SUMMARY + "; 1 skipped", lines[1]), lines


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs termios.tcsetwinsize")
def test_progress_bar_with_ids(redis, topic):
    """Ids on the same terminal stand above the bar, none of them broken; the size of a pipe is not known: no ETA."""
    terminal = Terminal(redis, "--lines", "--rate", "100/s", topic, out=None)
    terminal.child.stdin.write(b"x\n" * 60)
    terminal.child.stdin.close()
    terminal.read_until(r"\d+ events  [\d.,]+/s  0:0\d")
    assert terminal.read_all() == 0 and "ETA" not in terminal.text
    lines = terminal.screen()
    assert all(re.fullmatch(r"[0-9a-f]{12}\.1\.[0-9a-z]+-[0-9a-z]+", line) for line in lines[:60]), lines
    assert re.fullmatch(SUMMARY, lines[60]) and lines[61:] == [""]


def test_no_bar_where_there_is_no_terminal(redis, topic):
    done = publish(redis, "--lines", "--rate", "100/s", topic, stdin=b"x\n" * 60)
    assert re.fullmatch(SUMMARY + "\n", done.stderr)


# ---- how it ends ----


def test_interrupt_and_resume(redis, topic, tmp_path):
    """Ctrl-C waits for answers and says how to go on; that gives each line once."""
    path = write_lines(tmp_path / "lines", range(10_000))
    with Publisher(redis, "--lines", "--history", "20000", "--rate", "5000/s", topic, path) as publisher:
        wait_until(lambda: length_of(redis, topic) > 100, "some lines")
        publisher.interrupt()
        assert publisher.wait() == 128 + signal.SIGINT
        number = re.search(r"stopped behind line (\d+) of the input: --resume-from (\d+) goes on", publisher.err)
        assert int(number[1]) == length_of(redis, topic) == len(publisher.ids) == int(number[2]) - 1
    publish(redis, "--lines", "--history", "20000", "--resume-from", number[2], topic, path)
    assert data_of(redis, topic) == [str(n) for n in range(10_000)]


def test_a_second_interrupt_does_not_wait(own_redis, topic):
    """... and says which lines nobody knows about."""
    with Publisher(own_redis, "--lines", topic) as publisher:
        publisher.give("known")
        wait_until(lambda: publisher.ids, "an id")
        own_redis.pause()
        publisher.give("unknown", "unknown too")
        wait_until(lambda: not publisher.child.stdin.closed and _read(publisher), "the lines to be read")
        publisher.interrupt()
        publisher.interrupt(signal.SIGTERM)
        code = publisher.wait()
        own_redis.resume()
        assert code in (128 + signal.SIGINT, 128 + signal.SIGTERM), publisher.err
        assert "lines 2 to 3 of the input may be published or not" in publisher.err


def _read(publisher):
    """Whether nothing is left in the pipe of its standard input, and it sent what it read."""
    import fcntl
    import struct

    left = struct.unpack("i", fcntl.ioctl(publisher.child.stdin, termios.FIONREAD, b"\0\0\0\0"))[0]
    state = open(f"/proc/{publisher.child.pid}/stat", encoding="utf-8").read().rpartition(")")[2].split()[0]
    return left == 0 and state == "S"


# ---- replay ----


def recording(topic, *times):
    lines = [{"event": "relay.live", "id": "x", "data": "{}"}]
    lines += [{"topic": topic, "event": "tick", "id": f"old.{n}", "time": time, "data": f"{n}"}
              for n, time in enumerate(times)]
    lines += [{"event": "relay.reset", "data": "{}", "topic": topic}, {"topic": topic, "data": "no time"}]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_replay(redis, topic, tmp_path):
    """A recording with its timing, divided by --speed; the relay's own events are left out."""
    path = tmp_path / "recording"
    path.write_text(recording(topic, 1_700_000_000_000, 1_700_000_003_000))
    done = publish(redis, "replay", "--speed", "10", path)
    (first, event), (second, _), (third, _) = entries_of(redis, topic)
    assert event == {"event": "tick", "data": "0"} and data_of(redis, topic) == ["0", "1", "no time"]
    gap, rest = (int(b.split("-")[0]) - int(a.split("-")[0]) for a, b in ((first, second), (second, third)))
    assert gap >= 200 and rest < gap and len(done.stdout.split()) == 3


def test_replay_again_and_elsewhere(redis, topic, tmp_path):
    """--repeat loops it, -t says where to."""
    path = tmp_path / "recording"
    path.write_text(recording(f"{topic}.old", 5, 6))
    publish(redis, "replay", "--repeat", "2", "-t", f"{topic}.new", path)
    assert data_of(redis, f"{topic}.new") == ["0", "1", "no time"] * 2 and length_of(redis, f"{topic}.old") == 0


def test_what_history_prints_can_be_replayed(redis, topic, tmp_path):
    """`history --json` and `tail --json` print what replay and --ndjson read."""
    lines = "".join(f'{{"data":{{"n": {n}}},"event":"e"}}\n' for n in range(5))
    publish(redis, "--ndjson", "-t", topic, stdin=lines.encode())
    path = tmp_path / "recording"
    path.write_text(publish(redis, "history", "--json", topic).stdout)
    publish(redis, "replay", "-t", f"{topic}.again", path)
    publish(redis, "--ndjson", path)
    events = [event for _, event in entries_of(redis, f"{topic}.again")]
    assert events == [{"event": "e", "data": f'{{"n":{n}}}'} for n in range(5)]
    assert [event for _, event in entries_of(redis, topic)] == events * 2


# ---- the same from everywhere ----


SAME = {
    "plain": ([], "", "hello"),
    "name": (["--event", "greeting"], "&event=greeting", "gr\u00fc\u00df dich"),
    "retry": (["--retry", "5s"], "&retry=5000", "x"),
    "lines": ([], "", "a\nb\r\nc\rd"),
    "json": ([], "", '{"a": [1, 2], "b": "\\u00fc"}'),
    "controls": ([], "", "tab\t quote\" backslash\\ bell\7 del\x7f"),
    "empty": ([], "", ""),
}


@pytest.mark.parametrize("how", [[], ["--live"]], ids=["durable", "live"])
@pytest.mark.parametrize("options, query, data", SAME.values(), ids=SAME.keys())
def test_the_same_event_from_everywhere(relay, redis, topic, options, query, data, how):
    """Through the command line, one or many, through POST and through PUBLISH: a subscriber gets the same bytes."""
    names = ["event", "retry"]
    fields = {name: value for name, value in zip(names, [options[1] if "--event" in options else None,
                                                         5000 if "--retry" in options else None]) if value}
    with relay.live(topic) as stream:
        begin = len(stream.raw)
        publish(redis, *how, *options, topic, "--", data)
        publish(redis, *how, *options, topic, "-", stdin=data.encode())
        publish(redis, *how, "--ndjson", "-t", topic, stdin=json.dumps({**fields, "data": data}).encode())
        line = json.dumps({**fields, "data": data})
        publish(redis, *how, "--ndjson", "-t", topic, stdin=f"{line}\n{line}".encode())
        relay.post(f"/sse?topic={topic}{query}{'&live' if how else ''}", data.encode())
        sent = 6
        if how:
            redis.publish(topic, "sse1 - - " + json.dumps({**fields, "data": data}))
            sent += 1
            if not options:
                redis.publish(topic, data)
                sent += 1
        redis.publish(topic, "end")
        stream.wait_data("end")
        text = re.sub(rb"id: [^\n]+\n", b"id\n", bytes(stream.raw[begin:]))
        blocks = [block for block in text.split(b"\n\n") if block and not block.startswith(b":")]
    assert len(blocks) == sent + 1 and len(set(blocks[:-1])) == 1, blocks
