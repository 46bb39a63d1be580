"""The worst loss that may be accepted, on the mean over the validation folds, against the uncompressed model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sixfold.compress.subject import Scores
from sixfold.evaluate import scoring

SCORE_LOSS = 0.01  # where `keep` is left out: one point of a score between 0 and 1 …
ERROR_SHARE = 0.01  # … or one per cent of an error


@dataclass(frozen=True)
class Keep:
    """`allowed`: metric → accepted change of the mean, in the metric's own unit and sign (accuracy: -0.01, rmse: 0.5)."""

    before: Scores
    allowed: dict[str, float]

    def broken(self, after: Scores) -> str:
        """Which promise `after` breaks, as a sentence; '' when all hold."""
        for name, change in self.allowed.items():
            old, new = float(np.mean(self.before[name])), float(np.mean(after[name]))
            lost = (old - new) if scoring.greater_is_better(name) else (new - old)
            if not lost <= abs(change) + 1e-12:
                return f"{name} would go from {old:.4g} to {new:.4g}, and keep allows a change of {change:+.4g}"
        return ""


def make(section: dict[str, float], before: Scores) -> Keep:
    """From the recipe; left out: the deciding metric, one point of a score or one per cent of an error."""
    if section:
        return Keep(before, {name: change for name, change in section.items() if name in before})
    first = next(iter(before))
    if scoring.greater_is_better(first):
        return Keep(before, {first: -SCORE_LOSS})
    return Keep(before, {first: ERROR_SHARE * abs(float(np.mean(before[first])))})
