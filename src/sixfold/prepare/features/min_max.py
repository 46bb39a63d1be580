"""(x - minimum) / (maximum - minimum): training rows lie in [0, 1]."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.prepare.affine import Affine
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """(x - minimum) / (maximum - minimum): training rows lie in [0, 1]."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        shift = np.nanmin(x, axis=0)
        scale = np.nanmax(x, axis=0) - shift
        return Affine(shift, np.where(scale > 0, scale, 1.0))
