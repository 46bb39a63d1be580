"""The learning rate stays."""

from __future__ import annotations

from sixfold.recipe.section import Section


class Settings(Section):
    """factor = 1."""

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""
        return 1.0
