#!/usr/bin/env python3
"""What a deployment has to have: `make bench-capacity`. The figures of deploy/capacity.md come from here.

Memory of idle connections, in the process and in the kernel; CPU of idle connections and of deliveries; and of Redis: memory
for each event in a log, CPU for each publish and relay, bytes to a relay, to the append-only file and to a replica.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

from durable import BATCH, ROOT, Bench
from resp import RedisClient
from servers import H2, STREAMS, Process, certificate, free_port

SIZES = (100, 1000, 10000)
# How subscribers may come: whether by TLS, and the load generator's options.
WAYS = {"HTTP/1.1": (False, ()), "HTTP/1.1 by TLS": (True, ("--tls",)), "HTTP/2 by TLS": (True, ("--tls", *H2)), "HTTP/2 in cleartext": (False, H2)}
PLAIN = "HTTP/1.1"
# What the kernel keeps for an open TCP connection that is polled and has nothing in its buffers.
CACHES = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi", "ep_head", "lsm_file_cache")
DENTRY = 192  # one for each socket; counted apart, since everybody on the machine makes some


def kernel_bytes():
    """What those caches of the kernel hold, in bytes; None where it does not say (it tells root only)."""
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            rows = [line.split() for line in file.read().splitlines()[2:]]
    except OSError:
        return None
    return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in CACHES)


def start_relay(b, way):
    """A fresh one, warmed by a few subscribers, so that what the first handshake of a process loads is not counted."""
    if not WAYS[way][0]:
        b.start_relay()
        return
    cert, key = certificate(b.directory)
    b.start_relay("https://", "--tls-cert", cert, "--tls-key", key)
    sseload(b, "idle", *WAYS[way][1], "--subscribers", 4, "--seconds", 0.1).communicate()


def sseload(b, mode, *options):
    command = [b.build / "tests/bench/sseload", mode, "--target", f"127.0.0.1:{b.relay_port}", "--ready-event", "relay.live",
               "--publish-redis", f"127.0.0.1:{b.redis_port}", "--pid", f"server:{b.relay.popen.pid}", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def idle(b, way, connections, seconds):
    """Bytes of the process and of the kernel, and seconds of CPU a second, for so many streams with a heartbeat of 15 s."""
    start_relay(b, way)
    time.sleep(1)
    before = kernel_bytes()
    load = sseload(b, "idle", *WAYS[way][1], "--subscribers", connections, "--seconds", seconds)
    time.sleep(seconds * 0.6)
    after = kernel_bytes()
    figures = json.loads(load.communicate()[0])["usage"]["server"]
    # The generator's ends of the connections are in this kernel too.
    sockets = connections // STREAMS if H2[0] in WAYS[way][1] else connections
    kernel = None if before is None else (after - before) / 2 + DENTRY * sockets
    return {"connections": connections, "user": figures["memory_before"] - figures["memory_idle"], "kernel": kernel,
            "cores": figures["cpu_ns"] / seconds / 1e9}


def per_connection(b, way, connections, seconds):
    """From two runs, so that what every relay has anyhow is not counted."""
    half, full = (idle(b, way, count, seconds) for count in (connections // 2, connections))
    each = lambda what: None if full[what] is None else (full[what] - half[what]) / (full["connections"] - half["connections"])
    return {what: each(what) for what in ("user", "kernel", "cores")}


def deliveries(b, way, subscribers, rate, size, seconds):
    """Cores of the relay for 100,000 deliveries a second."""
    start_relay(b, way)
    out = json.loads(sseload(b, "load", *WAYS[way][1], "--subscribers", subscribers, "--rate", rate, "--size", size, "--seconds", seconds).communicate()[0])
    if out["lost"] or out["duplicates"] or out["damaged"]:
        raise SystemExit(f"deliveries were lost: {out}")
    return {"way": way, "subscribers": subscribers, "size": size, "cores": out["usage"]["server"]["cpu_ns"] / out["deliveries"] * 1e-4}


def log_memory(b, size):
    """Bytes of Redis for each event of a log of 1,000, and for a topic with a single event."""
    event = json.dumps({"data": "x" * size}, separators=(",", ":"))
    for topic, count in (("many", 2 * BATCH), ("one", 1)):
        b.redis("DEL", f"sse:{{0}}:log:{topic}")
        b.redis.pipeline([b.publish_command(topic, event=event)] * count)
    used = lambda key: b.redis("MEMORY", "USAGE", key, "SAMPLES", "0")
    one = used("sse:{0}:log:one") + used("sse:{0}:last:one")
    return {"size": size, "event": (used("sse:{0}:log:many") - used("sse:{0}:log:one")) / (2 * BATCH - 1), "topic": one - size}


def cpu(process):
    fields = pathlib.Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stat(b, section, name):
    return int(next(line.split(":")[1] for line in b.redis("INFO", section).decode().splitlines() if line.startswith(name + ":")))


def publishing(b, relays, count, batch=BATCH, size=100):
    """µs of Redis's CPU and bytes out for each durable publish, @batch of them sent at a time, with so many relays that listen (each a
    plain subscriber here)."""
    clients = [RedisClient(("127.0.0.1", b.redis_port)) for _ in range(relays)]
    for client in clients:
        client("SUBSCRIBE", "sse:fan")
    event = json.dumps({"data": "x" * size}, separators=(",", ":"))
    command = b.publish_command("fan", event=event)
    before, out = cpu(b.redis_server), stat(b, "stats", "total_net_output_bytes")
    for _ in range(count // batch):
        b.redis.pipeline([command] * batch)
        for client in clients:
            client.sock.recv(1 << 22)
    spent, sent = cpu(b.redis_server) - before, stat(b, "stats", "total_net_output_bytes") - out
    for client in clients:
        client.close()
    return {"relays": relays, "batch": batch, "us": spent / count * 1e6, "out": sent / count}


def writing(b, directory, count, size=100):
    """Bytes for each durable publish to the append-only file, and to a replica."""
    port = free_port()
    os.mkdir(f"{directory}/replica")
    replica = Process(f"{directory}/replica", "replica", port, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                      "--replicaof", "127.0.0.1", str(b.redis_port))
    b.redis("CONFIG", "SET", "appendonly", "yes")
    client = RedisClient(("127.0.0.1", port))
    while b"master_link_status:up" not in client("INFO", "replication") or stat(b, "persistence", "aof_rewrite_in_progress"):
        time.sleep(0.1)
    event = json.dumps({"data": "x" * size}, separators=(",", ":"))
    file, stream = stat(b, "persistence", "aof_current_size"), stat(b, "replication", "master_repl_offset")
    b.redis.pipeline([b.publish_command("written", event=event)] * count)
    b.redis("SET", "end", "1")
    result = {"file": (stat(b, "persistence", "aof_current_size") - file) / count,
              "replica": (stat(b, "replication", "master_repl_offset") - stream) / count}
    client.close()
    b.redis("CONFIG", "SET", "appendonly", "no")
    replica.stop()
    return result


def main():
    parser = argparse.ArgumentParser(description="Measures what deploy/capacity.md says.")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as directory:
        b = Bench(options.build.resolve(), directory)
        try:
            figures = {
                "connection": {way: per_connection(b, way, 10000 // share, 30 if way == PLAIN else 15) for way in WAYS},
                "deliveries": [deliveries(b, PLAIN, subscribers // share, 100000 // subscribers, size, 8)
                               for subscribers in (1000, 10000) for size in (100, 1000)]
                + [deliveries(b, way, 1000 // share, 100, 100, 8) for way in WAYS if way != PLAIN],
                "log": [log_memory(b, size) for size in SIZES],
                "publishing": [publishing(b, relays, 100000 // share) for relays in (0, 1, 3, 10)]
                + [publishing(b, 3, 50000 // share, batch=1)],
                "writing": writing(b, directory, 1000),
            }
        finally:
            b.stop()
    for way, c in figures["connection"].items():
        kernel = "unknown (only root may ask)" if c["kernel"] is None else f"{c['kernel'] / 1024:.2f} KiB"
        print(f"An idle stream of {way}: {c['user'] / 1024:.2f} KiB in the process, {kernel} in the kernel; 10,000 of them: {c['cores'] * 1e6:.1f} % of a core")
    for d in figures["deliveries"]:
        print(f"100,000 deliveries a second of {d['size']:,} bytes to {d['subscribers']:,} subscribers of {d['way']}: {d['cores']:.2f} cores")
    for l in figures["log"]:
        print(f"An event of {l['size']:,} bytes in a log: {l['event']:.0f} bytes of Redis; a topic with one event: {l['topic']} and the event")
    for p in figures["publishing"]:
        print(f"A durable publish with {p['relays']} relays, {p['batch']} at a time: {p['us']:.1f} µs of Redis's CPU, {p['out']:.0f} bytes out")
    print(f"It writes {figures['writing']['file']:.0f} bytes to the append-only file, {figures['writing']['replica']:.0f} to each replica")
    output = options.build / "bench-capacity.json"
    output.write_text(json.dumps({"machine": os.uname().release, **figures}, indent=2) + "\n")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
