"""(x - mean) / standard deviation (n, not n - 1); a constant column becomes 0."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.affine import Affine
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """(x - mean) / standard deviation (n, not n - 1); a constant column becomes 0."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        shift, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        return Affine(shift, np.where(scale > 0, scale, 1.0))
