"""Charts of a report as SVG text: without script, each mark with a tooltip, colours and strokes left to the page.

Elements have the classes ``s0``, ``s1`` … of their series, whose colours the style of the page says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement, tostring

__all__ = ["Axis", "Bar", "Dot", "Line", "bar_chart", "dot_chart", "interval_mark", "line_chart", "shown"]

WIDTH, HEIGHT = 520.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 30.0, 46.0


@dataclass(frozen=True)
class Axis:
    """From which number to which, what stands beside it, and where it is marked."""

    name: str
    low: float = 0.0
    high: float = 1.0
    ticks: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1)
    texts: Sequence[str] = ()

    @classmethod
    def around(cls, name: str, values: Sequence[float], wanted: int = 5) -> Axis:
        """Return an axis from 0 to beyond the largest of some values, marked at round numbers."""
        top = max([v for v in values if math.isfinite(v)], default=1.0)
        top = top if top > 0 else 1.0
        power = 10.0 ** math.floor(math.log10(top / wanted))
        step = next(m * power for m in (1, 2, 5, 10) if m * power * wanted >= top * (1 - 1e-9))
        count = math.ceil(top / step - 1e-9)
        return cls(name, 0, count * step, tuple(i * step for i in range(count + 1)))

    def text(self, i: int) -> str:
        """Return what stands at a mark."""
        return self.texts[i] if self.texts else f"{self.ticks[i]:g}"


@dataclass(frozen=True)
class Line:
    """A series: points, and where known the bounds of each."""

    name: str
    points: Sequence[tuple[float, float]]
    bounds: Sequence[tuple[float, float]] = ()
    marks: bool = True


@dataclass(frozen=True)
class Dot:
    """A point with its tooltip, its radius, and what is written beside it."""

    x: float
    y: float
    title: str
    radius: float = 3.0
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """Bars that stand side by side: a height for each series, with a tooltip each; NaN for none."""

    heights: Sequence[float]
    titles: Sequence[str]


@dataclass
class _Plot:
    """An SVG with axes drawn, and where a point of them lies."""

    title: str
    x: Axis
    y: Axis
    svg: Element = field(init=False)

    def __post_init__(self) -> None:
        box = {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "class": "chart", "role": "img", "aria-label": self.title}
        self.svg = Element("svg", box)
        for i, value in enumerate(self.y.ticks):
            y = self.down(value)
            self.add("line", {"class": "grid", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": y, "y2": y})
            self.text(LEFT - 7, y + 4, self.y.text(i), "end")
        for i, value in enumerate(self.x.ticks):
            x = self.across(value)
            self.add("line", {"class": "axis", "x1": x, "x2": x, "y1": HEIGHT - BOTTOM, "y2": HEIGHT - BOTTOM + 4})
            self.text(x, HEIGHT - BOTTOM + 18, self.x.text(i), "middle")
        low = HEIGHT - BOTTOM
        self.add("line", {"class": "axis", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": low, "y2": low})
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, self.x.name, "middle", "name")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        name = self.text(0, 0, self.y.name, "middle", "name")
        name.set("transform", f"translate(13 {middle:g}) rotate(-90)")

    def across(self, value: float) -> float:
        """Return where a number lies on the horizontal axis."""
        return LEFT + (value - self.x.low) / (self.x.high - self.x.low) * (WIDTH - RIGHT - LEFT)

    def down(self, value: float) -> float:
        """Return where a number lies on the vertical axis."""
        return HEIGHT - BOTTOM - (value - self.y.low) / (self.y.high - self.y.low) * (HEIGHT - BOTTOM - TOP)

    def add(self, tag: str, attributes: dict[str, object], title: str = "") -> Element:
        return _added(self.svg, tag, attributes, title)

    def text(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> Element:
        given = {"x": x, "y": y, "text-anchor": anchor} | ({"class": kind} if kind else {})
        element = self.add("text", given)
        element.text = text
        return element

    def legend(self, names: Sequence[str], bars: bool = False) -> None:
        """Name the series above the plot."""
        x = LEFT
        for i, name in enumerate(names):
            if bars:
                self.add("rect", {"class": f"bar s{i}", "x": x + 4, "y": 8, "width": 14, "height": 10})
            else:
                self.add("line", {"class": f"line s{i}", "x1": x, "x2": x + 22, "y1": 13, "y2": 13})
            self.text(x + 28, 17, name)
            x += 44 + 6.6 * len(name)

    def __str__(self) -> str:
        return tostring(self.svg, encoding="unicode")


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return lines, each with the band between its bounds, and a dot with a tooltip at every point."""
    plot = _Plot(title, x, y)
    for i, line in enumerate(lines):
        pairs = [
            (p, b) for p, b in zip(line.points, line.bounds, strict=bool(line.bounds)) if all(map(math.isfinite, b))
        ]
        if len(pairs) > 1:
            edge = [(p[0], b[1]) for p, b in pairs] + [(p[0], b[0]) for p, b in reversed(pairs)]
            plot.add("polygon", {"class": f"band s{i}", "points": _joined(plot, edge)})
    for i, line in enumerate(lines):
        known = [p for p in line.points if math.isfinite(p[1])]
        if len(known) > 1:
            plot.add("polyline", {"class": f"line s{i}", "points": _joined(plot, known)})
        for px, py in known if line.marks else ():
            said = f"{line.name}: {py:.3f} at {px:g}"
            plot.add("circle", {"class": f"dot s{i}", "cx": plot.across(px), "cy": plot.down(py), "r": 3.2}, said)
    if len(lines) > 1:
        plot.legend([line.name for line in lines])
    return str(plot)


def dot_chart(title: str, x: Axis, y: Axis, dots: Sequence[Dot], lines: Sequence[Line] = ()) -> str:
    """Return dots with a tooltip each, over lines that are named above."""
    plot = _Plot(title, x, y)
    for i, line in enumerate(lines):
        plot.add("polyline", {"class": f"line s{i + 1}", "points": _joined(plot, line.points)}, line.name)
    for dot in dots:
        at = {"class": "dot s0", "cx": plot.across(dot.x), "cy": plot.down(dot.y), "r": dot.radius}
        plot.add("circle", at, dot.title)
        if dot.text:
            plot.text(plot.across(dot.x), plot.down(dot.y) - dot.radius - 4, dot.text, "middle", "small")
    legend = ["", *(line.name for line in lines)]
    for i, name in enumerate(legend[1:], 1):
        left = LEFT + 150 * (i - 1)
        plot.add("line", {"class": f"line s{i}", "x1": left, "x2": left + 22, "y1": 13, "y2": 13})
        plot.text(left + 28, 17, name)
    return str(plot)


def bar_chart(title: str, x: Axis, y: Axis, bars: Sequence[Bar], names: Sequence[str]) -> str:
    """Return groups of bars, one after the other at 0, 1, 2 … of the horizontal axis, the series named above."""
    plot = _Plot(title, x, y)
    wide = plot.across(1) - plot.across(0)
    each = min(wide * 0.8 / max(len(names), 1), 48)
    for place, group in enumerate(bars):
        left = plot.across(place) - each * len(names) / 2
        for i, (height, said) in enumerate(zip(group.heights, group.titles, strict=True)):
            if math.isfinite(height):
                top = plot.down(height)
                box = {"x": left + each * i, "y": top, "width": each * 0.92, "height": HEIGHT - BOTTOM - top}
                plot.add("rect", {"class": f"bar s{i}", **box}, said)
    if len(names) > 1:
        plot.legend(names, bars=True)
    return str(plot)


def interval_mark(value: float, low: float, high: float, title: str) -> str:
    """Return a score between 0 and 1 as a dot on a line, with its interval as a thick line."""
    svg = Element("svg", {"viewBox": "0 0 110 14", "class": "mark", "role": "img", "aria-label": title})
    _added(svg, "line", {"class": "axis", "x1": 5, "x2": 105, "y1": 7, "y2": 7})
    for end in (5, 105):
        _added(svg, "line", {"class": "axis", "x1": end, "x2": end, "y1": 4, "y2": 10})
    if math.isfinite(low) and math.isfinite(high):
        _added(svg, "line", {"class": "spread s0", "x1": 5 + 100 * low, "x2": 5 + 100 * high, "y1": 7, "y2": 7}, title)
    _added(svg, "circle", {"class": "dot s0", "cx": 5 + 100 * value, "cy": 7, "r": 3.2}, title)
    return tostring(svg, encoding="unicode")


def shown(value: float) -> str:
    """Return a coordinate with as many digits as can be seen.

    >>> shown(12.0), shown(12.3456)
    ('12', '12.35')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _added(parent: Element, tag: str, attributes: dict[str, object], title: str = "") -> Element:
    given = {k: shown(v) if isinstance(v, float | int) else str(v) for k, v in attributes.items()}
    element = SubElement(parent, tag, given)
    if title:
        SubElement(element, "title").text = title
    return element


def _joined(plot: _Plot, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{shown(plot.across(x))},{shown(plot.down(y))}" for x, y in points)
