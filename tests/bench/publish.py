#!/usr/bin/env python3
"""How fast sse-publish is with many events: `make bench-publish`.

Durable events beside redis-benchmark with one call of the publish script per event, live ones beside its PUBLISH, both with -P 64;
each pair one after the other, so that a machine that others use too is the same for both. The ratios are what counts.
"""

import argparse
import csv
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from servers import Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from resp import RedisClient  # noqa: E402  (the tests' own client)

DATA = "x" * 100
EVENT = json.dumps({"data": DATA}, separators=(",", ":"))
WANTED = {"durable": 1.5, "live": 0.7}


class Bench:
    def __init__(self, build, directory):
        self.publish = build / "sse-publish"
        self.port = free_port()
        self.server = Process(directory, "redis", self.port, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                              "--save", "", "--appendonly", "no")
        self.redis = RedisClient(("127.0.0.1", self.port))
        self.sha = self.redis("SCRIPT", "LOAD", (ROOT / "relay/wire/publish.lua").read_text()).decode()
        info = self.redis("INFO", "server").decode()
        self.run_id = next(line[7:].strip() for line in info.splitlines() if line.startswith("run_id:"))

    def peer(self, count, *command):
        """Events a second of redis-benchmark."""
        done = subprocess.run(["redis-benchmark", "-p", str(self.port), "-P", "64", "-n", str(count), "--csv", *command],
                              check=True, capture_output=True, text=True)
        row = list(csv.reader(io.StringIO(done.stdout)))[-1]
        return float(row[1])

    def peer_durable(self, count):
        return self.peer(count, "EVALSHA", self.sha, "3", "sse:{0}:clock", "sse:{0}:log:peer", "sse:{0}:last:peer", "benchbirth",
                         self.run_id, str(7 * 86400000), "3600000", "1000", EVENT, "", "sse:peer")

    def peer_live(self, count):
        return self.peer(count, "PUBLISH", "sse:peer", "sse1 - - " + EVENT)

    def ours(self, path, count, *options):
        """Events a second of sse-publish, from its start to its end; and its own CPU in µs per event."""
        before, start = os.times(), time.monotonic()
        subprocess.run([self.publish, "--redis", f"redis://127.0.0.1:{self.port}", *options, "--lines", "ours", path], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, after = time.monotonic() - start, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return count / seconds, cpu * 1e6 / count

    def stop(self):
        self.redis.close()
        self.server.stop()


def measure(b, directory, kind, count, repeat):
    path = pathlib.Path(directory) / f"lines-{kind}"
    path.write_text((DATA + "\n") * count)
    options = ["--live"] if kind == "live" else []
    ours, cpu, peers = [], [], []
    for _ in range(repeat):
        peers.append((b.peer_live if kind == "live" else b.peer_durable)(count))
        speed, spent = b.ours(path, count, *options)
        ours.append(speed)
        cpu.append(spent)
    return {"events": count, "ours": statistics.median(ours), "peer": statistics.median(peers), "cpu_us": statistics.median(cpu),
            "ratio": statistics.median(o / p for o, p in zip(ours, peers)), "wanted": WANTED[kind]}


def main():
    parser = argparse.ArgumentParser(description="Measures sse-publish with many events; see tests/bench/README.md.")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as directory:
        b = Bench(options.build.resolve(), directory)
        try:
            figures = {kind: measure(b, directory, kind, count // share, 5)
                       for kind, count in (("durable", 300_000), ("live", 1_000_000))}
        finally:
            b.stop()
    for kind, f in figures.items():
        print(f"{kind:8} {f['ours']:10,.0f} events/s, redis-benchmark {f['peer']:10,.0f}: {f['ratio']:.2f} times (wanted: {f['wanted']}); "
              f"sse-publish spends {f['cpu_us']:.2f} µs an event")
    output = options.build / "bench-publish.json"
    output.write_text(json.dumps({"machine": os.uname().release, **figures}, indent=2) + "\n")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
