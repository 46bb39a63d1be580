"""(x - median) / (75th - 25th percentile): outliers hardly count."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.affine import Affine
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """(x - median) / (75th - 25th percentile): outliers hardly count."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        low, shift, high = np.nanpercentile(x, [25.0, 50.0, 75.0], axis=0)
        scale = high - low
        return Affine(shift, np.where(scale > 0, scale, 1.0))
