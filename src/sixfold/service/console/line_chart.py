"""Lines over time as SVG, made on the server: what is polled needs no state in the browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 320  # about as wide as it is shown, so that its text is as large as the page's
HEIGHT: Final = 140
LEFT: Final = 50
RIGHT: Final = 6
TOP: Final = 10
BOTTOM: Final = 22
SMALL_WIDTH: Final = 96
SMALL_HEIGHT: Final = 24


@dataclass(frozen=True)
class Series:
    """`points`: x and y, in the order of x; y None is a gap. `color`: of the page's six."""

    name: str
    color: int
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Scale:
    """`written`: a value as text; `least`: the top of the axis where all values are smaller, above 0."""

    written: Callable[[float], str]
    least: float


@dataclass(frozen=True)
class DrawnLine:
    """`paths`: points of one polyline each; `dots`: points without a neighbor."""

    color: int
    paths: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LineChart:
    """What the template draws. `ticks`: place and text on the left axis; `says`: for who does not see it."""

    title: str
    lines: tuple[DrawnLine, ...]
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str
    says: str


def line_chart(
    title: str,
    series: Sequence[Series],
    first: float,
    last: float,
    scale: Scale,
) -> LineChart:
    """From 0 to the largest value; x are seconds since 1970 from `first` to `last`, shown in UTC."""
    written = scale.written
    known = [y for one in series for _, y in one.points if y is not None]
    high = max([*known, scale.least])
    lines = tuple(_line(one, _Frame(first, last, high, WIDTH, HEIGHT)) for one in series)
    inner = HEIGHT - TOP - BOTTOM
    ticks = tuple(
        (round(TOP + inner * (1 - share), 1), written(high * share)) for share in (0.0, 0.5, 1.0)
    )
    newest = [f"{one.name} {written(one.points[-1][1] or 0.0)}" for one in series if one.points]
    says = f"{title}: {', '.join(newest) or '–'}"
    return LineChart(title, lines, ticks, _clock(first), _clock(last), says)


def small_line(values: Sequence[float], most: float) -> str:
    """Points of a polyline beside a figure, from 0 to `most`; "" of fewer than two values."""
    if len(values) < 2:
        return ""
    high = max(most, *values) or 1.0
    step = (SMALL_WIDTH - 2) / (len(values) - 1)
    return " ".join(
        f"{1 + at * step:.1f},{1 + (SMALL_HEIGHT - 2) * (1 - value / high):.1f}"
        for at, value in enumerate(values)
    )


@dataclass(frozen=True)
class _Frame:
    first: float
    last: float
    high: float
    width: int
    height: int

    def place(self, x: float, y: float) -> tuple[float, float]:
        span = max(self.last - self.first, 1.0)
        inner_x, inner_y = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return (
            round(LEFT + inner_x * (x - self.first) / span, 1),
            round(TOP + inner_y * (1 - y / self.high), 1),
        )


def _line(one: Series, frame: _Frame) -> DrawnLine:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in one.points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append(frame.place(x, y))
    paths = tuple(" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1)
    return DrawnLine(one.color, paths, tuple(run[0] for run in runs if len(run) == 1))


def _clock(at: float) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(at))
