"""Trials: a candidate, or candidates that are trained as one, on a few training rows, to see what
they take.

A network is trained for `TRIAL_EPOCHS` epochs at most. What all of them will take is what these
took, and the mean of the later ones for each that is missing: what is done once (a range test, the
start) is counted once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sixfold.build.apart import fit_all
from sixfold.build.candidate import Candidate, fits_of
from sixfold.evaluate.model import calibrate, fit_of, fit_prepared, prepare_rows, watch_of, weighed
from sixfold.parts import state
from sixfold.parts.table import Dataset, IntArray
from sixfold.runs.context import Context

TRIAL_EPOCHS = 3


@dataclass(frozen=True)
class CandidateTrial:
    """What `rows` rows took. `once_s`: to prepare and predict; `fit_s`: to train, `all_s`: the same
    for all epochs; `predict_s`: to predict alone.
    """

    rows: int
    once_s: float
    fit_s: float
    all_s: float
    model_bytes: float
    cut: bool
    predict_s: float = 0.0

    @property
    def whole_s(self) -> float:
        """Seconds that the rows take in a run."""
        return self.once_s + self.all_s


def trial(
    candidate: Candidate, training: Dataset, count: int, context: Context, part_s: float
) -> CandidateTrial:
    """`count` training rows prepared, trained on for about `part_s`, predicted. Raises the
    SixfoldError that stops it.
    """
    epochs, candidate = candidate.train.epochs, _short(candidate)
    rows, started = training.take(some(training, count)), time.monotonic()
    prepared = prepare_rows(candidate, rows, context)
    seen = _Seen(time.monotonic())
    context = _lenient(context, seen, seen.begun + part_s)
    model = fit_prepared(candidate, prepared, rows.target, context)
    own_s = seen.all_s(epochs)
    calibrated = replace(context, emit_to=seen.listen_for_cuts)
    begun = time.monotonic()
    model = calibrate(candidate, model, rows, calibrated)
    done = time.monotonic()
    model.predict(rows.table)
    predict_s = time.monotonic() - done
    once_s = seen.begun - started + predict_s
    missing = (
        epochs / seen.trained if seen.trained else 1.0
    )  # of the fits on inner folds, which have as many epochs
    inner_s = (done - begun) * missing
    cut = seen.cut or (candidate.family.ends_in_time and context.left_s() <= 0)
    size = float(state.file_bytes(model))
    return CandidateTrial(count, once_s, done - seen.begun, own_s + inner_s, size, cut, predict_s)


def together_s(
    candidates: Sequence[Candidate],
    fits: int,
    training: Dataset,
    count: int,
    context: Context,
    part_s: float,
) -> float | None:
    """Seconds of training all candidates on `fits` folds of `count` rows as one piece of work, all
    epochs of it; None where a network is cut in its first epoch. Raises the SixfoldError that stops
    it.
    """
    epochs, short = candidates[0].train.epochs, [_short(candidate) for candidate in candidates]
    rows = training.take(some(training, count))
    prepared = prepare_rows(short[0], rows, context)
    target = weighed(short[0], rows.target)
    work = [fit_of(prepared, target, context, {"fold": number}) for number in range(fits)]
    seen = _Seen(time.monotonic())
    context = _lenient(context, seen, seen.begun + part_s)
    every = fits_of(short, work, watch_of(short[0], rows.target))
    for _ in fit_all(short[0].family, every, context):
        pass
    whole_s = seen.all_s(epochs)
    return None if seen.cut and seen.trained < 2 else whole_s


@dataclass(frozen=True)
class Lenient(Context):
    """A deadline that cuts a training short, and refuses none: a trial's own is no budget of the
    recipe's.
    """

    def check_time(self, doing: str) -> None:
        """Nothing is refused."""


def _lenient(context: Context, seen: _Seen, deadline: float) -> Lenient:
    return Lenient(seed=context.seed, emit_to=seen.listen, deadline=deadline, device=context.device)


def some(training: Dataset, count: int) -> IntArray:
    """`count` rows, sorted: evenly spaced in the order of the target, so that classes have their
    shares.
    """
    values = training.target.values.reshape(training.table.rows, -1)[:, 0]
    order = np.argsort(values, kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)]).astype(np.int64)


def _short(candidate: Candidate) -> Candidate:
    few = {"epochs": min(candidate.train.epochs, TRIAL_EPOCHS), "report_every": 1}
    return replace(candidate, train=candidate.train.model_copy(update=few))


@dataclass
class _Seen:
    """What the events of a training say. `ended`: epoch → when the last network's ended, of those
    that are told one by one.
    """

    begun: float
    ended: dict[int, float] = field(default_factory=dict)
    tested_s: float = 0.0
    cut: bool = False

    def listen(self, kind: str, facts: dict[str, Any]) -> None:
        """To all of them."""
        if kind == "epoch":
            self.ended[facts["epoch"]] = time.monotonic()
        self.tested_s += (
            facts["took_s"] if kind == "range_tested" else 0.0
        )  # before the first epoch, and not in each
        self.listen_for_cuts(kind, facts)

    def listen_for_cuts(self, kind: str, facts: dict[str, Any]) -> None:
        """To nothing else."""
        self.cut = self.cut or bool(facts.get("cut"))

    @property
    def trained(self) -> int:
        """Epochs, the one that was cut included."""
        return max(self.ended, default=0)

    def all_s(self, epochs: int) -> float:
        """Seconds of all epochs, now that those of the trial are over; of what has no epochs, just
        its time. An epoch that was cut says little of a whole one, and counts only where there is
        no other.
        """
        took_s = time.monotonic() - self.begun
        if self.trained == 0:
            return took_s
        whole = max(
            (epoch for epoch in self.ended if not self.cut or epoch < self.trained), default=0
        )
        if whole < 1:
            return self.tested_s + (took_s - self.tested_s) * epochs
        first_s = self.ended[1] - self.begun
        each_s = (
            (self.ended[whole] - self.ended[1]) / (whole - 1)
            if whole > 1
            else first_s - self.tested_s
        )
        done_s = self.ended[whole] - self.begun if self.cut else took_s
        return done_s + each_s * (epochs - whole)
