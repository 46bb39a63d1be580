"""Which candidate wins, and the leaderboard."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation


@dataclass(frozen=True)
class Standing:
    """One candidate: mean over the folds, their standard deviation (n - 1), every fold, seconds of
    preparing and training.

    `error`: standard error of the mean, spread / √K. Folds share training rows, so it is rather too
    small (Bengio and Grandvalet, 2004). `dropped`: why it got no more folds than `folds`; its mean
    is of those it had.
    """

    name: str
    family: str
    mean: float
    spread: float
    error: float
    folds: tuple[float, ...]
    fit_s: float
    dropped: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """Candidates by the deciding metric, the best first; those it cannot score come last."""

    metric: str
    standings: tuple[Standing, ...]

    def __str__(self) -> str:
        width = max([40, *(len(s.name) for s in self.standings)])
        lines = [
            f"{'candidate':{width}} {self.metric:>12} {'spread':>9} {'std err':>9} {'seconds':>8}"
        ]
        lines += [
            f"{s.name:{width}} {_score(s.mean):>12} {_score(s.spread):>9} {_score(s.error):>9} {s.fit_s:8.1f}{_left(s)}"
            for s in self.standings
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = ("candidate", self.metric, "spread", "standard error", "seconds")
        rows = [
            (s.name + _left(s), *map(_score, (s.mean, s.spread, s.error)), f"{s.fit_s:.1f}")
            for s in self.standings
        ]
        cells = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
        )
        return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{cells}</table>"


def _score(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def order(evaluations: Sequence[Evaluation], metric: str) -> list[int]:
    """Positions, the best first. Equal means: the smaller model; then the one named first in the
    recipe.

    Not the one that trained faster: seconds differ from run to run, and the winner must not. Who
    was dropped comes last, and who is `ahead` first.
    """
    sign = -1.0 if scoring.greater_is_better(metric) else 1.0
    sizes = [evaluation.models.size_bytes for evaluation in evaluations]

    def key(position: int) -> tuple[bool, bool, bool, float, int]:
        one = evaluations[position]
        mean = float(np.mean(one.scores[metric]))
        if np.isnan(mean):
            return True, True, True, 0.0, 0
        return bool(one.dropped), False, not one.ahead, sign * round(mean, 12), sizes[position]

    return sorted(range(len(evaluations)), key=key)


def best(evaluations: Sequence[Evaluation], metric: str) -> int:
    """The winner's position. Raises RecipeError when the metric scores no candidate."""
    winner = order(evaluations, metric)[0]
    if np.isnan(np.mean(evaluations[winner].scores[metric])):
        raise RecipeError(
            "evaluate.metrics",
            "a first metric that scores at least one candidate",
            metric,
            "Put another metric first: a family without probabilities has no log loss, Brier score or calibration error, "
            "and a fold with one class or one row has no roc_auc, average_precision or r2.",
        )
    return winner


def leaderboard(evaluations: Sequence[Evaluation], metric: str) -> Leaderboard:
    """All candidates in order."""
    ranked = (evaluations[position] for position in order(evaluations, metric))
    return Leaderboard(metric, tuple(_standing(each, metric) for each in ranked))


def _left(standing: Standing) -> str:
    return (
        f"  dropped after {len(standing.folds)} folds: {standing.dropped}"
        if standing.dropped
        else ""
    )


def _standing(evaluation: Evaluation, metric: str) -> Standing:
    folds = evaluation.scores[metric]
    if evaluation.dropped:
        folds = folds[list(evaluation.numbers)]
    spread = float(np.std(folds, ddof=1)) if len(folds) > 1 else 0.0
    return Standing(
        evaluation.name,
        evaluation.family,
        float(np.mean(folds)),
        spread,
        spread / len(folds) ** 0.5,
        tuple(folds.tolist()),
        evaluation.fit_s,
        evaluation.dropped,
    )
