"""A quasi-Newton method: few, costly steps on all rows at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings


class Settings(OptimizerSettings):
    """θ ← θ − α·H·∇J, where H approximates the inverse Hessian from the last `history` steps
    (two-loop recursion).

    Each step of the loop makes up to `iterations` such updates. Needs `batch_size: full`. Liu and
    Nocedal, On the limited memory BFGS method, 1989; strong Wolfe line search: Nocedal and Wright,
    2006, 3.5.
    """

    full_batch: ClassVar[bool] = True  # curvature from different rows would be noise

    learning_rate: float = Field(1.0, gt=0, le=10, description="α, above 0, at most 10.")
    iterations: int = Field(20, ge=1, description="Updates a step of the loop, at least 1.")
    history: int = Field(10, ge=1, description="Past updates that are remembered, at least 1.")
    line_search: Literal["strong_wolfe", "none"] = Field(
        "strong_wolfe",
        description="How far a step goes: searched for, or always α (the very first: α / max(1, ‖∇J‖₁)).",
    )

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`."""
        return torch.optim.LBFGS(
            parameters,
            lr=self.learning_rate,
            max_iter=self.iterations,
            history_size=self.history,
            tolerance_grad=0.0,  # when to stop is said in `train.stop`; torch's own 1e-9 leaves errors of 1e-5
            tolerance_change=1e-16,
            line_search_fn=None if self.line_search == "none" else self.line_search,
        )
