"""What a stack says while it trains: the loss of every epoch of every replica, no oftener than somebody can look."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

import numpy as np

from sixfold.parts.table import FloatArray
from sixfold.train.stack import Stack

MOST = 2000  # epochs in one event, the newest: twice what `Stack.looked_at` lets pass
OFTEN_S = 0.05  # between two events of a replica: an event costs a fifth of a small network's step


class LossReporter:
    """Holds what was not told yet. Where `report_every` is 1, an event tells of as many epochs as OFTEN_S has, and at once of
    the first; else of so many as the recipe asks for. Whoever ends tells what is held.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.every = stack.replicas[0].candidate.train.report_every
        self.told_at = -math.inf
        self.epoch = 0  # the last one that is held
        self.means: deque[FloatArray] = deque(maxlen=MOST)
        self.watched: deque[Sequence[float | None]] = deque(maxlen=MOST)

    @property
    def late(self) -> bool:
        """Whether epochs that only time holds back should be told."""
        return self.every == 1 and time.monotonic() - self.told_at >= OFTEN_S

    def is_due(self, epoch: int) -> bool:
        """Whether the epochs up to this one should be told, though no replica ends with it."""
        asked = epoch % self.every == 0 if self.every > 1 else self.late or 2 * len(self.means) >= MOST
        return asked or epoch == self.stack.epochs

    def hold(self, epoch: int, losses: FloatArray, watched: Sequence[float | None]) -> None:
        """`losses`: [steps, K] of some epochs up to `epoch`, the last of which may lack steps; `watched`: after the last."""
        shares = self.stack.shares.T
        for start in range(0, len(losses), len(shares)):
            some = losses[start : start + len(shares)]
            weights = shares[: len(some)]
            self.means.append((some * weights).sum(axis=0) / weights.sum(axis=0))
            self.watched.append(watched)
        self.epoch = epoch

    def tell(self, norms: Sequence[float | None] | None = None) -> None:
        """An event for every replica. `norms`: of their gradients."""
        if not self.means:
            return
        losses, watched = np.array(self.means).T.tolist(), list(zip(*self.watched, strict=True))
        norms = self.stack.norms() if norms is None else norms
        for at, replica in enumerate(self.stack.replicas):
            rate = self.stack.stepper_of(at).learning_rate
            facts = {"loss": losses[at][-1], "validation": watched[at][-1], "gradient_norm": norms[at]}
            each = {"losses": losses[at], "validations": [] if watched[at][-1] is None else list(watched[at])}
            epochs = {"epoch": self.epoch, "epochs": self.stack.epochs, "report_every": self.every}
            replica.context.emit("epoch", **epochs, learning_rate=rate, **facts, **each)
        self.means.clear()
        self.watched.clear()
        self.told_at = time.monotonic()
