"""Preparation of interactions: users and items become codes, by the training rows alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sixfold.bundle.recommend.histories import Float32
from sixfold.core.errors import RecipeError
from sixfold.core.values import LevelType
from sixfold.parts.fit import FeatureGroup, Features
from sixfold.parts.graph import Graph
from sixfold.parts.interactions import ITEM, RATING, TIME, USER, Interactions
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import CodeArray, Column, FloatArray, IntArray, Table
from sixfold.recipe.schema import Prepare

ALL: Final = 1 << 40  # rows at once: what a list of a user holds depends on all of its rows


@dataclass(frozen=True)
class InteractionPreparer(State):
    """The names of the codes: of items the one with the most users first, after the `had` ones those that
    nobody had. `features`: a `Preparer` of what is known of users, or of items, by the name of their
    column. It answers what a `Preparer` does.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    had: int
    user_type: LevelType = "text"
    item_type: LevelType = "text"
    notes: tuple[str, ...] = ()
    features: dict[str, Any] = field(default_factory=dict)

    def trained_names(self, part: str) -> tuple[str, ...]:
        """Of the users, or of the items, that the training rows have."""
        return self.users if part == USER else self.items[: self.had]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that an answer takes."""
        return (USER, ITEM)

    @property
    def texts(self) -> frozenset[str]:
        """The raw columns, which no graph takes."""
        return frozenset(self.inputs)

    @property
    def categories(self) -> frozenset[str]:
        """None that a graph takes."""
        return frozenset()

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """Users and items are no part of a graph."""
        raise TypeError("the codes of a recommender are made outside of a graph")

    @property
    def rows_at_once(self) -> int:
        """All of them."""
        return ALL

    @property
    def layout(self) -> tuple[FeatureGroup, ...]:
        """One interaction a row."""
        return (FeatureGroup("interactions", self.inputs, 0, 1),)

    def transform(self, table: Table) -> Features:
        """All rows as codes."""
        return self.coded(table)

    def coded(self, table: Table) -> Interactions:
        """The same: users that are not known are numbered from the last known one up."""
        user, item = (table.columns[name] for name in self.inputs)
        users, items = _codes(user, self.users), _codes(item, self.items)
        unknown = users < 0
        names = np.unique(user.values[unknown], return_inverse=True)[1]
        users[unknown] = len(self.users) + names
        times, ratings = (_numbers(table, name) for name in (TIME, RATING))
        others = [user.levels[code] for code in np.unique(user.values[unknown]).tolist()]
        return Interactions(
            users,
            items,
            len(self.users),
            len(self.items),
            times,
            ratings,
            self.side_features(table, USER, (*self.users, *others, "")),
            self.side_features(table, ITEM, self.items),
        )

    def side_features(self, table: Table, part: str, names: Sequence[str]) -> Float32 | None:
        """float32 [names, features] of users, or items; of a name that is not there as of one of whom nothing is
        known. None where none are read.
        """
        if part not in self.features:
            return None
        side = table.sides[part]
        found: Float32 = self.features[part].transform(side.table.take(side.places(names)))
        return found

    def batches(self, table: Table) -> Iterator[tuple[slice, Features]]:
        """The same."""
        yield slice(0, table.rows), self.transform(table)


def fit_interactions(
    table: Table, prepare: Prepare
) -> tuple[InteractionPreparer, Interactions, IntArray]:
    """Fit on exactly these training rows. As `preparer.fit`. Raises RecipeError where the recipe
    prepares columns.
    """
    if said := prepare.model_dump(exclude_defaults=True):
        raise RecipeError(
            f"prepare.{next(iter(said))}",
            "nothing for a recommender, which reads users and items as they are",
            "settings",
            "Leave them out.",
        )
    user, item = table.columns[USER], table.columns[ITEM]
    users = tuple(user.levels[code] for code in np.unique(user.values).tolist())
    items = _by_users(user, item)
    others = sorted(set(table.sides[ITEM].keys) - set(items)) if ITEM in table.sides else []
    found = InteractionPreparer(
        users, (*items, *others), len(items), user.level_type, item.level_type
    )
    return found, found.coded(table), np.arange(table.rows, dtype=np.int64)


def _numbers(table: Table, name: str) -> FloatArray | None:
    return table.columns[name].values.astype(np.float64) if name in table.columns else None


def _by_users(user: Column, item: Column) -> tuple[str, ...]:
    """Items that occur, the one with the most users first; of equally many by name."""
    pairs = np.unique(user.values.astype(np.int64) * len(item.levels) + item.values)
    codes, counts = np.unique(pairs % len(item.levels), return_counts=True)
    named = [item.levels[code] for code in codes.tolist()]
    order = sorted(range(len(named)), key=lambda at: (-int(counts[at]), named[at]))
    return tuple(named[at] for at in order)


def _codes(column: Column, names: tuple[str, ...]) -> CodeArray:
    """Of each row the place of its value among `names`, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    used, at = np.unique(column.values, return_inverse=True)
    found = [places.get(column.levels[code], -1) for code in used.tolist()]
    return np.array(found, dtype=np.int32)[at]
