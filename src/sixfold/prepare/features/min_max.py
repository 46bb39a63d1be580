"""(x - minimum) / (maximum - minimum): training rows lie in [0, 1]."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.affine import Affine
from sixfold.prepare.step import Block, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """(x - minimum) / (maximum - minimum): training rows lie in [0, 1]."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})

    def fit(self, x: Block, training: Training) -> tuple[Affine, Block]:
        """Learn from training rows, [rows, m]."""
        shift = np.nanmin(x, axis=0)
        scale = np.nanmax(x, axis=0) - shift
        step = Affine(shift, np.where(scale > 0, scale, 1.0))
        return step, step.transform(x)
