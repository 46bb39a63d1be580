"""The training loop, written out: many fits at once; a single fit is a stack of one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from sixfold.parts.table import FloatArray
from sixfold.runs.saves import Checkpoints
from sixfold.train import threads
from sixfold.train.clock import Clock
from sixfold.train.learner import Learner
from sixfold.train.loss_reporter import LossReporter
from sixfold.train.progress import Progress, TrainingCheckpoint

Batch = TypeVar("Batch")


class Trained(NamedTuple):
    """`place`: of the fit among those that the learner began with; `weights`: its best ones,
    [P].
    """

    place: int
    weights: torch.Tensor


@torch.no_grad()
def train(
    learner: Learner[Any], deadline: float | None = None, saves: Checkpoints | None = None
) -> list[Trained]:
    """θ_k ← θ_k − α∇J_k(θ_k; batch) for every fit k, batch after batch, epoch after epoch.

    Returns each fit's best weights. Emits `epoch` events: `loss` is the mean over the epoch's rows,
    each with the weights before its step. The deadline (time.monotonic()) holds within one step.
    What an earlier command saved is continued. Every rank of a group (`learner.ranks`) goes through the same steps.
    Raises FitError.
    """
    at, ranks = Progress(), learner.ranks
    clock, reporter = Clock(deadline, learner.device, ranks), LossReporter(learner)
    checkpoint = TrainingCheckpoint(learner, at, saves)
    checkpoint.restore()
    while at.epoch <= learner.epochs:
        at.start(learner)
        with threads.busy(learner.operations), torch.inference_mode(not learner.records):
            for batch in at.batches(learner, reporter):  # of the epochs up to the next report
                learner.set_rate(batch)  # α, by warm-up and schedule
                losses = learner.backward(batch)  # J_k(θ_k; batch), and ∇J_k, clipped
                learner.step(batch)  # θ_k ← θ_k − α∇J_k, by the optimizer
                at.took_step(losses)
                clock.stepped()
                if checkpoint.is_due():
                    reporter.report()
                    checkpoint.save()
                if clock.is_over:
                    break
        learner.end_epoch(at.last)
        over = f"the time is over in epoch {at.last} of {learner.epochs}" if clock.is_over else ""
        seen = at.losses_seen()
        _check(learner, seen)
        reasons = _reasons_to_stop(learner, at.last, seen, over, reporter)
        last = at.last == learner.epochs or bool(over)
        ended = [row for row, reason in enumerate(reasons) if last or reason]
        at.ended += [
            (learner.places[row], _finish(learner, row, reasons[row], bool(over))) for row in ended
        ]
        if last or len(ended) == len(reasons):
            break
        if ended:
            learner.keep([row for row in range(len(reasons)) if row not in ended])
        learner.start_epoch()
        at.epoch, at.done = at.last + 1, 0
    if not learner.divided:
        ranks.check_equal([weights for _, weights in at.ended])
    return [Trained(place, learner.whole(weights)) for place, weights in at.ended]


def _finish(learner: Learner[Batch], row: int, reason: str, cut: bool) -> torch.Tensor:
    """The weights of the fit in row `row`, [P], now that it is done."""
    trainee = learner.trainees[row]
    if reason:
        facts = {"cut": True} if cut else {}
        trainee.context.emit(
            "training_stopped",
            reason=reason,
            best_epoch=trainee.stopping.best_epoch or None,
            **facts,
        )
    return trainee.stopping.final(learner.weights(row), learner.steps_done(row)).to(
        "cpu", copy=True
    )


def _check(learner: Learner[Batch], losses: FloatArray) -> None:
    """`losses`: [steps, K], from the start of an epoch. Raises FitError when one is not a number,
    or far above the first.
    """
    worst = np.abs(losses).max(axis=0).tolist()
    for row, trainee in enumerate(learner.trainees):
        if math.isnan(trainee.stopping.first_loss):
            trainee.stopping.first_loss = abs(float(losses[0, row]))
        if not worst[row] <= trainee.stopping.limit:  # true for NaN, too
            steps = np.arange(len(losses)) % learner.steps
            own = losses[learner.shares()[row, steps] > 0, row]
            trainee.stopping.check(own, learner.steps_done(row) - len(own))


def _reasons_to_stop(
    learner: Learner[Batch], epoch: int, losses: FloatArray, over: str, reporter: LossReporter
) -> list[str]:
    """Evaluate and report; why each fit stops, or ''. `losses`: [steps, K] of the epochs since the
    last report.
    """
    values = learner.evaluate()
    reporter.hold(epoch, losses, values)
    due = bool(over) or reporter.is_due(epoch)
    norms: list[float | None] = [None] * len(values)
    if due or learner.trainees[0].stopping.stop.gradient_norm is not None:
        norms = learner.norms()
    reasons = [
        over or trainee.stopping.reason(epoch, values[row], norms[row], learner.weights(row))
        for row, trainee in enumerate(learner.trainees)
    ]
    if due or any(reasons):
        reporter.report(norms if due else None)
    return reasons
