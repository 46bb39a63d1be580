"""Charts as inline SVG: no script, no font, no color of their own (style sheet variables, so dark
mode works).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from sixfold.recipe.report import Importance, Line

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 40
COLORS = 6  # style sheet classes c0 … c5


@dataclass(frozen=True)
class Axes:
    """The plane of a chart: labels, and ranges in data units."""

    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers within [low, high]: steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-12)
    power = 10.0 ** np.floor(np.log10(span / count))
    step = next(
        power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= count + 0.5
    )
    return [
        float(round(i * step, 12))
        for i in range(int(np.ceil(low / step)), int(np.floor(high / step + 1e-9)) + 1)
    ]


class ValueRange(NamedTuple):
    """What a scale shows."""

    low: float
    high: float


def padded(values: Sequence[float]) -> ValueRange:
    """The range of values with a little air; never empty."""
    finite = [v for v in values if np.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    air = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    return ValueRange(low - air, high + air)


def unit_axes(x_label: str, y_label: str) -> Axes:
    """Both axes from 0 to 1."""
    return Axes(x_label, y_label, (0.0, 1.0), (0.0, 1.0))


def line_chart(
    lines: Sequence[Line],
    axes: Axes,
    title: str,
    diagonal: bool = False,
    behind: Sequence[Sequence[Line]] = (),
) -> Markup:
    """Lines with a legend when there are two or more; `behind`: of each line thin ones, in its
    color.
    """
    body = [_frame(axes)]
    if diagonal:
        (x0, x1), (y0, y1) = map(axes.x, axes.x_range), map(axes.y, axes.y_range)
        body.append(
            f'<line class="guide" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
        )
    for i, thin in enumerate(behind):
        drawn = "".join(f'<polyline points="{_points(line, axes)}"/>' for line in thin)
        body.append(f'<g class="line thin c{i % COLORS}">{drawn}</g>')
    for i, line in enumerate(lines):
        body.append(f'<polyline class="line c{i % COLORS}" points="{_points(line, axes)}"/>')
    return _svg(body, title) + _legend([line.name for line in lines])


def _points(line: Line, axes: Axes) -> str:
    return " ".join(
        f"{axes.x(x):.1f},{axes.y(y):.1f}"
        for x, y in zip(line.x, line.y, strict=True)
        if np.isfinite(y)
    )


def scatter_chart(points: Line, axes: Axes, title: str, zero: bool = False) -> Markup:
    """Dots; with a line at zero for residuals."""
    body = [_frame(axes)]
    if zero:
        y = axes.y(0.0)
        body.append(
            f'<line class="guide" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        )
    dots = (
        f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2"/>'
        for x, y in zip(points.x, points.y, strict=True)
    )
    body.append(f'<g class="dot c0">{"".join(dots)}</g>')
    return _svg(body, title)


def bar_chart(bars: Sequence[Importance], title: str) -> Markup:
    """Horizontal bars with a whisker of one spread, the longest first. What is drawn alike stands
    in one group.
    """
    row, label = 20, 150
    high = max([bar.mean + bar.spread for bar in bars] + [1e-12])
    low = min([bar.mean - bar.spread for bar in bars] + [0.0])

    def x(value: float) -> float:
        return label + (value - low) / (high - low) * (WIDTH - label - 60)

    labels, boxes, whiskers, ticks = [], [], [], []
    for i, bar in enumerate(bars):
        y = i * row + 4
        start, end = sorted((x(0.0), x(bar.mean)))
        labels.append(f'<text x="{label - 8}" y="{y + 12}">{escape(_short(bar.column))}</text>')
        boxes.append(f"M{start:.1f} {y + 2}H{end:.1f}v12H{start:.1f}z")
        whiskers.append(f"M{x(bar.mean - bar.spread):.1f} {y + 8}H{x(bar.mean + bar.spread):.1f}")
        ticks.append(f'<text x="{WIDTH - 54}" y="{y + 12}">{bar.mean:.4f}</text>')
    body = [
        f'<g class="label">{"".join(labels)}</g>',
        f'<path class="bar" d="{"".join(boxes)}"/>',
        f'<path class="whisker" d="{"".join(whiskers)}"/>',
        f"<g>{''.join(ticks)}</g>",
    ]
    return _svg(body, title, height=len(bars) * row + 10)


def fold_strip(scores: Sequence[float], value_range: ValueRange) -> Markup:
    """One dot a fold and a bar at the mean, on a scale shared by the whole leaderboard."""
    low, high = value_range
    width, height = 180, 18

    def x(value: float) -> float:
        return 6 + (value - low) / (high - low) * (width - 12)

    dots = "".join(f'<circle cx="{x(score):.1f}" cy="9" r="3"/>' for score in scores)
    mean = x(float(np.mean(scores)))
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="strip" viewBox="0 0 {width} {height}" role="img" aria-label="scores of the folds">'
        f'<line class="axis" x1="0" y1="9" x2="{width}" y2="9"/><g class="dot c0">{dots}</g>'
        f'<line class="mean" x1="{mean:.1f}" y1="1" x2="{mean:.1f}" y2="17"/></svg>'
    )


def _frame(axes: Axes) -> str:
    lines, below, beside = [], [], []
    for value in ticks(*axes.x_range):
        x = axes.x(value)
        lines.append(f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}")
        below.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}">{value:g}</text>')
    for value in ticks(*axes.y_range):
        y = axes.y(value)
        lines.append(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}")
        beside.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    parts = [f'<path class="grid" d="{"".join(lines)}"/>']
    for anchor, texts in (("middle", below), ("end", beside)):
        parts.append(f'<g text-anchor="{anchor}">{"".join(texts)}</g>')
    center, middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    for label, place in (
        (axes.x_label, f'x="{center}" y="{HEIGHT - 6}"'),
        (axes.y_label, f'transform="translate(12 {middle}) rotate(-90)"'),
    ):
        parts.append(f'<text class="name" text-anchor="middle" {place}>{escape(label)}</text>')
    return "".join(parts)


def _svg(body: Sequence[str], title: str, height: int = HEIGHT) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(body) + "</svg>")  # noqa: S704 - every text inside went through escape


def _legend(names: Sequence[str]) -> Markup:
    if len(names) < 2:
        return Markup("")
    items = "".join(
        f'<span class="key c{i % COLORS}">{escape(name)}</span>' for i, name in enumerate(names)
    )
    return Markup(f'<div class="legend">{items}</div>')  # noqa: S704 - names went through escape


def _short(text: str, limit: int = 22) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
