"""A date becomes numbers: year, month, day, weekday, hour, and days since 1970 (UTC, proleptic
Gregorian).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section

FoldScores = Literal["year", "month", "day", "weekday", "hour", "days"]
PARTS: tuple[FoldScores, ...] = ("year", "month", "day", "weekday", "hour", "days")


class _Numbers:
    """Arithmetic on arrays; `_Nodes` has the same face for values of a graph, so the calendar is
    written once.
    """

    def add(self, a: Any, b: float) -> Any:
        return a + b

    def scale(self, a: Any, b: float) -> Any:
        return a * b

    def floor_div(self, a: Any, b: float) -> Any:
        return np.floor(a / b)

    def plus(self, a: Any, b: Any) -> Any:
        return a + b

    def at_most(self, a: Any, b: float) -> Any:
        """1.0 where a <= b, else 0.0."""
        return (a <= b).astype(np.float64)


class _Nodes:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def add(self, a: str, b: float) -> str:
        return self.graph.op("Add", a, self.graph.constant(b, np.float64))

    def scale(self, a: str, b: float) -> str:
        return self.graph.op("Mul", a, self.graph.constant(b, np.float64))

    def floor_div(self, a: str, b: float) -> str:
        return self.graph.op("Floor", self.graph.op("Div", a, self.graph.constant(b, np.float64)))

    def plus(self, a: str, b: str) -> str:
        return self.graph.op("Add", a, b)

    def at_most(self, a: str, b: float) -> str:
        return self.graph.cast(
            self.graph.op("LessOrEqual", a, self.graph.constant(b, np.float64)), TensorProto.DOUBLE
        )


def _calendar(seconds: Any, do: Any) -> dict[str, Any]:
    """Days to year, month, day after Howard Hinnant, "chrono-compatible low-level date algorithms"
    (civil_from_days).
    """
    days = do.floor_div(seconds, 86400.0)
    second_of_day = do.plus(seconds, do.scale(days, -86400.0))
    shifted = do.add(days, 719468.0)
    era = do.floor_div(shifted, 146097.0)
    day_of_era = do.plus(shifted, do.scale(era, -146097.0))
    leap = do.plus(
        do.floor_div(day_of_era, 1460.0), do.scale(do.floor_div(day_of_era, 36524.0), -1.0)
    )
    leap = do.plus(leap, do.floor_div(day_of_era, 146096.0))
    year_of_era = do.floor_div(do.plus(day_of_era, do.scale(leap, -1.0)), 365.0)
    before = do.plus(do.scale(year_of_era, 365.0), do.floor_div(year_of_era, 4.0))
    before = do.plus(before, do.scale(do.floor_div(year_of_era, 100.0), -1.0))
    day_of_year = do.plus(day_of_era, do.scale(before, -1.0))
    march_month = do.floor_div(do.add(do.scale(day_of_year, 5.0), 2.0), 153.0)
    before_month = do.floor_div(do.add(do.scale(march_month, 153.0), 2.0), 5.0)
    day = do.add(do.plus(day_of_year, do.scale(before_month, -1.0)), 1.0)
    month = do.add(march_month, 3.0)
    wrapped = do.add(
        do.scale(do.at_most(month, 12.0), -1.0), 1.0
    )  # January and February belong to the next year
    month = do.plus(month, do.scale(wrapped, -12.0))
    year = do.plus(do.plus(do.scale(era, 400.0), year_of_era), wrapped)
    from_thursday = do.add(days, 3.0)  # 1970-01-01 was a Thursday; Monday is 0
    weekday = do.plus(from_thursday, do.scale(do.floor_div(from_thursday, 7.0), -7.0))
    return {
        "year": year,
        "month": month,
        "day": day,
        "weekday": weekday,
        "hour": do.floor_div(second_of_day, 3600.0),
        "days": do.scale(seconds, 1.0 / 86400.0),
    }


@dataclass(frozen=True)
class DateParts(State):
    """`parts`: names out of year, month, day, weekday (Monday 0), hour, days (since 1970, with a
    fraction).
    """

    parts: tuple[str, ...]

    def transform(self, x: FloatArray) -> FloatArray:
        """Seconds since 1970 [rows, m] → [rows, parts · m], part by part; NaN stays NaN."""
        found = _calendar(x, _Numbers())
        return np.concatenate(
            [np.where(np.isnan(x), x, found[part]) for part in self.parts], axis=1
        )

    def export(self, graph: Graph, x: str) -> str:
        """The same arithmetic as nodes."""
        found = _calendar(x, _Nodes(graph))
        missing = graph.op("IsNaN", x)
        return graph.concat([graph.op("Where", missing, x, found[part]) for part in self.parts])

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`joined year`, `joined month`."""
        return tuple(
            FittedFeatures(f"{name} {part}", i)
            for part in self.parts
            for i, name in enumerate(names)
        )


class Settings(Section):
    """A date becomes numbers: year, month, day, weekday, hour, and days since 1970."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"date"})
    role: ClassVar[Role] = "change"

    parts: tuple[FoldScores, ...] = Field(
        PARTS, min_length=1, description="Out of year, month, day, weekday, hour, days."
    )

    def fit(self, x: Block, training: Training) -> DateParts:
        """Nothing is learned."""
        return DateParts(tuple(part for part in PARTS if part in self.parts))
