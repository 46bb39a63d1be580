"""A missing number becomes the median of its column."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.impute._fill import Fill
from sixfold.prepare.step import Block, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """A missing number becomes the median of its column."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        return Fill(np.nanmedian(x, axis=0))
