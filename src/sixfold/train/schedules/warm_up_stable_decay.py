"""The learning rate stays, and falls at the end."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """1 up to the last share `decay` of the steps, then down to `minimum`: linear, or 1 − √x
    (`square_root`). `train.warm_up` is the rise before it.

    Hu and others, MiniCPM, 2024; the fall: Hägele and others, Scaling laws and compute-optimal training
    beyond fixed training durations, 2024, section 4 (a fifth of the steps, 1 − √x).
    """

    decay: float = Field(
        0.2, gt=0, le=1, description="Share of the steps over which the rate falls, in (0, 1]."
    )
    minimum: float = Field(0.0, ge=0, le=1, description="Factor after the last step, in [0, 1].")
    shape: Literal["linear", "square_root"] = Field(
        "square_root", description="How it falls: in a line, or 1 − √x, fast at first."
    )

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""
        done = (step / steps - (1.0 - self.decay)) / self.decay
        if done <= 0:
            return 1.0
        fallen = math.sqrt(done) if self.shape == "square_root" else done
        return self.minimum + (1.0 - self.minimum) * (1.0 - fallen)
