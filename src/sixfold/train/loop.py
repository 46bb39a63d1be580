"""The training loop, written out: many replicas at once; a single fit is a stack of one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from sixfold.parts.table import FloatArray
from sixfold.runs.saves import Checkpoints
from sixfold.train import threads
from sixfold.train.device import Pace
from sixfold.train.resume import Progress, saver
from sixfold.train.stack import Replica, Stack
from sixfold.train.telling import LossReporter


@torch.no_grad()
def train(
    stack: Stack, deadline: float | None = None, saves: Checkpoints | None = None
) -> Iterator[tuple[Replica, torch.Tensor]]:
    """θ_k ← θ_k − α∇J_k(θ_k; batch) for every replica k, batch after batch, epoch after epoch.

    Yields each replica with its best weights [P] when it is done. Emits `epoch` events: `loss` is the mean over the epoch's
    rows, each with the weights before its step. The deadline (time.monotonic()) holds within one step. What an earlier
    command saved is continued. Raises FitError.
    """
    end, at, pace, telling = (
        math.inf if deadline is None else deadline,
        Progress(),
        Pace(stack.device),
        LossReporter(stack),
    )
    save = saver(stack, at, saves, telling.tell)

    def stepped() -> bool:
        """Between two steps; whether there is time for another one."""
        pace.stepped()
        save()
        return time.monotonic() < end

    yield from ((stack.first[place], weights) for place, weights in at.ended)
    while at.epoch <= stack.epochs:
        epoch, losses = _run_epochs(stack, at, stepped, telling)
        in_time = time.monotonic() < end
        over = "" if in_time else f"the time is over in epoch {epoch} of {stack.epochs}"
        stack.end_epoch(epoch)
        _check(stack, losses)
        reasons = _look(stack, epoch, losses, over, telling)
        last = epoch == stack.epochs or bool(over)
        ended = [row for row, reason in enumerate(reasons) if last or reason]
        yield from [_finished(stack, at, row, reasons[row], {"cut": True} if over else {}) for row in ended]
        if last or len(ended) == len(reasons):
            return
        if ended:
            stack.keep([row for row in range(len(reasons)) if row not in ended])
        for stepper in stack.steppers:
            stepper.evaluating(False)
        at.epoch, at.done = epoch + 1, 0


def _run_epochs(
    stack: Stack, at: Progress, stepped: Callable[[], bool], telling: LossReporter
) -> tuple[int, FloatArray]:
    """The epochs from `at.epoch` to the next one after which something is told or looked at.

    Returns the last of them, an earlier one where the time is over, and the mean losses of all steps, float64 [steps, K].
    """
    last, count, number = stack.next_report_epoch(at.epoch), stack.together.count, 0
    shape = ((last + 1 - at.epoch) * count, len(stack.replicas))
    before, at.losses = at.losses, torch.zeros(shape, dtype=torch.float64, device=stack.device)
    if at.done:  # before it was killed
        at.losses[: at.done] = before[: at.done]
    losses_of = at.losses.unbind()
    with threads.busy(stack.operations), torch.inference_mode(not stack.program.records):
        for epoch in range(at.epoch, last + 1):
            if number + count < at.done:
                number += count
                continue
            for step, batch in enumerate(stack.together.epoch(stack.program.encode)):
                number += 1
                if number <= at.done:
                    continue
                losses_of[number - 1].copy_(stack.step(step, batch))
                at.done = number
                if not stepped():
                    return epoch, at.losses[:number].cpu().numpy()
            if telling.late:
                return epoch, at.losses[:number].cpu().numpy()
    return last, at.losses.cpu().numpy()


def _finished(
    stack: Stack, at: Progress, row: int, reason: str, facts: dict[str, bool]
) -> tuple[Replica, torch.Tensor]:
    """The replica of row `row` and its weights, now that it is done. `facts`: more of why, for programs."""
    replica, stopping = stack.replicas[row], stack.replicas[row].stopping
    if reason:
        replica.context.emit("training_stopped", reason=reason, best_epoch=stopping.best_epoch or None, **facts)
    weights = stopping.final(stack.shown[row], stack.stepper_of(row).step).to("cpu", copy=True)
    at.ended.append((stack.places[row], weights))
    return replica, weights


def _check(stack: Stack, losses: FloatArray) -> None:
    """`losses`: [steps, K], from the start of an epoch. Raises FitError when one is not a number, or far above the first."""
    worst = np.abs(losses).max(axis=0).tolist()
    for at, replica in enumerate(stack.replicas):
        if math.isnan(replica.stopping.first_loss):
            replica.stopping.first_loss = abs(float(losses[0, at]))
        if not worst[at] <= replica.stopping.limit:  # true for NaN, too
            own = losses[np.arange(len(losses)) % stack.together.count < replica.batches.count, at]
            replica.stopping.check(own, stack.stepper_of(at).step - len(own))


def _look(stack: Stack, epoch: int, losses: FloatArray, over: str, telling: LossReporter) -> list[str]:
    """What is watched, the events, and why each replica stops, or ''. `losses`: [steps, K] of the epochs since the last look."""
    values = stack.watch()
    telling.hold(epoch, losses, values)
    due = bool(over) or telling.is_due(epoch)
    norms: list[float | None] = [None] * len(values)
    if due or stack.replicas[0].stopping.stop.gradient_norm is not None:
        norms = stack.norms()
    reasons = [
        over or replica.stopping.reason(epoch, values[at], norms[at], stack.shown[at])
        for at, replica in enumerate(stack.replicas)
    ]
    if due or any(reasons):
        telling.tell(norms if due else None)
    return reasons
