"""Folds that train on the past and validate on what follows."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset, IntArray


class Settings(Splitter):
    """K expanding windows in the order of `data.time`: every fold trains on all that is before its
    validation rows.

    Validation blocks have rows // (K + 1) rows; the first training block takes what is left over.
    Rows of one moment stay on one side; a row that is equal to a later one that validates does not
    train (`data.duplicates`), unless most rows are.
    """

    ordered: ClassVar[bool] = True

    folds: int = Field(5, ge=2, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`, the earliest first; nothing is random."""
        if dataset.times is None:
            raise RecipeError(
                "evaluate.scheme",
                "data.time for the scheme time_series",
                "none",
                "Name the column in data.time.",
            )
        order = np.argsort(dataset.times, kind="stable")
        rows_until = np.unique(dataset.times, return_counts=True)[1].cumsum()
        if len(rows_until) <= self.folds:
            raise DataError(
                "data.time",
                f"at least {self.folds + 1} different moments for {self.folds} folds",
                f"{len(rows_until)}",
                "Lower evaluate.folds.",
            )
        cuts = [*_cuts(rows_until, self.folds), len(order)]
        return [
            Fold(
                _without_equals(
                    np.sort(order[:start]), np.sort(order[start:end]), dataset.together
                ),
                np.sort(order[start:end]),
            )
            for start, end in pairwise(cuts)
        ]


def _without_equals(train: IntArray, validation: IntArray, units: IntArray | None) -> IntArray:
    """`train` without the rows that are equal to one that validates; all of it where that would be
    half of the rows or more: where states come again and again, they will in the future, too.
    """
    if units is None:
        return train
    apart = train[~np.isin(units[train], units[validation])]
    return apart if 2 * len(apart) > len(train) else train


def _cuts(rows_until: IntArray, folds: int) -> list[int]:
    """Rows before each validation block: the nearest ends of a moment. `rows_until`: [moments] rows
    up to each one's end.
    """
    block = int(rows_until[-1]) // (folds + 1)
    first, cuts = 0, []
    for number in range(folds):
        possible = rows_until[
            first : len(rows_until) - folds + number
        ]  # later folds need a moment each
        wanted = int(rows_until[-1]) - (folds - number) * block
        nearest = int(np.abs(possible - wanted).argmin())
        cuts.append(int(possible[nearest]))
        first += nearest + 1
    return cuts
