"""Several optimizers, each for its own parameters, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class Pair(torch.optim.Optimizer):
    """`parts` step one after the other; the groups are theirs, so a rate that is set here is set
    there.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__(
            [one for part in parts for group in part.param_groups for one in group["params"]], {}
        )
        self.parts = list(parts)
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of each."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of each."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of `state_dict`."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
