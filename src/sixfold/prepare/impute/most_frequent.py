"""A missing value becomes the most frequent one of its column (the lowest of equals)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray
from sixfold.prepare.impute._fill import Fill, most_frequent_code
from sixfold.prepare.step import Block, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """A missing value becomes the most frequent one of its column (the lowest of equals)."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number", "category"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if x.dtype.kind != "f":
            step = Fill(most_frequent_code(x))
        else:
            step = Fill(np.array([_mode(column[~np.isnan(column)]) for column in x.T]))
        return step


def _mode(values: FloatArray) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])
