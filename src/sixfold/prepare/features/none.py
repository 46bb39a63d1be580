"""As it is."""

from __future__ import annotations

from typing import ClassVar

from sixfold.prepare.identity import Identity
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section


class Settings(Section):
    """The column as it is."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    def fit(self, x: Block, training: Training) -> Identity:
        """Nothing is learned."""
        return Identity()
