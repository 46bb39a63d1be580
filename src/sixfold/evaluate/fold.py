"""A fold: which rows train, which validate; and what every splitter says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sixfold.parts.state import State
from sixfold.parts.table import IntArray
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Fold(State):
    """A pair of sorted index arrays over the rows that are not held out."""

    train: IntArray
    validation: IntArray


class Splitter(Section):
    """The base of a splitter's Settings, which have `split(dataset, seed)` → folds; equal seeds
    give equal folds.

    `keeps_groups`: rows of a group are never on both sides. `ordered`: the past trains, what
    follows validates.
    """

    keeps_groups: ClassVar[bool] = False
    ordered: ClassVar[bool] = False
