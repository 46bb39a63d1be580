"""The deadline of a training, which holds within one step on a processor and on a GPU."""

from __future__ import annotations

import math
import time
from collections import deque

import torch

from sixfold.train.rank_group import ALONE, RankGroup

AHEAD = 16  # steps that Python may ask for before the first of them is done: guessed, enough to keep a GPU busy


class Clock:
    """`deadline`: time.monotonic() seconds, or None. Keeps Python at most AHEAD steps before the
    GPU, so that a deadline that is looked at between two steps means something. Of several ranks the
    first one's clock counts.
    """

    def __init__(
        self, deadline: float | None, device: torch.device, ranks: RankGroup = ALONE
    ) -> None:
        self.end = math.inf if deadline is None else deadline
        self.ranks = ranks
        self.waits = device.type == "cuda"
        self.asked: deque[torch.cuda.Event] = deque()

    def stepped(self) -> None:
        """After a step was asked for. A processor has done it by then."""
        if not self.waits:
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self.asked.append(event)
        if len(self.asked) > AHEAD:
            self.asked.popleft().synchronize()

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another step."""
        return self.end < math.inf and self.ranks.agree(time.monotonic() >= self.end)
