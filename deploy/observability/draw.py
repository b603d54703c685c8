#!/usr/bin/env python3
"""Draws the dashboard from its own queries, without Grafana: the pictures of deploy/observability/README.md.

    draw.py http://127.0.0.1:9090 START END      (times in seconds since 1970)

writes one picture for each row, with headless Chromium, into the folder pictures/ beside it. The layout, titles, queries, units and legends are those of grafana/dashboards/sse-relay.json; each query is asked of
Prometheus as Grafana would ask it, with all jobs and nodes selected. It draws what that dashboard uses and no more.
"""

import html
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
DASHBOARD = HERE / "grafana/dashboards/sse-relay.json"
COLUMN, ROW, GAP = 60, 30, 8  # pixels of a grid cell, and between panels
COLORS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
STYLE = """body{background:#111217;color:#ccccdc;font:12px Inter,"Helvetica Neue",Arial,sans-serif;margin:0;position:relative}
.p{position:absolute;background:#181b1f;border:1px solid #26282e;border-radius:2px;box-sizing:border-box;overflow:hidden}
.r{position:absolute;font-size:15px;font-weight:500;padding:6px 2px}h3{font-size:13px;font-weight:500;margin:7px 10px 2px}
.v{font-weight:500;padding:0 10px}.n{font-size:12px;color:#9fa7b3;padding-left:10px}svg{display:block}text{fill:#9fa7b3;font-size:10px}
.l{padding:0 10px;font-size:11px;white-space:nowrap;overflow:hidden}.l i{display:inline-block;width:12px;height:3px;margin:0 4px 3px 0}.l span{margin-right:10px}
table{border-collapse:collapse;margin:4px 10px}td,th{text-align:left;padding:3px 24px 3px 0;border-bottom:1px solid #26282e;font-weight:400}th{color:#6e9fff}"""


def ask(prometheus, path, **parameters):
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
        return json.load(answer)["data"]["result"]


def filled_in(expr, interval):
    return expr.replace("$__rate_interval", f"{interval}s").replace("$job", ".*").replace("$instance", ".*")


def words(value, unit):
    """A value as Grafana would write it."""
    if math.isnan(value):
        return "NaN"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        scales = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))
        size, name = next(((s, n) for s, n in scales if abs(value) >= s), scales[-1])
        return f"{value / size:.3g} {name}" if value else "0 s"
    base, names = (1024, (" B", " KiB", " MiB", " GiB")) if unit == "bytes" else (1000, ("", " K", " Mil", " Bil"))
    if unit == "Bps":
        names = (" B/s", " kB/s", " MB/s", " GB/s")
    power = min(3, int(math.log(abs(value), base))) if abs(value) >= base else 0
    return f"{value / base ** power:.3g}{names[power]}"


def legend(text, labels):
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), text)


def color_of(value, thresholds):
    color = "green"
    for step in thresholds["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED.get(color, color)


class Page:
    def __init__(self, prometheus, start, end):
        self.prometheus, self.start, self.end = prometheus, start, end
        self.step = max(1, round((end - start) / 300))
        self.interval = max(4, 4 * self.step)

    def series(self, target):
        found = ask(self.prometheus, "query_range", query=filled_in(target["expr"], self.interval), start=self.start, end=self.end, step=self.step)
        return [(legend(target["legendFormat"], one["metric"]), {float(at): float(v) for at, v in one["values"]}) for one in found]

    def panel(self, panel, top):
        at = panel["gridPos"]
        box = f"left:{at['x'] * COLUMN + GAP}px;top:{(at['y'] - top) * ROW + GAP}px;width:{at['w'] * COLUMN - GAP}px;height:{at['h'] * ROW - GAP}px"
        if panel["type"] == "row":
            return f'<div class="r" style="{box}">⌄ {html.escape(panel["title"])}</div>'
        draw = {"stat": self.stat, "timeseries": self.graph, "table": self.table}[panel["type"]]
        return f'<div class="p" style="{box}"><h3>{html.escape(panel["title"])}</h3>{draw(panel)}</div>'

    def stat(self, panel):
        defaults, text = panel["fieldConfig"]["defaults"], ""
        for target in panel["targets"]:
            name, points = self.series(target)[0]
            value = list(points.values())[-1]
            shown = f"{value * 100:.0f}%" if defaults["unit"] == "percentunit" else words(value, defaults["unit"])
            title = f'<div class="n">{name}</div>' if panel["options"]["textMode"] == "value_and_name" else ""
            size = 30 if title else 40
            text += f'<div>{title}<div class="v" style="font-size:{size}px;color:{color_of(value, defaults["thresholds"])}">{shown}</div></div>'
        return f'<div style="display:flex">{text}</div>'

    def table(self, panel):
        rows = [one["metric"] for one in ask(self.prometheus, "query", query=filled_in(panel["targets"][0]["expr"], self.interval), time=self.end)]
        columns = sorted((c for c in rows[0] if c != "__name__"), key=panel["transformations"][0]["options"]["indexByName"].get)
        cells = lambda tag, values: "<tr>" + "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values) + "</tr>"
        return "<table>" + cells("th", columns) + "".join(cells("td", [row[c] for c in columns]) for row in rows) + "</table>"

    def graph(self, panel):
        defaults, at = panel["fieldConfig"]["defaults"], panel["gridPos"]
        lines = [line for target in panel["targets"] for line in self.series(target)]
        if defaults["custom"]["stacking"]["mode"] == "normal":
            below = {}
            for _, points in lines:
                for moment in points:
                    points[moment] = below[moment] = below.get(moment, 0) + points[moment]
        width, height = at["w"] * COLUMN - GAP - 2, at["h"] * ROW - GAP - 54
        top = defaults.get("max") or nice(max([v for _, points in lines for v in points.values() if not math.isnan(v)], default=0))
        x = lambda moment: 62 + (moment - self.start) / (self.end - self.start) * (width - 76)
        y = lambda value: height - 18 - value / top * (height - 26)
        marks = ""
        for n in range(5):
            marks += f'<line x1="62" x2="{width - 14}" y1="{y(top * n / 4)}" y2="{y(top * n / 4)}" stroke="#26282e"/>'
            marks += f'<text x="56" y="{y(top * n / 4) + 3}" text-anchor="end">{words(top * n / 4, defaults["unit"])}</text>'
        for n in range(1, 6):
            moment = self.start + (self.end - self.start) * n / 6
            marks += f'<text x="{x(moment)}" y="{height - 3}" text-anchor="middle">{time.strftime("%H:%M:%S", time.gmtime(moment))}</text>'
        for number, (_, points) in reversed(list(enumerate(lines))):
            color = COLORS[number % len(COLORS)]
            for part in runs(points, self.step):
                path = " ".join(f"{x(moment):.1f},{y(min(value, top)):.1f}" for moment, value in part)
                fill = defaults["custom"]["fillOpacity"] / 100
                marks += f'<polygon points="{x(part[0][0]):.1f},{y(0)} {path} {x(part[-1][0]):.1f},{y(0)}" fill="{color}" fill-opacity="{fill}"/>'
                marks += f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.4"/>'
        for step in defaults.get("thresholds", {"steps": []})["steps"]:
            if step["value"] is not None and step["value"] <= top:
                marks += f'<line x1="62" x2="{width - 14}" y1="{y(step["value"])}" y2="{y(step["value"])}" stroke="{NAMED[step["color"]]}" stroke-dasharray="4"/>'
        names = "".join(f'<span><i style="background:{COLORS[n % len(COLORS)]}"></i>{html.escape(name)}</span>' for n, (name, _) in enumerate(lines))
        return f'<svg width="{width}" height="{height}">{marks}</svg><div class="l">{names}</div>'


def nice(most):
    """A round number above all values."""
    if most <= 0:
        return 1
    size = 10 ** math.floor(math.log10(most))
    return next(size * n for n in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if size * n >= most)


def runs(points, step):
    """The parts of a line between which nothing was measured."""
    part = []
    for moment, value in points.items():
        if math.isnan(value):
            continue
        if part and moment - part[-1][0] > 1.5 * step:
            yield part
            part = []
        part.append((moment, value))
    if part:
        yield part


def rows(panels):
    """The panels of each row, its heading first."""
    for panel in panels:
        if panel["type"] == "row":
            row = []
            yield row
        row.append(panel)


def screenshot(page, panels, file):
    top = panels[0]["gridPos"]["y"]
    width = 24 * COLUMN + GAP
    height = (max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) - top) * ROW + GAP
    body = "".join(page.panel(panel, top) for panel in panels)
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory, "row.html")
        source.write_text(f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{body}', encoding="utf-8")
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={directory}",
                        f"--window-size={width},{height}", f"--screenshot={file}", source.as_uri()], check=True, capture_output=True)


def main():
    prometheus, start, end = sys.argv[1:]
    page = Page(prometheus, float(start), float(end))
    for panels in list(rows(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])):
        screenshot(page, panels, HERE / "pictures" / f"{panels[0]['title'].lower()}.png")


if __name__ == "__main__":
    main()
