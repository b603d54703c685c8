"""Measures the relay beside a bare loop and Nchan, and prints figures and ratios; `make bench` is this.

Every measurement starts its server afresh, alone with the load generator. All servers take turns at one
measurement before the next, and the whole is repeated, so that what else the machine does hits all alike;
medians are shown, and ratios are medians of the ratios within one repetition. README.md here says how to
read it.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys

import servers

from servers import ROOT

DELIVERIES_PER_SECOND = 60000
# What must be zero in every result, and what it means when it is not.
FAULTS = {
    "lost": "events lost", "duplicates": "duplicates", "late": "out of order", "damaged": "damaged",
    "resets": "resets", "refused": "subscribers refused", "broken": "connections broken",
    "publish_refused": "publishes refused", "unanswered": "publishes unanswered",
}


class Measure:
    """One kind of load; `key` names it in the JSON."""

    def __init__(self, mode, subscribers, *options, name=None):
        self.mode, self.name, self.subscribers = mode, name or mode, subscribers
        self.key = f"{self.name}-{subscribers}"
        self.options = [mode, "--subscribers", str(subscribers), *options]


def measures(args):
    seconds = ["--seconds", str(args.seconds), "--size", str(args.size)]
    short = ["--seconds", str(min(args.seconds, 3)), "--size", str(args.size)]
    for subscribers in (100, 1000) if args.tls else (100, 1000, 10000):
        yield Measure("load", subscribers, "--rate", str(DELIVERIES_PER_SECOND / subscribers), *seconds)
    if args.tls or args.before:
        for subscribers in (100, 1000) if args.tls else (1000, 10000):
            yield Measure("saturate", subscribers, *short, "--backlog", "1", name="step")
    if not args.tls:
        yield Measure("saturate", 1000, *short)
    yield Measure("idle", 10000, "--seconds", "1", "--warmup", "0")
    yield Measure("connect", 64, *short, "--warmup", "0.5")
    if args.tls:
        yield Measure("connect", 64, *short, "--warmup", "0.5", "--resume", name="resume")


def cores(group):
    """Percent of one core that a group of processes used."""
    def figure(r):
        return r["usage"][group]["cpu_ns"] / 1e7 / r["seconds"] if group in r["usage"] else None
    return figure


def cpu(group, per):
    """CPU µs of a group of processes for each of what `per` counts."""
    def figure(r):
        if group not in r["usage"] or r[per] == 0:
            return None
        return r["usage"][group]["cpu_ns"] / 1000 / r[per]
    return figure


def memory(r):
    """KiB that each connection cost the server, from before the first to the end of the run."""
    server = r["usage"]["server"]
    return (server["memory_after"] - server["memory_idle"]) / 1024 / r["subscribers"]


def latency(quantile):
    return lambda r: r["latency_us"][quantile] / 1000


def rows():
    """The table: title, key of the measure, what to take from its result, format; None for a headline."""
    loads = [("load-100", "100"), ("load-1000", "1,000"), ("load-10000", "10,000")]
    yield f"CPU µs per delivery, {DELIVERIES_PER_SECOND:,} deliveries/s", None, None, None
    for key, count in loads:
        yield f"  {count} subscribers", key, cpu("server", "deliveries"), "{:.2f}"
    yield "The same, each event when all have the one before", None, None, None
    for count in (100, 1000, 10000):
        yield f"  {count:,} subscribers", f"step-{count}", cpu("server", "deliveries"), "{:.2f}"
    yield "Latency ms, same load", None, None, None
    for key, count in loads:
        for quantile, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            yield f"  {count} subscribers, {title}", key, latency(quantile), "{:.2f}"
    yield "Redis beside it, % of a core, same load", None, None, None
    for key, count in loads:
        yield f"  {count} subscribers", key, cores("redis"), "{:.1f}"
    yield "Saturation, 1,000 subscribers", None, None, None
    yield "  deliveries/s", "saturate-1000", lambda r: r["deliveries_per_second"], "{:,.0f}"
    yield "  CPU µs per delivery", "saturate-1000", cpu("server", "deliveries"), "{:.2f}"
    yield "  latency ms, p99", "saturate-1000", latency("p99"), "{:.2f}"
    yield "  cores of the load generator", "saturate-1000", lambda r: r["generator_cores"], "{:.2f}"
    yield "Memory KiB per connection, 10,000 subscribers", None, None, None
    yield "  idle", "idle-10000", memory, "{:.2f}"
    yield "  after the load", "load-10000", memory, "{:.2f}"
    for key, title in (("connect-64", "New connections, up to the first bytes"), ("resume-64", "The same with the session before taken up")):
        yield title, None, None, None
        yield "  connections/s", key, lambda r: r["connections_per_second"], "{:,.0f}"
        yield "  CPU µs per connection", key, cpu("server", "connections"), "{:.2f}"
        yield "  cores of the load generator", key, lambda r: r["generator_cores"], "{:.2f}"


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }


def versions(build):
    nchan = first_line("dpkg-query", "-W", "-f", "${Version}\n", "libnginx-mod-nchan")
    found = {
        "relay": first_line(str(pathlib.Path(build, "sse-relay")), "--version"),
        "commit": first_line("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "nginx": first_line("/usr/sbin/nginx", "-v"),
        "nchan": nchan,
        "redis": first_line("redis-server", "--version"),
    }
    return {name: text for name, text in found.items() if text}


def measure_once(server_class, measure, args):
    """The load generator's result, or {"error": why}."""
    try:
        with server_class(args.build) as server:
            load = str(server.build / "tests/bench/sseload")
            command = [load, *measure.options, *server.options(measure.mode)]
            if server.warm and measure.mode == "idle":
                subprocess.run([*command, "--subscribers", "4", "--seconds", "0.1"], stdout=subprocess.DEVNULL, timeout=60, check=False)
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except servers.Unavailable as error:
        return {"error": str(error), "unavailable": True}
    except subprocess.TimeoutExpired:
        return {"error": "no end within five minutes"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["the load generator failed"])[-1]}
    return json.loads(done.stdout)


def faults_of(result):
    return [f"{result[key]:,} {text}" for key, text in FAULTS.items() if result.get(key)]


def run_all(args, chosen):
    """Every cell, as a list of {repetition, server, measure, result}."""
    cells, unavailable = [], set()
    for repetition in range(args.repeat):
        for measure in measures(args):
            for server_class in chosen:
                if server_class in unavailable or measure.name not in server_class.measures:
                    continue
                if args.measures and args.measures.isdisjoint({measure.name, measure.key}):
                    continue
                result = measure_once(server_class, measure, args)
                if result.get("unavailable"):
                    unavailable.add(server_class)
                cells.append({"repetition": repetition, "server": server_class.name,
                              "measure": measure.key, "result": result})
                word = result.get("error") or ", ".join(faults_of(result)) or "ok"
                print(f"[{repetition + 1}/{args.repeat}] {measure.key} {server_class.name}: {word}",
                      file=sys.stderr, flush=True)
    return cells


class Figures:
    """Figures by row and server over the repetitions."""

    def __init__(self, cells):
        self.results = {(c["server"], c["measure"], c["repetition"]): c["result"]
                        for c in cells if "error" not in c["result"]}
        self.repetitions = sorted({c["repetition"] for c in cells})

    def of(self, server, measure, figure, repetition):
        result = self.results.get((server, measure, repetition))
        return None if result is None else figure(result)

    def median(self, server, measure, figure):
        values = [self.of(server, measure, figure, i) for i in self.repetitions]
        values = [v for v in values if v is not None]
        return statistics.median(values) if values else None

    def ratio(self, server, other, measure, figure):
        pairs = [(self.of(server, measure, figure, i), self.of(other, measure, figure, i))
                 for i in self.repetitions]
        ratios = [a / b for a, b in pairs if a is not None and b]
        return statistics.median(ratios) if ratios else None


def pairs_of(args, names):
    """What is divided by what: pairs of names. The relay by each other server, or by what it is to be held against."""
    if args.tls:
        pairs = [("relay-tls", "floor-tls"), ("relay-tls", "nchan-tls"), ("relay-h2", "floor-tls"), ("relay-h2", "nchan-h2"),
                 ("relay-h2", "relay-h2c")]
        return [pair for pair in pairs if set(pair) <= set(names)]
    base = "relay" if "relay" in names else names[-1] if names else ""
    return [(base, n) for n in names if n not in (base, "relay-post")]


def table(cells, names, pairs):
    """The rows as dictionaries: medians by server, and the ratios of the pairs."""
    figures = Figures(cells)
    headline = None  # of a section that has no row yet
    for title, measure, figure, form in rows():
        if measure is None:
            headline = title
            continue
        values = {n: figures.median(n, measure, figure) for n in names}
        ratios = {f"{a}/{b}": figures.ratio(a, b, measure, figure) for a, b in pairs}
        if any(v is not None for v in values.values()):
            if headline:
                yield {"title": headline}
            headline = None
            yield {"title": title, "measure": measure, "values": values, "ratios": ratios, "format": form}


def show(lines, names, pairs):
    """Print the table; columns of servers, then ratios."""
    ratios = [f"{a}/{b}" for a, b in pairs]
    heads = names + ratios
    widths = [max(9, len(h)) for h in heads]
    print(" " * 42 + "".join(f"  {h:>{w}}" for h, w in zip(heads, widths)))
    for line in lines:
        if "values" not in line:
            print(line["title"])
            continue
        texts = ["-" if line["values"][n] is None else line["format"].format(line["values"][n]) for n in names]
        texts += ["-" if line["ratios"][r] is None else f"{line['ratios'][r]:.2f}" for r in ratios]
        print(f"{line['title']:<42}" + "".join(f"  {t:>{w}}" for t, w in zip(texts, widths)))


def parse_arguments():
    known = {s.name: s for s in (*servers.PLAIN, servers.RelayBefore, *servers.TLS)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="where the programs were built (build)")
    parser.add_argument("--quick", action="store_true", help="one repetition of two seconds each")
    parser.add_argument("--repeat", type=int, help="repetitions of the whole set (3)")
    parser.add_argument("--seconds", type=float, help="measured time of a load (4)")
    parser.add_argument("--size", type=int, default=100, help="bytes of an event's data (100)")
    parser.add_argument("--tls", action="store_true", help="measure TLS and HTTP/2: `make bench-tls` is this")
    parser.add_argument("--servers", help="of " + ",".join(known))
    parser.add_argument("--before", metavar="PATH", help="another sse-relay to be held against, such as one of an earlier commit")
    parser.add_argument("--measures", type=lambda t: set(t.split(",")), help="only these, such as idle,load-1000")
    parser.add_argument("--output", help="where the JSON goes (bench.json in the build directory)")
    args = parser.parse_args()
    args.repeat = args.repeat or (1 if args.quick else 3)
    args.seconds = args.seconds or (2 if args.quick else 4)
    chosen = args.servers.split(",") if args.servers else [s.name for s in (servers.TLS if args.tls else servers.PLAIN)]
    if args.before:
        servers.RelayBefore.program = str(pathlib.Path(args.before).resolve())
        chosen.append("relay-before")
    unknown = [n for n in chosen if n not in known]
    if unknown:
        parser.error(f"unknown server {unknown[0]}; known are {', '.join(known)}")
    args.servers = [known[n] for n in dict.fromkeys(chosen)]
    args.build = str(ROOT / args.build)
    args.output = pathlib.Path(args.output or pathlib.Path(args.build, "bench-tls.json" if args.tls else "bench.json"))
    return args


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    about = {"started": started, "machine": machine(), "versions": versions(args.build),
             "settings": {"repeat": args.repeat, "seconds": args.seconds, "size": args.size,
                          "deliveries_per_second": DELIVERIES_PER_SECOND}}
    cells = run_all(args, args.servers)
    about["machine"]["load_average_after"] = os.getloadavg()[0]

    skipped = {c["server"]: c["result"]["error"] for c in cells if c["result"].get("unavailable")}
    names = [s.name for s in args.servers if s.name not in skipped]
    pairs = pairs_of(args, names)
    lines = list(table(cells, names, pairs))
    args.output.write_text(json.dumps({**about, "cells": cells, "table": lines}, indent=1) + "\n")

    m = about["machine"]
    print(f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}; server and load generator side by side;"
          f" load average {m['load_average']:.2f} before, {m['load_average_after']:.2f} after")
    print("; ".join(f"{k}: {v}" for k, v in about["versions"].items()))
    print(f"{args.size}-byte events, one topic, one worker, medians of {args.repeat}, {args.seconds:g} s each")
    for text in sorted({c["result"]["tls"] for c in cells if c["result"].get("tls")}):
        print(f"TLS: {text}")
    show(lines, names, pairs)
    for server, why in skipped.items():
        print(f"left out: {server}: {why}")
    problems = [(c["server"], c["measure"], c["result"].get("error") or ", ".join(faults_of(c["result"])))
                for c in cells if not c["result"].get("unavailable")]
    problems = [p for p in problems if p[2]]
    for server, measure, text in problems:
        print(f"not clean: {server} {measure}: {text}")
    if not problems:
        print("every event arrived once, in order and intact, everywhere")
    print(f"written to {args.output}")
    return 1 if any(server.startswith("relay") for server, _, _ in problems) or not names else 0


if __name__ == "__main__":
    sys.exit(main())
