"""The training loop: one fit, written out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from sixfold.runs.context import Context
from sixfold.train.batches import Batches
from sixfold.train.rate import Rate
from sixfold.train.stopping import Stopping

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Job:
    """Everything one fit trains with. `report_every`: epochs between two events."""

    module: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    rate: Rate
    batches: Batches
    epochs: int
    report_every: int


def train(job: Job, stopping: Stopping, context: Context) -> str:
    """θ ← θ − α∇J(θ; batch), batch after batch, epoch after epoch; the module ends with the best weights.

    Emits `epoch` events: `loss` is the mean over the epoch's rows, each with the weights before its step. The deadline
    holds within one step. Returns why it ended before the last epoch, or ''. Raises FitError.
    """
    step, reason = 0, ""
    deadline = math.inf if context.deadline is None else context.deadline
    losses = torch.zeros(job.batches.count, dtype=torch.float64)  # stays on the device: one item() an epoch
    share_of_epoch = job.batches.sizes()
    for epoch, batches in zip(range(1, job.epochs + 1), job.batches.epochs(), strict=False):
        job.module.train()
        done = 0
        for x_B, y_B in batches:
            rate = job.rate.at(step)
            for group in job.optimizer.param_groups:
                group["lr"] = rate
            losses[done] = job.optimizer.step(partial(gradient, job, x_B, y_B))  # type: ignore[arg-type]
            step, done = step + 1, done + 1
            if time.monotonic() >= deadline:
                reason = f"the time is over in epoch {epoch} of {job.epochs}"
                break
        job.module.eval()
        stopping.check(losses[:done], step - done)
        last = epoch == job.epochs
        told = last or bool(reason) or epoch % job.report_every == 0
        norm = gradient_norm(job.module) if told or stopping.stop.gradient_norm is not None else None
        reason = reason or stopping.reason(epoch, norm)
        if told or reason:
            loss = float((losses[:done] * share_of_epoch[:done]).sum() / share_of_epoch[:done].sum())
            facts = {"loss": loss, "validation": stopping.value, "learning_rate": rate, "gradient_norm": norm}
            context.emit("epoch", epoch=epoch, epochs=job.epochs, report_every=job.report_every, **facts)
        if reason:
            break
    stopping.check_weights(step)
    stopping.restore()
    return reason


def gradient(job: Job, x_B: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    """∇J of a batch into the parameters' `grad`; returns the loss."""
    job.optimizer.zero_grad(set_to_none=True)
    loss = job.loss(job.module(x_B), y_B).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def gradient_norm(module: nn.Module) -> float:
    """Euclidean norm of the gradient of the last step."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
