"""The worst loss that may be accepted, on the mean over the validation folds, against the model
before any step.

Three rules: `keep`, metric by metric; a share of the lift over a model that ignores the columns; no
class is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sixfold.evaluate import scoring
from sixfold.parts.table import BoolArray, FloatArray, IntArray
from sixfold.recipe.compression import Compress

Scores = dict[str, FloatArray]

SCORE_LOSS = 0.01  # where `keep` is left out: one point of a score between 0 and 1 …
ERROR_SHARE = 0.01  # … or one per cent of an error
ROUNDING = 1e-12


def _no_rows() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Before:
    """The model before any step.

    `baseline`: of a model that ignores the columns, for the metrics whose lift counts, the deciding
    one first; NaN on folds that do not define them. `found`: [classes] validation rows of each
    class that are predicted rightly.
    """

    scores: Scores
    baseline: Scores
    found: IntArray = field(default_factory=_no_rows)
    classes: tuple[str, ...] = ()


class Lift(NamedTuple):
    """How far the model is above a baseline, in the metric's good direction; the share `kept` has
    to stay.
    """

    baseline: float
    height: float
    kept: float


class Bound(NamedTuple):
    """What the mean of `metric` over `folds` may lose from `old`: at most `keep`, and little enough
    of its lift.
    """

    metric: str
    folds: BoolArray
    old: float
    keep: float
    lift: Lift | None

    @property
    def allowed(self) -> float:
        """The loss that is accepted, 0 or more, in the metric's own unit."""
        return min(
            self.keep,
            np.inf if self.lift is None else (1 - self.lift.kept) * max(0.0, self.lift.height),
        )

    def violation(self, after: FloatArray) -> str:
        """What `after` breaks, as a sentence; '' when it holds."""
        if np.isnan(self.old):
            return f"this model cannot be scored by {self.metric} on every fold, so that keep cannot be held"
        new, good = float(np.mean(after[self.folds])), _good(self.metric)
        change = -good * self.allowed + 0.0
        if not good * (self.old - new) <= self.allowed + ROUNDING:
            would = f"{self.metric} would go from {_apart(self.old, new)}"
            if self.lift is None or self.allowed == self.keep:
                return f"{would}, and keep allows a change of {change:+.4g}"
            return f"{would}, and a change of {change:+.4g} is allowed: {self._lift_kept()}"
        if self.lift is not None and not good * (new - self.lift.baseline) > ROUNDING:
            return f"{self.metric} would go from {_apart(self.old, new)}, no better than the baseline of {self.lift.baseline:.4g}"
        return ""

    def notes(self) -> str:
        """What may be lost, in words."""
        lifted = self.lift is not None and self.allowed < self.keep
        return f"{self.allowed:.4g} of {self.metric}" + (
            f" ({self._lift_kept()})" if lifted else ""
        )

    def _lift_kept(self) -> str:
        if self.lift is None:
            return ""
        share = f"{100 * self.lift.kept:.4g}%"
        return f"{share} of its lift of {self.lift.height:.4g} over the baseline of {self.lift.baseline:.4g} must stay"


@dataclass(frozen=True)
class Keep:
    """What is promised: a bound for every metric that is watched, and that the classes that are
    found stay found.
    """

    bounds: tuple[Bound, ...]
    found: IntArray = field(default_factory=_no_rows)
    classes: tuple[str, ...] = ()

    def violation(self, after: Scores, found: IntArray) -> str:
        """Which promise a model with these scores and `found` rows of each class breaks, as a
        sentence; '' when all hold.
        """
        for bound in self.bounds:
            if why := bound.violation(after[bound.metric]):
                return why
        for label, (name, old) in enumerate(zip(self.classes, self.found, strict=True)):
            if old and not found[label]:
                return f"no validation row of the class {name!r} would be found any more, where {old:,} are"
        return ""

    def no_lift(self) -> str:
        """Why this model is not compressed at all; '' where it beats the baseline by every metric
        whose lift counts.
        """
        for metric, _, old, _, lift in self.bounds:
            if lift is not None and not lift.height > ROUNDING:
                return f"{metric} is {old:.4g}, no better than the baseline of {lift.baseline:.4g}: nothing can be spared"
        return ""

    def notes(self) -> str:
        """What is promised, as a sentence."""
        lost = ", ".join(bound.notes() for bound in self.bounds)
        stay = "; every class that is found there stays found" if (self.found > 0).any() else ""
        return f"Compression: all steps together may cost at most {lost}, as the mean over the validation folds{stay}."


def _good(metric: str) -> float:
    return 1.0 if scoring.greater_is_better(metric) else -1.0


def _apart(old: float, new: float) -> str:
    """Both with so many digits that they differ."""
    shown = next(
        (f"{old:.{n}g} to {new:.{n}g}" for n in (4, 6, 9) if f"{old:.{n}g}" != f"{new:.{n}g}"), ""
    )
    return shown or f"{old!r} to {new!r}"


def make(section: Compress, before: Before) -> Keep:
    """From the recipe; `keep` left out: the deciding metric, one point of a score or one per cent
    of an error.
    """
    scoring.check_changes(section.keep, tuple(before.scores))
    allowed = {name: abs(change) for name, change in section.keep.items()}
    if not allowed:
        first = next(iter(before.baseline))
        size = float(np.mean(before.scores[first]))
        allowed = {
            first: SCORE_LOSS if scoring.greater_is_better(first) else ERROR_SHARE * abs(size)
        }
    bounds = (
        _bound(name, allowed, before, section.keep_lift)
        for name in dict.fromkeys((*allowed, *before.baseline))
    )
    return Keep(tuple(bound for bound in bounds if bound is not None), before.found, before.classes)


def _bound(name: str, allowed: Mapping[str, float], before: Before, kept: float) -> Bound | None:
    """None for a metric that `keep` does not name and no fold defines."""
    scores, most = before.scores[name], allowed.get(name, np.inf)
    defined = np.isfinite(scores) & np.isfinite(before.baseline.get(name, scores))
    lift = None
    if name in before.baseline and defined.any():
        old, base = float(np.mean(scores[defined])), float(np.mean(before.baseline[name][defined]))
        lift = Lift(base, _good(name) * (old - base), kept)
    if name in allowed:  # what is promised by name is promised on every fold
        return Bound(name, np.ones(len(scores), dtype=bool), float(np.mean(scores)), most, lift)
    return (
        None if lift is None else Bound(name, defined, float(np.mean(scores[defined])), most, lift)
    )
