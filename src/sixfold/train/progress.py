"""Exact resume: where a training is, and everything that its next step depends on, written and read
back bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from sixfold.parts import state
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.runs.saves import Checkpoints
from sixfold.train.learner import Learner
from sixfold.train.loss_reporter import LossReporter

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class SavedTraining(State):
    """A training between two steps, as plain values and arrays."""

    tree: dict[str, Any]


@dataclass
class Progress:
    """Since the start of `epoch`, `done` steps were taken, with the `losses` [steps, K]; `last`:
    the epoch in work, or the last one that was. `ended`: fits that are done, by their first place
    in the learner, with their weights [P].
    """

    epoch: int = 1
    last: int = 1
    done: int = 0
    losses: torch.Tensor = field(default_factory=lambda: torch.zeros((0, 0), dtype=torch.float64))
    ended: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    rows: tuple[torch.Tensor, ...] = ()  # of `losses`

    def start(self, learner: Learner[Any]) -> None:
        """Before the epochs up to the next report: room for their losses, of which some are known
        after a resume.
        """
        self.last = learner.next_report_epoch(self.epoch)
        shape = ((self.last + 1 - self.epoch) * learner.steps, len(learner.trainees))
        before, self.losses = (
            self.losses,
            torch.zeros(shape, dtype=torch.float64, device=learner.device),
        )
        if self.done:  # before it was killed
            self.losses[: self.done] = before[: self.done]
        self.rows = self.losses.unbind()

    def batches(self, learner: Learner[Batch], reporter: LossReporter) -> Iterator[Batch]:
        """Those of the epochs from `epoch` to the next report that are still to be stepped; fewer,
        where only time had held the report back.
        """
        end, number = self.last, 0
        for epoch in range(self.epoch, end + 1):
            if number + learner.steps < self.done:
                number += learner.steps
                continue
            self.last = epoch
            for batch in learner.batches():
                number += 1
                if number > self.done:
                    yield batch
            if reporter.late:
                return

    def took_step(self, losses: torch.Tensor) -> None:
        """`losses`: [K], before the step."""
        self.rows[self.done].copy_(losses)
        self.done += 1

    def losses_seen(self) -> FloatArray:
        """Of all steps since the start of `epoch`, float64 [steps, K]."""
        return self.losses[: self.done].cpu().numpy()


class TrainingCheckpoint:
    """The newest state of one training in the run's folder; nothing, where `saves` is None. Of several ranks the first
    one saves, and all go on from what it finds.
    """

    def __init__(
        self, learner: Learner[Any], progress: Progress, saves: Checkpoints | None
    ) -> None:
        self.learner, self.progress, self.saves = learner, progress, saves
        self.name = "" if saves is None else saves.training()

    def restore(self) -> None:
        """Go on from what an earlier command left."""
        newest = None if self.saves is None else self.saves.newest(self.name)
        found = self.learner.ranks.text("" if newest is None else str(newest.absolute()))
        if not found:
            return
        tree, at = _unpack(state.load(Path(found), SavedTraining).tree), self.progress
        self.learner.load_state_dict(tree["learner"])
        for trainee, saved in zip(self.learner.trainees, tree["stopping"], strict=True):
            stopping = trainee.stopping
            stopping.best, stopping.best_epoch, stopping.first_loss, best = saved
            stopping.weights = None if best is None else self.learner.own(best)
        at.epoch, at.done = tree["epoch"], tree["done"]
        at.losses = tree["losses"].to(self.learner.device)
        at.ended = [(place, weights) for place, weights in tree["ended"]]

    def is_due(self) -> bool:
        """Whether it is time to save; in every rank, where they have to put the weights together."""
        due = self.saves is not None and self.saves.due()
        return self.learner.ranks.agree(due) if self.learner.divided else due

    def save(self) -> None:
        """Between two steps."""
        at, learner = self.progress, self.learner
        tree = {
            "epoch": at.epoch,
            "done": at.done,
            "losses": at.losses[: at.done],
            "ended": [[place, weights] for place, weights in at.ended],
            "stopping": [
                [
                    one.stopping.best,
                    one.stopping.best_epoch,
                    one.stopping.first_loss,
                    None if one.stopping.weights is None else learner.whole(one.stopping.weights),
                ]
                for one in learner.trainees
            ],
            "learner": learner.state_dict(),
        }
        if self.saves is None:  # of another rank, which only helped
            return
        saved = SavedTraining(_pack(tree))
        step = (at.epoch - 1) * learner.steps + at.done
        self.saves.save(self.name, step, partial(state.save, saved), state.file_bytes(saved))


def _pack(value: Any) -> Any:
    """Tensors as arrays with their shape: a State's arrays have one axis or more."""
    if isinstance(value, torch.Tensor):
        return {
            "tensor": value.detach().cpu().numpy().reshape(-1),  # written before the next step
            "shape": list(value.shape),
        }
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
