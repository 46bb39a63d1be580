"""Exact resume: everything that the next step of a stack depends on, written and read back bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from sixfold.parts import state
from sixfold.parts.state import State
from sixfold.runs.saves import Checkpoints
from sixfold.train.stack import Stack


@dataclass(frozen=True)
class Saved(State):
    """A stack between two steps, as plain values and arrays."""

    tree: dict[str, Any]


@dataclass
class Progress:
    """Where training is: since the start of `epoch`, `done` steps were taken, with the `losses` [steps, K]; `ended`: replicas
    that are done, by their first position in the stack, with their weights [P].
    """

    epoch: int = 1
    done: int = 0
    losses: torch.Tensor = field(default_factory=lambda: torch.zeros((0, 0), dtype=torch.float64))
    ended: list[tuple[int, torch.Tensor]] = field(default_factory=list)


def saver(stack: Stack, progress: Progress, saves: Checkpoints | None, tell: Callable[[], None]) -> Callable[[], None]:
    """Called between two steps: writes the state where it is time to, and tells before what would be lost. Continues
    `progress` and `stack` first, where an earlier command left a state.
    """
    if saves is None:
        return lambda: None
    name = saves.training()
    newest = saves.newest(name)
    if newest is not None:
        _restore(stack, progress, _unpack(state.load(newest, Saved).tree))

    def save() -> None:
        if saves.due():
            tell()
            step = (progress.epoch - 1) * stack.together.count + progress.done
            saved = Saved(_pack(_captured(stack, progress)))
            saves.save(name, step, partial(state.save, saved), state.file_bytes(saved))

    return save


def _captured(stack: Stack, progress: Progress) -> dict[str, Any]:
    average, together = stack.average, stack.together
    return {
        "epoch": progress.epoch,
        "done": progress.done,
        "losses": progress.losses[: progress.done],
        "ended": [[position, weights] for position, weights in progress.ended],
        "places": list(stack.places),
        "theta": stack.theta,
        "gradient": stack.gradient,
        "mean": None if average is None else [average.mean, average.counted],
        "orders": together.before,
        "noise": [each.noise.get_state() for each in stack.replicas],
        "stopping": [
            [each.stopping.best, each.stopping.best_epoch, each.stopping.first_loss, each.stopping.weights]
            for each in stack.replicas
        ],
        "steppers": [each.state() for each in stack.steppers],
    }


def _restore(stack: Stack, progress: Progress, tree: dict[str, Any]) -> None:
    if len(tree["places"]) < len(stack.places):
        stack.keep(tree["places"])
    progress.epoch, progress.done = tree["epoch"], tree["done"]
    progress.losses = tree["losses"].to(stack.device)
    progress.ended = [(position, weights) for position, weights in tree["ended"]]
    with torch.no_grad():
        stack.theta.copy_(tree["theta"])
        stack.gradient.copy_(tree["gradient"])
        if stack.average is not None:
            stack.average.mean.copy_(tree["mean"][0])
            stack.average.counted = tree["mean"][1]
    for each, noise, order, stopping in zip(
        stack.replicas, tree["noise"], tree["orders"], tree["stopping"], strict=True
    ):
        each.noise.set_state(noise)
        each.stopping.best, each.stopping.best_epoch, each.stopping.first_loss, each.stopping.weights = stopping
        stack.together.orders[stack.replicas.index(each)].set_state(order)
    for stepper, saved in zip(stack.steppers, tree["steppers"], strict=True):
        stepper.restore(saved)


def _pack(value: Any) -> Any:
    """Tensors as arrays with their shape: a State's arrays have one axis or more."""
    if isinstance(value, torch.Tensor):
        return {"tensor": value.detach().cpu().numpy().copy().reshape(-1), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        packed = [_pack(item) for item in value]
        return tuple(packed) if isinstance(value, tuple) else packed
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"tensor", "shape"}:
        return torch.from_numpy(value["tensor"].copy()).reshape(value["shape"])
    if isinstance(value, dict):
        return {key: _unpack(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        unpacked = [_unpack(item) for item in value]
        return tuple(unpacked) if isinstance(value, tuple) else unpacked
    return value
