"""The mean of the weights along the way: of all steps, the last ones most (EMA), or of the ends of
the last epochs (SWA).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sixfold.recipe.schema import Average


@dataclass
class WeightAverage:
    """`mean`: [K, P], a row a replica. `counted`: epochs' ends in it.

    EMA: mean ← β_t·mean + (1 − β_t)·θ with β_t = min(β, (1 + t) / (10 + t)), so that the start is
    soon forgotten (Polyak and Juditsky, 1992; the rise as in TensorFlow's). SWA: the plain mean of
    θ at the ends of the epochs after the share `swa` (Izmailov and others, Averaging weights leads
    to wider optima, 2018).
    """

    settings: Average
    mean: torch.Tensor
    counted: int = 0

    @classmethod
    def of(cls, settings: Average | None, theta: torch.Tensor) -> WeightAverage | None:
        """Starts at θ [K, P]; None where no mean is asked."""
        return None if settings is None else cls(settings, theta.clone())

    @property
    def begun(self) -> bool:
        """Whether the mean holds weights that were trained."""
        return self.settings.swa is None or self.counted > 0

    def after_step(self, rows: range, step: int, theta: torch.Tensor) -> None:
        """Step number `step` (1, 2, …) of the replicas `rows` is done."""
        if self.settings.ema is not None:
            decay = min(self.settings.ema, (1.0 + step) / (10.0 + step))
            own = slice(rows.start, rows.stop)
            self.mean[own].lerp_(theta[own], 1.0 - decay)

    def after_epoch(self, share: float, theta: torch.Tensor) -> None:
        """`share` of the epochs is done, in (0, 1]."""
        if self.settings.swa is not None and share > self.settings.swa:
            self.counted += 1
            self.mean.lerp_(theta, 1.0 / self.counted)
