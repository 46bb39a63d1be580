"""The learning rate rises once, then falls far below where it began."""

from __future__ import annotations

import math

from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """Half a cosine from 1/start up to 1 over the first share `rise` of the steps, another one down
    to 1/(start·end).

    Smith and Topin, Super-convergence: very fast training of neural networks using large learning
    rates, 2018.
    """

    rise: float = Field(0.3, gt=0, lt=1, description="Share of the steps that rise, in (0, 1).")
    start: float = Field(
        25.0, ge=1, description="The first rate is the learning rate divided by this, at least 1."
    )
    end: float = Field(
        1e4, ge=1, description="The last rate is the first one divided by this, at least 1."
    )

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""
        peak, last = self.rise * steps - 1.0, steps - 1.0
        low = 1.0 / self.start
        if step <= peak:
            return _between(low, 1.0, step / peak if peak > 0 else 1.0)
        return _between(1.0, low / self.end, (step - peak) / (last - peak) if last > peak else 1.0)


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))
