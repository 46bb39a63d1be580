"""One fold a row."""

from __future__ import annotations

import numpy as np

from sixfold.core.errors import DataError
from sixfold.evaluate._parts import from_parts
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset

MOST_ROWS = 5000  # a fit a row, and rows² indices: 200 MB here


class Settings(Splitter):
    """As many folds as rows, at most 5,000: each validates one row, and the rows that are equal to
    it.
    """

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        rows = dataset.table.rows
        if rows > MOST_ROWS:
            raise DataError(
                "evaluate.scheme",
                f"at most {MOST_ROWS:,} rows for leave_one_out, which fits a model a row",
                f"{rows:,}",
                "Use kfold or stratified.",
            )
        if dataset.together is None:
            return from_parts([np.array([row], dtype=np.int64) for row in range(rows)])
        order = np.argsort(dataset.together, kind="stable")
        starts = np.flatnonzero(np.diff(dataset.together[order]))
        return from_parts([np.sort(part) for part in np.split(order, starts + 1)])
