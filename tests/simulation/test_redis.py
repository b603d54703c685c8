"""The simulated Redis against a real one: worlds write down what was asked of it and what it said, and the
same is sent to a redis-server.

Two things are pinned, so that the answers must be equal to the letter: in the script, TIME and the run_id are
read from two keys, which are set before each call. What dies by its time to live in a world is deleted when the
world finds it dead.
"""

import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
WORLDS = range(1, 9)
PINNED = {"call('TIME')": "{call('GET', 'pin:s'), call('GET', 'pin:us')}",
          "redis.pcall('INFO', 'server')": "'run_id:' .. call('GET', 'pin:run')"}


class Redis:
    """One connection, RESP2."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        return rest if kind == b"+" else Exception(rest.decode())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("redis")
    path = directory / "socket"
    process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory],
                               stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Redis(path)("PING") == b"PONG":
                break
        except OSError:
            time.sleep(0.05)
    yield path
    process.terminate()
    process.wait(60)


def pinned_script():
    text = (ROOT / "relay/wire/publish.lua").read_text()
    for real, pin in PINNED.items():
        assert text.count(real) == 1, f"publish.lua asks for {real} elsewhere too, or no more: change PINNED"
        text = text.replace(real, pin)
    return text


def publish(redis, denied, script, line):
    redis("SET", "pin:s", line["us"] // 1000000)
    redis("SET", "pin:us", line["us"] % 1000000)
    redis("SET", "pin:run", line["run"])
    answer = (denied if line["denied"] else redis)("EVAL", script, len(line["keys"]), *line["keys"], *line["values"])
    if isinstance(answer, Exception):
        return str(answer)[:5]
    return answer.decode()


def clock(redis):
    answer = [text.decode() for text in redis("HGETALL", "sse:{0}:clock")]
    return dict(zip(answer[::2], answer[1::2]))


def entries(redis, line):
    low, high = "(" + line["low"], line["high"]
    low, high = "-" if low == "(0-0" else low, "+" if high.startswith("18446744073709551615-") else high
    ends = (high, low) if line["backwards"] else (low, high)
    found = redis("XREVRANGE" if line["backwards"] else "XRANGE", line["key"], *ends, "COUNT", line["count"])
    result = []
    for place, fields in found:
        fields = dict(zip(fields[::2], fields[1::2]))
        result.append([place.decode(), json.loads(fields[b"e"])["data"], fields[b"p"].decode(), fields[b"g"].decode()])
    return result


def keys(redis):
    return [key for key in redis("KEYS", "sse:*")]


def replay(path, lines, node_entries):
    redis, denied, script, copy, compared = Redis(path), Redis(path), pinned_script(), {}, 0
    redis("FLUSHALL")
    redis("CONFIG", "SET", "stream-node-max-entries", node_entries)
    redis("CONFIG", "SET", "stream-node-max-bytes", 0)
    redis("ACL", "SETUSER", "mute", "on", ">mute", "~*", "+@all", "resetchannels")
    denied("AUTH", "mute", "mute")
    for line in lines:
        what, answer = line["do"], None
        if what == "script":
            answer = publish(redis, denied, script, line)
        elif what == "clock":
            answer = clock(redis)
        elif what == "last":
            answer = redis("GET", line["key"])
            answer = answer and answer.decode()
        elif what == "log":
            answer = entries(redis, line)
        elif what == "del":
            redis("DEL", line["key"])
        elif what == "trim":
            redis("XTRIM", line["key"], "MAXLEN", "=", line["keep"])
        elif what == "copy":
            copy = {key: redis("DUMP", key) for key in keys(redis)}
        elif what == "failover":
            redis("FLUSHALL")
            for key, value in copy.items():
                redis("RESTORE", key, 0, value)
        if "answer" in line:
            assert answer == line["answer"], line
            compared += 1
    return compared


@pytest.mark.parametrize("seed", WORLDS)
def test_answers_are_those_of_a_real_redis(server, tmp_path, seed):
    file = tmp_path / "record"
    told = subprocess.run([BUILD / "tests/simulation/simulate", "--worlds", "12", "--seed", str(seed), "--record", file],
                          stdout=subprocess.PIPE, text=True, timeout=250)
    assert file.exists(), told.stdout
    compared, world, node_entries = 0, [], 1
    for line in map(json.loads, file.read_text().splitlines()):
        if line["do"] == "world":
            compared += replay(server, world, node_entries)
            world, node_entries = [], line["node_entries"]
        else:
            world.append(line)
    compared += replay(server, world, node_entries)
    assert compared > 500
