"""Which candidate wins, and the leaderboard."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.parts.state import size_bytes


@dataclass(frozen=True)
class Standing:
    """One candidate: mean over the folds, their standard deviation (n - 1), every fold, seconds of preparing and training.

    `error`: standard error of the mean, spread / √K. Folds share training rows, so it is rather too small (Bengio and
    Grandvalet, 2004).
    """

    name: str
    family: str
    mean: float
    spread: float
    error: float
    folds: tuple[float, ...]
    fit_s: float


@dataclass(frozen=True)
class Leaderboard:
    """Candidates by the deciding metric, the best first; those it cannot score come last."""

    metric: str
    standings: tuple[Standing, ...]

    def __str__(self) -> str:
        lines = [f"{'candidate':40} {self.metric:>12} {'spread':>9} {'std err':>9} {'seconds':>8}"]
        lines += [f"{s.name:40} {s.mean:12.4f} {s.spread:9.4f} {s.error:9.4f} {s.fit_s:8.1f}" for s in self.standings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{html.escape(s.name)}</td><td>{s.mean:.4f}</td><td>{s.spread:.4f}</td><td>{s.error:.4f}</td><td>{s.fit_s:.1f}</td></tr>"
            for s in self.standings
        )
        head = (
            f"<tr><th>candidate</th><th>{self.metric}</th><th>spread</th><th>standard error</th><th>seconds</th></tr>"
        )
        return f"<table>{head}{cells}</table>"


def order(evaluations: Sequence[Evaluation], metric: str) -> list[int]:
    """Positions, the best first. Equal means: the smaller model; then the one named first in the recipe.

    Not the one that trained faster: seconds differ from run to run, and the winner must not.
    """
    sign = -1.0 if scoring.greater_is_better(metric) else 1.0

    sizes = [sum(map(size_bytes, evaluation.models)) for evaluation in evaluations]

    def key(position: int) -> tuple[bool, float, int]:
        mean = float(np.mean(evaluations[position].scores[metric]))
        return bool(np.isnan(mean)), sign * round(mean, 12), sizes[position]

    return sorted(range(len(evaluations)), key=key)


def best(evaluations: Sequence[Evaluation], metric: str) -> int:
    """The winner's position. Raises RecipeError when the metric scores no candidate."""
    winner = order(evaluations, metric)[0]
    if np.isnan(np.mean(evaluations[winner].scores[metric])):
        raise RecipeError(
            "evaluate.metrics", "a first metric that scores at least one candidate", metric,
            "Put another metric first: a family without probabilities has no log loss, Brier score or calibration error, "
            "and a fold with one class or one row has no roc_auc, average_precision or r2.",
        )  # fmt: skip
    return winner


def leaderboard(evaluations: Sequence[Evaluation], metric: str) -> Leaderboard:
    """All candidates in order."""
    ranked = (evaluations[position] for position in order(evaluations, metric))
    return Leaderboard(metric, tuple(_standing(each, metric) for each in ranked))


def _standing(evaluation: Evaluation, metric: str) -> Standing:
    folds = evaluation.scores[metric]
    spread = float(np.std(folds, ddof=1)) if len(folds) > 1 else 0.0
    return Standing(
        evaluation.name, evaluation.family, float(np.mean(folds)), spread, spread / len(folds) ** 0.5,
        tuple(folds.tolist()), evaluation.fit_s,
    )  # fmt: skip
