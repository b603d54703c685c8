#!/usr/bin/env python3
"""What durable topics cost, and what they spare: `make bench-durable`.

Five figures, each beside what it is measured against: Redis's CPU per publish (INFO commandstats); a replay of a whole log
beside reading its pages with no relay; the bytes that
catching up with many topics takes from Redis beside those that it delivers; the silence and the losses after CLIENT KILL TYPE pubsub; and the
commands that Redis sees when very many clients reconnect at once to a relay that has just started.
"""

import argparse
import json
import os
import pathlib
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from servers import Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from resp import RedisClient  # noqa: E402  (the tests' own client)

DATA = "x" * 100
EVENT = json.dumps({"data": DATA}, separators=(",", ":"))
BATCH = 500


class Bench:
    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.redis_port, self.relay_port = free_port(), free_port()
        self.redis_server = Process(directory, "redis", self.redis_port, "redis-server", "--port", str(self.redis_port),
                                    "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self.redis = RedisClient(("127.0.0.1", self.redis_port))
        self.sha = self.redis("SCRIPT", "LOAD", (ROOT / "relay/wire/publish.lua").read_text()).decode()
        info = self.redis("INFO", "server").decode()
        self.run_id = next(line[7:] for line in info.splitlines() if line.startswith("run_id:"))
        self.relay = None
        self.start_relay()

    def start_relay(self, scheme="", *options):
        if self.relay:
            self.relay.popen.kill()
            self.relay.popen.wait()
        self.relay = Process(self.directory, "relay", self.relay_port, str(self.build / "sse-relay"), "--workers", "1",
                             "--listen", f"{scheme}127.0.0.1:{self.relay_port}", "--redis",
                             f"redis://127.0.0.1:{self.redis_port}", "--drain", "0s", "--drain-grace", "0s", *options)

    def publish_command(self, topic, history=1000, event=EVENT):
        return ("EVALSHA", self.sha, "3", "sse:{0}:clock", f"sse:{{0}}:log:{topic}", f"sse:{{0}}:last:{topic}", "benchbirth",
                self.run_id, str(7 * 86400000), "3600000", str(history), event, "", f"sse:{topic}")

    def pipelined(self, command, count):
        for _ in range(count // BATCH):
            self.redis.pipeline([command] * BATCH)

    def usec_per_call(self, name):
        for line in self.redis("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{name}:"):
                return float(line.split("usec_per_call=")[1].split(",")[0])
        raise SystemExit(f"Redis ran no {name}")

    def stream(self, query, cursor=None):
        s = socket.create_connection(("127.0.0.1", self.relay_port))
        head = f"GET /sse?{query} HTTP/1.0\r\nHost: localhost\r\n"
        s.sendall((head + (f"Last-Event-ID: {cursor}\r\n" if cursor else "") + "\r\n").encode())
        return s

    def read_until_live(self, s):
        """What came up to relay.live."""
        seen = bytearray()
        while b"relay.live" not in seen[-400:]:
            seen += s.recv(1 << 20)
        return bytes(seen)

    def stop(self):
        self.relay.stop()
        self.redis.close()
        self.redis_server.stop()


def publish_cost(b, count):
    """Redis's CPU in µs per call, each alone."""
    cost = {}
    for name, command in (("evalsha", b.publish_command("cost")), ("xadd", ("XADD", "plain", "MAXLEN", "~", "1000", "*", "e", EVENT)),
                          ("publish", ("PUBLISH", "plain", EVENT))):
        b.redis("CONFIG", "RESETSTAT")
        b.pipelined(command, count)
        cost[name] = b.usec_per_call(name)
    return cost


def replay(b, count, repeat):
    """Seconds to replay a whole log to one client, and to read it in pages with no relay."""
    b.pipelined(b.publish_command("replay", history=2 * count), count)
    with_relay, without = [], []
    for _ in range(repeat):
        done = subprocess.run([b.build / "tests/bench/logread", "127.0.0.1", str(b.redis_port), "sse:{0}:log:replay", "1000"],
                              check=True, capture_output=True, text=True).stdout.split()
        without.append(float(done[1]))
        start = time.monotonic()
        with b.stream("topic=replay&since=1h") as s:
            seen = b.read_until_live(s)
        with_relay.append(time.monotonic() - start)
        if seen.count(b"\ndata: x") != count or b"relay.reset" in seen:
            raise SystemExit(f"the replay brought {seen.count(b'data: x')} of {count} events")
    return {"events": count, "relay_s": statistics.median(with_relay), "pages_s": statistics.median(without),
            "ratio": statistics.median(r / p for r, p in zip(with_relay, without))}


def stall(b, rate, seconds):
    """The longest silence at @rate events a second with the subscription connection killed half-way, and what is missing."""
    arrivals, numbers = [], []
    s = b.stream("topic=stall")
    b.read_until_live(s)
    s.settimeout(3)
    total = rate * seconds

    def receive():
        rest = b""
        while len(numbers) < total:
            try:
                rest += s.recv(1 << 20)
            except TimeoutError:
                return
            arrivals.append(time.monotonic())
            *lines, rest = rest.split(b"\n")
            numbers.extend(int(line[6:]) for line in lines if line.startswith(b"data: "))

    reader = threading.Thread(target=receive)
    reader.start()
    start, sent, killed = time.monotonic(), 0, False
    while sent < total:
        due = min(total, int((time.monotonic() - start) * rate))
        if due > sent:
            b.redis.pipeline([b.publish_command("stall", 100000, json.dumps({"data": str(n)})) for n in range(sent, due)])
            sent = due
        if sent >= total // 2 and not killed:
            b.redis("CLIENT", "KILL", "TYPE", "pubsub")
            killed = True
        time.sleep(0.002)
    reader.join()
    s.close()
    longest = max(later - earlier for earlier, later in zip(arrivals, arrivals[1:]))
    return {"rate": rate, "longest_silence_s": longest, "missing": total - len(set(numbers)),
            "doubled": len(numbers) - len(set(numbers)), "in_order": numbers == sorted(numbers)}


def catch_up(b, count, live):
    """Bytes from Redis per byte delivered, where one client comes back on 40 topics: events of 100 bytes, one of 200 of 1 MiB,
    @count of them to begin with, and @live a second while it reads. What Redis sent to the channels is not counted."""
    rng, number, topics = random.Random(1), 0, [f"many{n}" for n in range(40)]

    def some(n):
        nonlocal number
        commands = []
        for _ in range(n):
            number += 1
            data = "x" * (1 << 20) if number % 200 == 0 else DATA
            commands.append(b.publish_command(rng.choice(topics), 100000, json.dumps({"data": data})))
        b.redis.pipeline(commands)
        return sum(len(command[11]) for command in commands)

    def sent():
        return int(b.redis("INFO", "stats").decode().split("total_net_output_bytes:")[1].split()[0])

    for _ in range(count // 100):
        some(100)
    b.start_relay()
    time.sleep(0.5)
    before, announced, delivered, ended = sent(), 0, [], threading.Event()
    s = b.stream(f"topics={','.join(topics)}&since=1h")

    def receive():
        seen, looked = bytearray(), 0
        while seen.find(b"event: relay.live", looked) < 0:  # events go on behind it
            looked = max(0, len(seen) - 20)
            seen += s.recv(1 << 20)
        delivered.append(len(seen))
        ended.set()

    reader = threading.Thread(target=receive)
    reader.start()
    start = time.monotonic()
    while not ended.wait(0.02) and time.monotonic() - start < 120:
        announced += some(max(1, int(live * 0.02)))
    seconds = time.monotonic() - start
    if not ended.is_set():
        raise SystemExit(f"a reader of {len(topics)} topics did not come to the present within {seconds:.0f} s")
    reader.join()
    s.close()
    return {"topics": len(topics), "live": live, "seconds": seconds, "delivered_bytes": delivered[0],
            "read_bytes": sent() - before - announced, "ratio": (sent() - before - announced) / delivered[0]}


def storm(b, clients):
    """Commands that Redis runs when @clients reconnect within the last 1,000 events to a relay that has just started."""
    b.pipelined(b.publish_command("storm", history=5000), 5000)
    with b.stream("topic=storm&last=1001") as s:
        lines = b.read_until_live(s).split(b"\n")
    ids = [line[4:].decode() for line in lines if line.startswith(b"id: ")][:1000]
    b.start_relay()
    time.sleep(0.5)
    b.redis("CONFIG", "RESETSTAT")
    selector, live, start = selectors.DefaultSelector(), 0, time.monotonic()
    for i in range(clients):
        s = socket.socket()
        s.setblocking(False)
        s.bind((f"127.0.0.{2 + i % 8}", 0))
        s.connect_ex(("127.0.0.1", b.relay_port))
        selector.register(s, selectors.EVENT_WRITE, [random.choice(ids), b""])
    while live < clients:
        for key, events in selector.select(5):
            s = key.fileobj
            if events & selectors.EVENT_WRITE:
                s.send(f"GET /sse?topic=storm HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {key.data[0]}\r\n\r\n".encode())
                selector.modify(s, selectors.EVENT_READ, key.data)
                continue
            key.data[1] = (key.data[1] + s.recv(1 << 18))[-400:]
            if b"relay.live" in key.data[1]:
                live += 1
                selector.unregister(s)
    seconds, commands = time.monotonic() - start, {}
    for line in b.redis("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_"):
            name = line[8:].split(":")[0]
            if name not in ("publish", "config|resetstat", "info", "ping"):  # the probe's, and ours
                commands[name] = int(line.split("calls=")[1].split(",")[0])
    return {"clients": clients, "seconds": seconds, "redis_commands": commands}


def main():
    parser = argparse.ArgumentParser(description="Measures durable topics; see tests/bench/README.md.")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as directory:
        b = Bench(options.build.resolve(), directory)
        try:
            figures = {"publish_us": publish_cost(b, 200000 // share), "replay": replay(b, 100000 // share, 5),
                       "catch_up": catch_up(b, 20000 // share, 300), "kill": stall(b, 3000, 6), "storm": storm(b, 10000 // share)}
        finally:
            b.stop()
    us, r, k, s = figures["publish_us"], figures["replay"], figures["kill"], figures["storm"]
    c = figures["catch_up"]
    print(f"Redis CPU per durable publish {us['evalsha']:.1f} µs; bare XADD {us['xadd']:.1f}, bare PUBLISH {us['publish']:.2f}")
    print(f"Replay of {r['events']:,} events {r['relay_s']:.3f} s; their pages without a relay {r['pages_s']:.3f} s; ratio {r['ratio']:.2f}")
    print(f"Catching up on {c['topics']} topics at {c['live']} events/s, 1 MiB among 100 bytes: {c['seconds']:.1f} s, "
          f"{c['read_bytes'] / 1e6:.0f} MB from Redis for {c['delivered_bytes'] / 1e6:.0f}; ratio {c['ratio']:.2f}")
    print(f"Subscription killed at {k['rate']:,} events/s: longest silence {k['longest_silence_s']:.3f} s, {k['missing']} missing, "
          f"{k['doubled']} doubled, {'in order' if k['in_order'] else 'OUT OF ORDER'}")
    print(f"{s['clients']:,} clients reconnect at once: {s['seconds']:.1f} s, Redis ran {s['redis_commands']}")
    output = options.build / "bench-durable.json"
    output.write_text(json.dumps({"machine": os.uname().release, **figures}, indent=2) + "\n")
    print(f"written to {output}")
    if k["missing"] or k["doubled"] or not k["in_order"]:
        raise SystemExit("events were lost, doubled or disordered")


if __name__ == "__main__":
    main()
