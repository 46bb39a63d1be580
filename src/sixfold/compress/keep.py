"""The worst loss that may be accepted, on the mean over the validation folds, against the uncompressed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.parts.table import FloatArray

Scores = dict[str, FloatArray]

SCORE_LOSS = 0.01  # where `keep` is left out: one point of a score between 0 and 1 …
ERROR_SHARE = 0.01  # … or one per cent of an error


@dataclass(frozen=True)
class Keep:
    """`allowed`: metric → loss of the mean that is accepted, 0 or more, in the metric's own unit."""

    before: Scores
    allowed: dict[str, float]

    def broken(self, after: Scores) -> str:
        """Which promise `after` breaks, as a sentence; '' when all hold."""
        for name, most in self.allowed.items():
            old, new = float(np.mean(self.before[name])), float(np.mean(after[name]))
            if np.isnan(old):
                return f"this model cannot be scored by {name} on every fold, so that keep cannot be held"
            worse = -1.0 if scoring.greater_is_better(name) else 1.0
            if not worse * (new - old) <= most + 1e-12:
                change = worse * most + 0.0
                return f"{name} would go from {old:.4g} to {new:.4g}, and keep allows a change of {change:+.4g}"
        return ""

    def said(self) -> str:
        """What is promised, as a sentence."""
        lost = [f"{name} may get worse by {most:.4g}" for name, most in self.allowed.items()]
        return f"Compression: {', '.join(lost)} at most, as the mean over the validation folds."


def check(section: Mapping[str, float], metrics: Sequence[str]) -> None:
    """Raises RecipeError for a metric that is not measured, or a change that would be a gain."""
    for name, change in section.items():
        if name not in metrics:
            raise RecipeError(
                f"compress.keep.{name}", f"a metric that is measured ({', '.join(metrics)})", f"'{name}'",
                "Add it to evaluate.metrics.",
            )  # fmt: skip
        greater = scoring.greater_is_better(name)
        if change * (-1 if greater else 1) < 0:
            allowed = "0 or less, since more is better" if greater else "0 or more, since less is better"
            raise RecipeError(f"compress.keep.{name}", f"a change of {allowed}", f"{change:g}", f"Write {-change:g}.")


def make(section: Mapping[str, float], before: Scores) -> Keep:
    """From the recipe; left out: the deciding metric, one point of a score or one per cent of an error."""
    check(section, tuple(before))
    if section:
        return Keep(before, {name: abs(change) for name, change in section.items()})
    first = next(iter(before))
    if scoring.greater_is_better(first):
        return Keep(before, {first: SCORE_LOSS})
    return Keep(before, {first: ERROR_SHARE * abs(float(np.mean(before[first])))})
