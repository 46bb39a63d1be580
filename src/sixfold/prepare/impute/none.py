"""Missing numbers stay missing: for families that take them (boosting)."""

from __future__ import annotations

from typing import ClassVar

from sixfold.prepare.identity import Identity
from sixfold.prepare.step import Block, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """Missing numbers stay missing: for families that take them (boosting)."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number", "category"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Identity:
        """Nothing is learned."""
        return Identity()
