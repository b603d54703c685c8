"""Draws what rolling.py found: for each scenario the reconnects a second that each pod takes, and the connections it has."""

import pathlib

FILE = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy" / "rolling.svg"
WIDTH, ROW, TOP, LEFT = 940, 190, 64, 64
PANEL, GAP, HEIGHT = 390, 70, 120  # a panel's width, the space to the next, its height
STYLE = """
    .t { fill: #0f172a } .s { fill: #475569; font-size: 11px } .h { fill: #0f172a; font-weight: 600 }
    .axis { stroke: #94a3b8; fill: none } .grid { stroke: #e2e8f0 }
    .old { stroke: #94a3b8; stroke-width: 1.1; fill: none } .new { stroke: #0369a1; stroke-width: 1.1; fill: none; opacity: 0.75 }
    .fair { stroke: #b91c1c; stroke-dasharray: 4 3; fill: none }
    .r { text-anchor: end } .c { text-anchor: middle }
"""


def rates(pod, end):
    return [(second, pod.accepted[second]) for second in range(int(end) + 1)]


def connections(pod, end):
    points, last = [], 0
    for second in range(int(end) + 1):
        last = pod.open.get(second, last)
        if second % 5 == 0:
            points.append((second, last))
    return points


def round_up(value):
    """To a number that looks well at the end of an axis."""
    size = 10 ** (len(str(int(value))) - 1)
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value)


class Panel:
    """One diagram: time to the right, up to @end seconds; upwards to @top."""

    def __init__(self, left, top_y, end, top):
        self.left, self.top_y, self.end, self.top = left, top_y, end, top

    def x(self, second):
        return self.left + PANEL * second / self.end

    def y(self, value):
        return self.top_y + HEIGHT * (1 - min(value, self.top) / self.top)

    def frame(self, title):
        base = self.top_y + HEIGHT
        yield f'<text class="s" x="{self.left}" y="{self.top_y - 8}">{title}</text>'
        for part in (0, 0.5, 1):
            y = self.y(self.top * part)
            yield f'<path class="{"grid" if part else "axis"}" d="M{self.left} {y:.1f}h{PANEL}"/>'
            yield f'<text class="s r" x="{self.left - 6}" y="{y + 4:.1f}">{self.top * part:,.0f}</text>'
        minutes = range(0, int(self.end) // 60 + 1, 1 if self.end < 400 else 2)
        for minute in minutes:
            yield f'<text class="s c" x="{self.x(minute * 60):.1f}" y="{base + 15}">{minute} min</text>'

    def line(self, points, kind):
        """A polyline, without the points in the middle of a level stretch."""
        kept = [
            p for i, p in enumerate(points)
            if i in (0, len(points) - 1) or points[i - 1][1] != p[1] or points[i + 1][1] != p[1]
        ]
        path = " ".join(f"{self.x(t):.0f} {self.y(v):.0f}" for t, v in kept)
        return f'<path class="{kind}" d="M{path}"/>'

    def level(self, value):
        return f'<path class="fair" d="M{self.left} {self.y(value):.1f}h{PANEL}"/>'


def row(number, name, simulation, end):
    d = simulation.deploy
    y = TOP + number * ROW + 30
    yield f'<text class="h" x="{LEFT}" y="{y - 28}">{name}: at most {simulation.peak:,} a second on one pod, {simulation.mean_moves:.1f} moves per client</text>'
    left = Panel(LEFT, y, end, round_up(max(simulation.peak, d.fair_rate if d.drain else 0)))
    right = Panel(LEFT + PANEL + GAP, y, end, round_up(max(max(p.open.values()) for p in simulation.pods)))
    yield from left.frame("reconnects a second, each pod")
    yield from right.frame("connections, each pod")
    for pod in simulation.pods:
        kind = "new" if pod.new else "old"
        if pod.accepted:
            yield left.line(rates(pod, end), kind)
        yield right.line(connections(pod, end), kind)
    if d.drain:
        yield left.level(d.fair_rate)


def draw(results):
    end = max(s.finished_at for s in results.values()) + 15
    some = next(iter(results.values())).deploy
    height = TOP + ROW * len(results) + 6
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" font-size="13">'
    yield "  <title>A rolling deploy, simulated: reconnects a second and connections of each pod over time</title>"
    yield f"  <style>{STYLE}  </style>"
    yield f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#fff"/>'
    yield (
        f'<text class="s" x="{LEFT}" y="22">{some.clients:,} clients on {some.pods} pods; grey: pods of the old version, blue: of the new one; '
        "dashed: one pod's clients, evenly over the drain</text>"
    )
    for number, (name, simulation) in enumerate(results.items()):
        yield from row(number, name, simulation, end)
    yield "</svg>"


def text(results):
    return "\n".join(draw(results)) + "\n"


def write(results):
    FILE.write_text(text(results))
