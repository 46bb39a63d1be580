"""Time that is counted, not tried: operations by the rates of a machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from sixfold.build.candidate import fits_of
from sixfold.build.family import FitWork
from sixfold.evaluate.model import needs_inner_folds
from sixfold.plan.limits import Work
from sixfold.plan.machines import Machine, Rates
from sixfold.plan.memory import Size, Stacks

# Products of the shapes that networks have reach this share of the rate of a large square one, and what is read and written
# comes from caches in part: measured (bench/plan.py).
PRODUCT_SHARE: Final = 0.5
CACHED: Final = 0.5
INNER: Final = 3.0  # times as long with fits on three inner folds of two thirds of the rows


class CountedTime(NamedTuple):
    """Seconds of a candidate's part of all folds, and of its last training."""

    folds_s: float
    refit_s: float


def counted(work: Work, size: Size, stacks: Stacks, machine: Machine) -> CountedTime | None:
    """What candidates that are trained as one take, each its part; None where a family cannot be counted."""
    first, fits = work.alike[0], fits_of(work.alike, [size.few])
    rows = work.training.table.rows
    fold, whole = first.family.expected(fits, size.rows), first.family.expected(fits, rows)
    if fold is None or whole is None:
        return None
    speed = machine.core.solver_speed
    prepare_s = size.row_s * sum(len(one.train) + len(one.validation) for one in work.folds) / speed
    rates, at_once = _rates(work, machine)
    if first.family.trained_by_the_loop:
        parts = stacks.parts(len(work.folds), len(work.alike))
        trained_s = sum(seconds(fold, rates, count, at_once) for count in parts) / len(work.alike)
    else:
        waves = -(-len(work.folds) // stacks.folds)
        trained_s = waves * seconds(fold, rates, 1, 1)
    inner = INNER if needs_inner_folds(first) else 1.0
    last_s = size.row_s * rows / speed + inner * seconds(whole, rates, 1, at_once)
    return CountedTime(prepare_s + inner * trained_s, last_s)


def _rates(work: Work, machine: Machine) -> tuple[Rates, int]:
    """Of where it is trained; and how many of these there are."""
    if machine.accelerator is not None and work.alike[0].family.trained_by_the_loop:
        return machine.accelerator, 1
    return machine.core, machine.cores


def seconds(one: FitWork, rates: Rates, fits: int, at_once: int) -> float:
    """Of `fits` fits that are trained as one, on so many cores."""
    calls_s = one.calls * rates.call_s
    work_s = max(
        one.flops / (PRODUCT_SHARE * rates.flops_per_s),
        CACHED * one.moved_bytes / rates.bytes_per_s,
    )
    solver_s = one.solver_s / rates.solver_speed
    if one.one_program:
        return calls_s + fits * work_s / max(1.0, min(at_once, fits / 2)) + fits * solver_s
    waves = -(-fits // at_once)
    beside = min(one.parts, at_once) if fits == 1 else 1
    return waves * (calls_s + work_s) / beside + fits * solver_s
