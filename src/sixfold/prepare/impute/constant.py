"""A missing number becomes `value`; a missing category becomes a level of its own, when training rows lack some."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.prepare.impute._fill import Fill
from sixfold.prepare.step import Block, Takes, Training
from sixfold.prepare.vocabulary import MISSING, UNSEEN
from sixfold.recipe.section import Section


class Settings(Section):
    """A missing number becomes `value`; a missing category becomes a level of its own, when training rows lack some."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number", "category"})
    joint: ClassVar[bool] = False

    value: float = Field(0.0, description="What missing numbers become.")

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if x.dtype.kind == "f":
            step = Fill(np.full(x.shape[1], self.value))
        else:
            own = [len(levels) for levels in training.levels]
            step = Fill(np.where((x == MISSING).any(axis=0), own, UNSEEN).astype(np.int64))
        return step
