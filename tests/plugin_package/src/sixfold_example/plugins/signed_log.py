"""The logarithm of a number's distance from 0, with its sign."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section
from sixfold_example.learned.scaled_log import ScaledLog


class Settings(Section):
    """sign(x) · log(1 + |x| / s), where s is the median of |x|."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    def fit(self, x: Block, training: Training) -> ScaledLog:
        """Learn from training rows, [rows, m]."""
        middle = np.nanmedian(np.abs(x), axis=0)
        return ScaledLog(np.where(middle > 0, middle, 1.0))
