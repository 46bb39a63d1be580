"""The package's optimizers, ready to train, and without their habit of writing into the gradients.

The loop reads the norm of the gradients after the step: SGDScheduleFree adds λy to them,
AdamWScheduleFree divides them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schedulefree
import torch


class _Ready(torch.optim.Optimizer):
    """Before one of the package's classes in the order of bases: in train mode from the start;
    gradients stay as they are.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.train()  # type: ignore[attr-defined]  # the package's

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; the loss of `closure`, where one is
        given.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        owners = [
            one for group in self.param_groups for one in group["params"] if one.grad is not None
        ]
        gradients = [one.grad for one in owners]
        for one in owners:
            one.grad = one.grad.clone()
        super().step()
        for one, gradient in zip(owners, gradients, strict=True):
            one.grad = gradient
        return loss


class ScheduleFreeSGD(_Ready, schedulefree.SGDScheduleFree):  # type: ignore[misc]  # the package has no types
    """Schedule-free SGD."""


class ScheduleFreeAdamW(_Ready, schedulefree.AdamWScheduleFree):  # type: ignore[misc]  # the package has no types
    """Schedule-free AdamW."""
