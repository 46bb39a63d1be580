"""The learning rate falls along half a cosine."""

from __future__ import annotations

import math

from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """factor = minimum + (1 − minimum)·(1 + cos(π·step / steps)) / 2.

    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017 (without the
    restarts).
    """

    minimum: float = Field(0.0, ge=0, le=1, description="Factor at the end, in [0, 1].")

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""
        return self.minimum + (1.0 - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
