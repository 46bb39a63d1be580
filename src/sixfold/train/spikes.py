"""Losses that jump: the weights go back to where all was well, and the batches since then are passed over.

Chowdhery and others, PaLM, 2022, section 5.1: a training was begun again about 100 steps before a spike,
without the batches around it, and the spike did not come back.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import fmean, pstdev
from typing import Any, Final

RECENT: Final = 50  # losses of which the mean is taken; guessed
LEAST: Final = 20  # of them, before anything is a spike; guessed
EVERY: Final = (
    25  # steps between two states that may be gone back to; guessed: a copy takes memory and time
)


class SpikeGuard:
    """`limit`: standard deviations above the mean of the last losses, from which on one is a spike."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.losses: deque[float] = deque(maxlen=RECENT)
        self.good: dict[str, Any] | None = None  # a learner's state, and
        self.good_step = 0  # after how many steps it was

    def jumps(self, loss: float) -> bool:
        """Whether a loss is a spike; one that is none is remembered."""
        jumped = len(self.losses) >= LEAST and not loss <= self.highest()
        if not jumped and math.isfinite(loss):
            self.losses.append(loss)
        return jumped

    def highest(self) -> float:
        """The largest loss that is none."""
        return fmean(self.losses) + self.limit * pstdev(self.losses)

    def is_due(self, step: int) -> bool:
        """Whether it is time to keep a state."""
        return self.good is None or step - self.good_step >= EVERY

    def keep(self, state: dict[str, Any], step: int) -> None:
        """`state`: a copy, after `step` steps."""
        self.good, self.good_step = state, step

    def state_dict(self) -> dict[str, Any]:
        """All that decides about the next steps."""
        return {"losses": list(self.losses), "good": self.good, "good_step": self.good_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.losses = deque(state["losses"], maxlen=RECENT)
        self.good, self.good_step = state["good"], state["good_step"]
