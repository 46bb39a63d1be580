"""Folds that hold out what each user did last."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.interactions import USER
from sixfold.parts.table import Dataset


class Settings(Splitter):
    """Of each user the last interaction validates, and what was before it trains; the next fold takes
    the last but one, and so on. Of task: recommendation.

    The order is that of `data.time`, of one moment or without it that of the rows. What others did
    later does train: a split in time alone (time_series) keeps all of the future out.
    """

    ordered: ClassVar[bool] = True

    folds: int = Field(2, ge=1, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`, the earliest first; nothing is random."""
        if dataset.target.task != "recommendation":
            raise RecipeError(
                "evaluate.scheme",
                "task: recommendation for the scheme leave_last",
                dataset.target.task,
                "Use time_series, or auto.",
            )
        users = dataset.table.columns[USER].values.astype(np.int64)
        times = np.zeros(len(users)) if dataset.times is None else dataset.times
        order = np.lexsort((times, users))
        _, starts, own, counts = np.unique(
            users[order], return_index=True, return_inverse=True, return_counts=True
        )
        from_end = (counts[own] - 1) - (np.arange(len(order)) - starts[own])
        folds = []
        for back in reversed(range(self.folds)):
            validation = order[(from_end == back) & (counts[own] > back + 1)]
            folds.append(Fold(np.sort(order[from_end > back]), np.sort(validation)))
        if not len(folds[0].validation):
            raise DataError(
                "evaluate.folds",
                f"users with more than {self.folds} interactions",
                "none",
                "Lower evaluate.folds, or use kfold.",
            )
        return folds
