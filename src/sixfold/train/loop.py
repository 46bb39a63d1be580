"""The training loop, written out: many replicas at once; a single fit is a stack of one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch

from sixfold.runs.saves import Saves
from sixfold.train import threads
from sixfold.train.device import Pace
from sixfold.train.resume import Progress, saver
from sixfold.train.stack import Replica, Stack


@torch.no_grad()
def train(
    stack: Stack, deadline: float | None = None, saves: Saves | None = None
) -> Iterator[tuple[Replica, torch.Tensor]]:
    """θ_k ← θ_k − α∇J_k(θ_k; batch) for every replica k, batch after batch, epoch after epoch.

    Yields each replica with its best weights [P] when it is done. Emits `epoch` events: `loss` is the mean over the epoch's
    rows, each with the weights before its step. The deadline (time.monotonic()) holds within one step. What an earlier
    command saved is continued. Raises FitError.
    """
    end, at, pace = math.inf if deadline is None else deadline, Progress(), Pace(stack.device)
    save = saver(stack, at, saves)
    yield from ((stack.first[place], weights) for place, weights in at.ended)
    for epoch in range(at.epoch, stack.epochs + 1):
        at.epoch, over = epoch, ""
        if not at.done:
            shape = (stack.together.count, len(stack.replicas))
            at.losses = torch.zeros(shape, dtype=torch.float64, device=stack.device)
        losses_of = at.losses.unbind()
        with threads.busy(stack.operations):
            for number, batch in enumerate(stack.together.epoch(stack.program.target)):
                if number < at.done:  # before it was killed
                    continue
                losses_of[number].copy_(stack.step(number, batch))
                at.done = number + 1
                pace.stepped()
                save()
                if time.monotonic() >= end:
                    over = f"the time is over in epoch {epoch} of {stack.epochs}"
                    break
        losses, at.done = at.losses[: at.done].cpu(), 0
        stack.end_epoch(epoch)
        _check(stack, losses)
        reasons = _look(stack, epoch, losses, over)
        last = epoch == stack.epochs or bool(over)
        ended = [row for row, reason in enumerate(reasons) if last or reason]
        yield from [_finished(stack, at, row, reasons[row], {"cut": True} if over else {}) for row in ended]
        if last or len(ended) == len(reasons):
            return
        if ended:
            stack.keep([row for row in range(len(reasons)) if row not in ended])
        for stepper in stack.steppers:
            stepper.evaluating(False)


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


def _check(stack: Stack, losses: torch.Tensor) -> None:
    """`losses`: [steps, K]. Raises FitError when one is not a number, or far above the first one."""
    worst = losses.abs().amax(dim=0).tolist()
    for at, replica in enumerate(stack.replicas):
        if math.isnan(replica.stopping.first_loss):
            replica.stopping.first_loss = abs(float(losses[0, at]))
        if not worst[at] <= replica.stopping.limit:  # true for NaN, too
            steps = min(len(losses), replica.batches.count)
            replica.stopping.check(losses[:steps, at], stack.stepper_of(at).step - steps)


def _look(stack: Stack, epoch: int, losses: torch.Tensor, over: str) -> list[str]:
    """After an epoch: what is watched, the events, and why each replica stops, or ''."""
    values = stack.watch()
    every = stack.replicas[0].candidate.train.report_every
    told = epoch == stack.epochs or bool(over) or epoch % every == 0
    stop = stack.replicas[0].stopping.stop
    norms: list[float | None] = [None] * len(values)
    if told or stop.gradient_norm is not None:
        norms = torch.linalg.vector_norm(stack.gradient, dim=1).tolist()
    reasons = [
        replica.stopping.reason(epoch, values[at], norms[at], stack.shown[at])
        for at, replica in enumerate(stack.replicas)
    ]
    reasons = [over or reason for reason in reasons]
    if not told and not any(reasons):
        return reasons
    shares = stack.shares[:, : len(losses)]
    means = ((losses.T * shares).sum(dim=1) / shares.sum(dim=1)).tolist()
    for at, replica in enumerate(stack.replicas):
        if told or reasons[at]:
            facts = {"loss": means[at], "validation": values[at], "gradient_norm": norms[at]}
            rate = stack.stepper_of(at).learning_rate
            replica.context.emit(
                "epoch", epoch=epoch, epochs=stack.epochs, report_every=every, learning_rate=rate, **facts
            )
    return reasons
