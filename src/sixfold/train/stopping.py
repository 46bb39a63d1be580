"""When training ends, and which weights are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from sixfold.core.errors import FitError
from sixfold.parts.table import FloatArray
from sixfold.recipe.schema import Stop

# A loss this many times the first one (or 1) will not come back: guessed, far above any loss seen
# in a run that did.
DIVERGED = 1e8
REMEDY = "Lower train.optimizer.learning_rate, add train.warm_up, or look for extreme values in the features."


@dataclass
class EarlyStopping:
    """Follows one fit. `weights`: the best so far, [P]; None as long as nothing is watched."""

    stop: Stop
    greater_is_better: bool = False
    best: float = math.nan
    best_epoch: int = 0
    first_loss: float = math.nan
    weights: torch.Tensor | None = None

    def reason(
        self, epoch: int, value: float | None, gradient_norm: float | None, theta: torch.Tensor
    ) -> str:
        """After an epoch: keep the weights `theta` [P] when they are the best so far, say why to
        stop, or ''.

        `value`: what is watched, on the rows cut off; None where nothing is.
        """
        if value is not None:
            self._look(epoch, value, theta)
        least = self.stop.gradient_norm
        if least is not None and gradient_norm is not None and gradient_norm < least:
            return f"the gradient's norm {gradient_norm:.3g} is below {least:g}"
        if value is None:
            return ""
        if self.stop.target is not None and self._reached(value, self.stop.target):
            return f"{self.stop.metric} {value:.6g} has reached the target {self.stop.target:g}"
        if self.stop.patience is not None and epoch - self.best_epoch >= self.stop.patience:
            return f"no better {self.stop.metric} than {self.best:.6g} of epoch {self.best_epoch}"
        return ""

    @property
    def limit(self) -> float:
        """The largest loss that training may come to."""
        return DIVERGED * max(1.0, self.first_loss) if math.isfinite(self.first_loss) else DIVERGED

    def check(self, losses: FloatArray, first_step: int) -> None:
        """`losses`: [steps]. Raises FitError that names the first that is no number, or beyond the
        limit.
        """
        bad = np.flatnonzero(~(np.abs(losses) <= self.limit))
        if len(bad):
            at = int(bad[0])
            raise FitError(
                f"train, step {first_step + at + 1}",
                "a loss that is a number and does not grow without end",
                f"loss {float(losses[at]):.6g} (first step: {self.first_loss:.6g})",
                REMEDY,
            )

    def final(self, theta: torch.Tensor, step: int) -> torch.Tensor:
        """The weights that training ends with, [P]: the best ones where something was watched, or
        `theta`, the last.

        Raises FitError when the last step left weights that are not numbers.
        """
        if not bool(theta.isfinite().all()):
            raise FitError(
                f"train, step {step}",
                "weights that are finite numbers",
                "weights that are not",
                REMEDY,
            )
        return theta if self.weights is None else self.weights

    def _look(self, epoch: int, value: float, theta: torch.Tensor) -> None:
        change = value - self.best if self.greater_is_better else self.best - value
        if not self.best_epoch or change > self.stop.minimum_change:
            self.best, self.best_epoch = value, epoch
            self.weights = theta.detach().clone()

    def _reached(self, value: float, target: float) -> bool:
        return value >= target if self.greater_is_better else value <= target
