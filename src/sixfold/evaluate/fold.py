"""A fold: which rows train, which validate."""

from __future__ import annotations

from dataclasses import dataclass

from sixfold.parts.state import State
from sixfold.parts.table import IntArray


@dataclass(frozen=True)
class Fold(State):
    """A pair of sorted index arrays over the rows that are not held out."""

    train: IntArray
    validation: IntArray
