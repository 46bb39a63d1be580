"""What is compared when time ended before any candidate had all folds: those who have the folds of
whoever has the most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import FoldScores
from sixfold.plan.run_context import Plan


def common(parts: Mapping[int, Sequence[FoldScores]], metric: str) -> tuple[int, ...]:
    """The folds of the candidate that did most of them (of equally many: that has the best mean),
    sorted.
    """
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0

    def rank(at: int) -> tuple[int, float]:
        scores = np.concatenate([part.scores[metric] for part in parts[at]])
        mean = float(np.mean(scores))
        return len(scores), sign * mean if np.isfinite(mean) else -np.inf

    return tuple(sorted(number for part in parts[max(parts, key=rank)] for number in part.numbers))


def planned(plan: Plan, numbers: Sequence[int]) -> Plan:
    """The plan with these folds alone."""
    folds = tuple(plan.folds[number] for number in numbers)
    baseline = {name: scores[list(numbers)] for name, scores in plan.baseline.items()}
    return replace(plan, folds=folds, baseline=baseline)


def restricted(parts: Sequence[FoldScores], numbers: Sequence[int]) -> list[FoldScores] | None:
    """What a candidate did on these folds, numbered as in `planned`; None where it did not do all
    of them.
    """
    found = []
    for part in parts:
        kept = [at for at, number in enumerate(part.numbers) if number in numbers]
        if kept:
            found.append(
                replace(
                    part,
                    numbers=tuple(numbers.index(part.numbers[at]) for at in kept),
                    models=part.models.take(kept),
                    predictions=tuple(part.predictions[at] for at in kept),
                    scores={name: scores[kept] for name, scores in part.scores.items()},
                )
            )
    return found if sum(len(part.numbers) for part in found) == len(numbers) else None
