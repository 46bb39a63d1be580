"""K folds, several times, each time with other folds."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.core.seeds import derive
from sixfold.evaluate._parts import from_parts, strata, stratified_parts
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset


class Settings(Splitter):
    """K folds, repeated, each time with other rows together: every row is validated `repeats`
    times. Classes are stratified.
    """

    folds: int = Field(5, ge=2, description="Number of folds K.")
    repeats: int = Field(3, ge=1, description="How many times.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        classes = dataset.target.task == "classification"
        layers = strata(dataset.target) if classes else np.zeros(dataset.table.rows, dtype=np.int64)
        seeds = [derive(seed, "repeat", number) for number in range(self.repeats)]
        parts = [stratified_parts(layers, self.folds, each, dataset.together) for each in seeds]
        return [fold for each in parts for fold in from_parts(each)]
