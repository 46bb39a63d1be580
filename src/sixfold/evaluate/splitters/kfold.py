"""K folds of nearly equal size, rows in random order."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.evaluate._parts import from_parts, stratified_parts
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset


class Settings(Splitter):
    """K folds: every row is validated once."""

    folds: int = Field(5, ge=2, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        if dataset.together is not None:
            alike = np.zeros(dataset.table.rows, dtype=np.int64)
            return from_parts(stratified_parts(alike, self.folds, seed, dataset.together))
        order = np.random.default_rng(seed).permutation(dataset.table.rows)
        return from_parts([np.sort(part) for part in np.array_split(order, self.folds)])
