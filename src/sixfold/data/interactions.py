"""What a recommender learns from: who did what, and perhaps when and how much; a row is one interaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.units import counted
from sixfold.core.values import show_day
from sixfold.data.columns import Reading, levels_of, read, texts
from sixfold.data.source import Raw
from sixfold.data.times import read_times
from sixfold.parts.interactions import ITEM, RATING, TIME, USER
from sixfold.parts.table import (
    RANKING,
    BoolArray,
    Column,
    Dataset,
    FloatArray,
    IntArray,
    Table,
    Target,
)
from sixfold.recipe.interactions import InteractionColumns
from sixfold.recipe.schema import Data

LEAST: Final = 2  # users, and items: of fewer there is nothing to choose


def interaction_dataset(raw: Raw, data: Data, reading: Reading) -> Dataset:
    """The interactions of a source. Users and items are categories, whatever they look like.

    Raises DataError for columns that are not there, for rows that cannot be used (unless the recipe
    skips them), for one user or one item alone, and where nothing is left.
    """
    asked = data.interactions or InteractionColumns()
    _check_names(raw, data, asked)
    found = _UsableRows(raw, reading, asked, np.arange(raw.rows))
    found = found.with_values("user", asked.user).with_values("item", asked.item)
    if data.time is not None:
        found = found.with_values("time", data.time)
    columns: dict[str, Column] = {}
    if asked.rating is not None:
        found, ratings = found.with_ratings(asked.rating)
        columns[RATING] = Column("number", ratings)
    times = None
    if data.time is not None:
        times = read_times(data.time, found.cells(data.time), found.reading)
    if not len(found.rows):
        told = "; ".join(found.told) or "the file has none"
        raise DataError(
            raw.where, "interactions", f"none that can be used ({told})", "Check the export."
        )
    who = {USER: found.category(asked.user), ITEM: found.category(asked.item)}
    _check_several(raw.where, asked.user, who[USER])
    _check_several(raw.where, asked.item, who[ITEM])
    if times is not None:
        columns[TIME] = Column("date" if _are_moments(times) else "number", times)
    table = Table({**who, **columns}, len(found.rows))
    users = who[USER].values.astype(np.int64)
    target = Target("recommendation", _first_ranks(users), RANKING)
    return Dataset(
        table,
        target,
        users if data.group is not None else None,
        times,
        (_overview(table, times), *_names(data, asked), *found.told),
        raw.warnings,
    )


@dataclass(frozen=True)
class _UsableRows:
    """Of a source, those that can be used: `rows` of it. `told`: what was left out."""

    raw: Raw
    reading: Reading
    asked: InteractionColumns
    rows: IntArray
    told: tuple[str, ...] = ()

    def with_values(self, part: str, name: str) -> _UsableRows:
        """Those that have a value in a column."""
        held = texts(name, self.cells(name), self.reading)
        return self._without(held.codes < 0, name, f"a value, as it is the {part}", "a missing one")

    def with_ratings(self, name: str) -> tuple[_UsableRows, FloatArray]:
        """Those with a rating that can be one, and these."""
        own = self.with_values("rating", name)
        made = read(name, own.cells(name), "number", own.reading)
        ratings = made.column.values.astype(np.float64)
        bad = ~(ratings >= 0)
        some = f"{ratings[int(np.argmax(bad))]:g}" if bad.any() else ""
        found = own._without(bad, name, "a rating of 0 or more", some)
        ratings = ratings[~bad]
        least = self.asked.least_rating
        if least is None:
            return found, ratings
        low = ratings < least
        return found._kept(low, f"a rating below {least:g}"), ratings[~low]

    def category(self, name: str) -> Column:
        """A column of names."""
        held = levels_of(texts(name, self.cells(name), self.reading), self.reading)
        return Column("category", held.codes, held.levels, held.level_type)

    def cells(self, name: str) -> Any:
        """Of the rows that are left."""
        whole = self.raw.columns[name]
        return whole if len(self.rows) == self.raw.rows else whole.take(pa.array(self.rows))

    def _without(self, bad: BoolArray, name: str, expected: str, found: str) -> _UsableRows:
        """Raises DataError for the first bad row, unless the recipe skips them."""
        if not bad.any():
            return self
        if self.asked.unusable == "refuse":
            raise DataError(
                self.reading.at(int(np.argmax(bad)), name),
                expected,
                found,
                "Correct it, or write data.interactions.unusable: skip, to leave such rows out.",
            )
        return self._kept(bad, f"'{name}' is not {expected}")

    def _kept(self, bad: BoolArray, why: str) -> _UsableRows:
        if not bad.any():
            return self
        rows, place = self.rows[~bad], self.raw.place
        told = f"{counted(int(bad.sum()), 'row')} left out: {why}."
        reading = replace(self.reading, place=lambda row: place(int(rows[row])))
        return replace(self, rows=rows, told=(*self.told, told), reading=reading)


def _check_names(raw: Raw, data: Data, asked: InteractionColumns) -> None:
    named = {"user": asked.user, "item": asked.item, "rating": asked.rating}
    for key, name in named.items():
        if name is not None and name not in raw.columns:
            raise DataError(
                f"{raw.where}, data.interactions.{key}",
                "the name of a column",
                f"'{name}'",
                did_you_mean(name, raw.columns),
            )


def _check_several(where: str, name: str, column: Column) -> None:
    if len(column.levels) < LEAST:
        raise DataError(
            f"{where}, column '{name}'",
            f"at least {LEAST} different values, to learn what they have in common",
            f"{len(column.levels)}",
            "Check that data.interactions names the right columns.",
        )


def _are_moments(times: FloatArray) -> bool:
    """Seconds since 1970, of this century or the last third of the one before, rather than a count."""
    return bool(len(times) and times.min() > 1e8)


def _first_ranks(users: IntArray) -> FloatArray:
    """[rows, RANKING] of a model that puts each item first."""
    ranks = np.zeros((len(users), len(RANKING)))
    ranks[:, 0], ranks[:, 1] = users, 1.0
    return ranks


def _names(data: Data, asked: InteractionColumns) -> list[str]:
    """What stands for what, where the columns are called otherwise."""
    named = {USER: asked.user, ITEM: asked.item, RATING: asked.rating, TIME: data.time}
    said = [f"'{name}' is the {part}" for part, name in named.items() if name not in (None, part)]
    return [f"Columns: {', '.join(said)}."] if said else []


def _overview(table: Table, times: FloatArray | None) -> str:
    users, items = table.columns[USER], table.columns[ITEM]
    pairs = np.unique(users.values.astype(np.int64) * len(items.levels) + items.values)
    share = len(pairs) / (len(users.levels) * len(items.levels))
    said = (
        f"{table.rows:,} interactions of {len(users.levels):,} users with {len(items.levels):,} items, "
        f"{share:.2%} of all pairs"
    )
    if again := table.rows - len(pairs):
        said += f"; {again:,} repeat an earlier pair"
    if times is not None and _are_moments(times):
        said += f"; {show_day(float(times.min()))} to {show_day(float(times.max()))}"
    return f"{said}."
