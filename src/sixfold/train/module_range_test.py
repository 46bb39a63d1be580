"""The range test of `learning_rate: auto` (see `range_test`) for one module."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sixfold.core.seeds import derive
from sixfold.parts.fit import Setting
from sixfold.runs.context import Context
from sixfold.train.module import ModuleFit, ModuleLearner, RowBatch
from sixfold.train.range_test import (
    DOWN,
    SHARE_OF_TIME,
    UP,
    RangeCurve,
    Rise,
    asked,
    relative_changes,
    report_rates,
    rounded,
    step_count,
    tested_optimizer,
    with_default,
)
from sixfold.train.rate import Rate


def rated(work: ModuleFit, setting: Setting, deadline: float | None) -> ModuleFit:
    """The same with a number in the place of `learning_rate: auto`, which is said; the module stays
    as it is.

    Raises RecipeError for an optimizer that takes no such rate.
    """
    if not asked(work.train):
        return work
    now = time.monotonic()
    curve = curve_of(work, math.inf if deadline is None else now + SHARE_OF_TIME * (deadline - now))
    best = curve.best()
    options = with_default(work.train.optimizer) | (
        {} if best is None else {"learning_rate": rounded(best)}
    )
    report_rates(setting, [curve], work.context)
    return replace(work, train=work.train.model_copy(update={"optimizer": options}))


def curve_of(work: ModuleFit, end: float = math.inf) -> RangeCurve:
    """What the loss does while the rate rises; without steps where `end` (time.monotonic()) comes
    before the last one.
    """
    optimizer, times = tested_optimizer(work.train.optimizer)
    train = work.train.model_copy(update={"optimizer": optimizer, "average": None})
    stepped, start = (
        ModuleLearner(
            replace(
                work,
                module=copy.deepcopy(work.module),
                train=train,
                context=Context(check_memory=work.context.check_memory),
                seed=derive(work.seed, "range test"),
                watched=None,
                score=None,
                workers=1,
            )
        )
        for _ in range(2)
    )
    steps = step_count(stepped.steps)
    rate = Rate(stepped.stepper.rate.base * UP, Rise(DOWN * UP), 0.0, steps)
    stepped.stepper.rate = rate
    losses: list[tuple[float, float]] = []
    for batch in _batches(stepped, steps):
        if time.monotonic() >= end:
            return RangeCurve(np.zeros(0), np.zeros(0))
        stepped.set_rate(batch)
        losses.append((float(start.backward(batch)), float(stepped.backward(batch))))
        stepped.step(batch)
        start.stepper.step = stepped.stepper.step  # it draws what the other one draws
    return RangeCurve(
        times * np.array([rate.at(step) for step in range(steps)]),
        relative_changes(np.array(losses)),
    )


def _batches(learner: ModuleLearner, steps: int) -> Iterator[RowBatch]:
    done = 0
    while done < steps:
        for batch in learner.batches():
            if done < steps:
                yield batch
            done += 1
