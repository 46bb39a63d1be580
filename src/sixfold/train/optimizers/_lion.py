"""Lion (Chen and others, 2023), which torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """θ ← θ − α·(sign(β₁m + (1 − β₁)g) + λθ), then m ← β₂m + (1 − β₂)g; m starts at 0."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        beta1: float,
        beta2: float,
        weight_decay: float,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "betas": (beta1, beta2), "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step by the gradients; parameters without one stay, and so does their momentum."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, (mixed, kept) = group["lr"], group["betas"]
            for one in group["params"]:
                if one.grad is None:
                    continue
                state = self.state[one]
                if not state:
                    state["momentum"] = torch.zeros_like(one)
                momentum = state["momentum"]
                direction = momentum.lerp(one.grad, 1.0 - mixed).sign_()
                one.mul_(1.0 - rate * group["weight_decay"]).sub_(direction, alpha=rate)
                momentum.lerp_(one.grad, 1.0 - kept)
        return loss
