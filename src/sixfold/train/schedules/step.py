"""The learning rate falls in steps."""

from __future__ import annotations

from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """factor = gamma ^ ⌊step / (every · steps)⌋."""

    every: float = Field(
        0.3, gt=0, le=1, description="Share of all steps between two falls, above 0, at most 1."
    )
    gamma: float = Field(
        0.1,
        gt=0,
        le=1,
        description="What the rate is multiplied by at each fall, above 0, at most 1.",
    )

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""
        return float(self.gamma ** int(step / (self.every * steps) + 1e-9))
