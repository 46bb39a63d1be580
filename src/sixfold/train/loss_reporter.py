"""What is reported of a training: the loss of every epoch of every fit, no oftener than somebody
can look.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from sixfold.parts.table import FloatArray
from sixfold.train.learner import Learner

MOST = (
    2000  # epochs in one event, the newest: twice what `ReplicaLearner.next_report_epoch` lets pass
)
OFTEN_S = 0.05  # between two events of a fit: an event costs a fifth of a small network's step


class LossReporter:
    """Holds what was not reported yet. Where `report_every` is 1, an event reports as many epochs
    as OFTEN_S has, and at once the first; else as many as the recipe asks for. When a fit ends,
    what is held is reported.
    """

    def __init__(self, learner: Learner[Any]) -> None:
        self.learner = learner
        self.every = learner.report_every
        self.reported_at = -math.inf
        self.epoch = 0  # the last one that is held
        self.means: deque[FloatArray] = deque(maxlen=MOST)
        self.watched: deque[Sequence[float | None]] = deque(maxlen=MOST)

    @property
    def late(self) -> bool:
        """Whether epochs that only time holds back should be reported."""
        return self.every == 1 and self.learner.ranks.agree(
            time.monotonic() - self.reported_at >= OFTEN_S
        )

    def is_due(self, epoch: int) -> bool:
        """Whether the epochs up to this one should be reported, though no fit ends with it."""
        asked = (
            epoch % self.every == 0 if self.every > 1 else self.late or 2 * len(self.means) >= MOST
        )
        return asked or epoch == self.learner.epochs

    def hold(self, epoch: int, losses: FloatArray, watched: Sequence[float | None]) -> None:
        """`losses`: [steps, K] of some epochs up to `epoch`, the last of which may lack steps;
        `watched`: after the last.
        """
        shares = self.learner.shares().T
        for start in range(0, len(losses), len(shares)):
            some = losses[start : start + len(shares)]
            weights = shares[: len(some)]
            self.means.append((some * weights).sum(axis=0) / weights.sum(axis=0))
            self.watched.append(watched)
        self.epoch = epoch
        if self.learner.step_points:
            self._report_steps(epoch, losses)

    def _report_steps(self, epoch: int, losses: FloatArray) -> None:
        """An event with means over some steps each. `losses`: [steps, K] of one epoch, by a learner
        that reports each."""
        parts = np.array_split(losses, min(self.learner.step_points, max(1, len(losses))))
        before = (epoch - 1) * self.learner.steps
        ends = (before + np.cumsum([len(part) for part in parts])).tolist()
        for at, trainee in enumerate(self.learner.trainees):
            means = [float(part[:, at].mean()) for part in parts if len(part)]
            trainee.context.emit("steps", epoch=epoch, steps=ends[: len(means)], losses=means)

    def report(self, norms: Sequence[float | None] | None = None) -> None:
        """An event for every fit. `norms`: of their gradients."""
        if not self.means:
            return
        losses, watched = np.array(self.means).T.tolist(), list(zip(*self.watched, strict=True))
        norms = self.learner.norms() if norms is None else norms
        rates = self.learner.rates()
        for at, trainee in enumerate(self.learner.trainees):
            facts = {
                "loss": losses[at][-1],
                "validation": watched[at][-1],
                "gradient_norm": norms[at],
            }
            each = {
                "losses": losses[at],
                "validations": [] if watched[at][-1] is None else list(watched[at]),
            }
            epochs = {
                "epoch": self.epoch,
                "epochs": self.learner.epochs,
                "report_every": self.every,
            }
            trainee.context.emit("epoch", **epochs, learning_rate=rates[at], **facts, **each)
        self.means.clear()
        self.watched.clear()
        self.reported_at = time.monotonic()
