"""K folds that keep groups whole."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate._parts import from_parts
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset


class Settings(Splitter):
    """K folds over `data.group`: rows of a group are never on both sides; sizes as equal as greedy
    filling makes them.

    Groups that share equal rows are one (`data.duplicates`).
    """

    keeps_groups: ClassVar[bool] = True

    folds: int = Field(5, ge=2, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        if dataset.groups is None or dataset.units is None:
            raise RecipeError(
                "evaluate.scheme",
                "data.group for the scheme group",
                "none",
                "Name the column in data.group.",
            )
        names, groups, sizes = np.unique(dataset.units, return_inverse=True, return_counts=True)
        if len(names) < self.folds:
            raise DataError(
                "data.group",
                f"at least {self.folds} groups for {self.folds} folds",
                f"{len(names)}",
                "Lower evaluate.folds.",
            )
        shuffled = np.random.default_rng(seed).permutation(len(names))
        largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
        filled, fold_of = np.zeros(self.folds), np.zeros(len(names), dtype=np.int64)
        for name in largest_first:
            fold_of[name] = filled.argmin()
            filled[fold_of[name]] += sizes[name]
        return from_parts(
            [np.flatnonzero(fold_of[groups] == number) for number in range(self.folds)]
        )
