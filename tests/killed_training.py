"""Trainings that end as those of a killed process do, and what the next one goes on from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train.stepper import Stepper


class KilledError(Exception):
    """In the place of a signal: nothing after the step is done."""


@contextmanager
def killed_at(step: float, patch: pytest.MonkeyPatch) -> Iterator[Iterator[int]]:
    """Inside, a training is killed before step number `step`, from 0, of all that are taken there.
    Gives the count of steps.
    """
    steps, plain = itertools.count(), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        if next(steps) == step:
            raise KilledError
        plain(self, closure)

    with patch.context() as inside:
        inside.setattr(Stepper, "take", take)
        yield steps


def every_step(folder: Path) -> Checkpoints:
    """A state after every step."""
    return Checkpoints(folder, "key", lambda kind, facts: None, every_s=0.0)


def saving(folder: Path) -> Context:
    """Of a training that leaves a state after every step."""
    return Context(saves=every_step(folder))
