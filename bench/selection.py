"""60 candidates × 10 folds, breast cancer and a synthetic set: Sixfold's selections beside
scikit-learn's searches.

All train the same scikit-learn pipelines (a support vector machine, 10 C × 6 gamma) on one core, so
that only the selection differs: GridSearchCV fits all 600 on the same ten folds,
HalvingGridSearchCV halves over rows, ours over folds. One round is one repetition: new folds, all
four in turn. In every one, the mean of our choice over all ten folds has to lie within one standard
error of the best of all 60.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bench.pairs import Result
from sixfold.evaluate.scoring import ScoreBounds
from sixfold.recipe.kinds import SELECTION
from sixfold.select.comparison import PIECES
from sixfold.select.selecting import Scored, Selected, select

FOLDS, REPETITIONS = 10, 20
MODEL = make_pipeline(StandardScaler(), SVC())
GRID = {"svc__gamma": list(np.logspace(-4, 0, 6)), "svc__C": list(np.logspace(-2, 3, 10))}
WORKLOADS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "600 × 20 made": lambda: make_classification(
        600, 20, n_informative=6, flip_y=0.1, random_state=0
    ),
}
OURS, THEIRS = ("racing", "halving"), {"GridSearchCV": 3.0, "HalvingGridSearchCV": 2.0}


@dataclass
class Seen:
    """Of one selection over the repetitions: seconds, fits, how far its choice is from the best in
    standard errors.
    """

    seconds: list[float] = field(default_factory=list)
    fits: list[int] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)

    def notes(self) -> str:
        within = sum(each <= 1 for each in self.behind)
        fits = f"{statistics.median(self.fits):.0f} fits, " if self.fits else ""
        return f"{fits}within 1 s.e. of the best in {within} of {len(self.behind)}"


def measure(
    rounds: int = REPETITIONS,
    workloads: Sequence[str] = tuple(WORKLOADS),
    candidates: int | None = None,
) -> Iterator[Result]:
    """Seconds of each selection and its peers. `candidates`: so many of the 60 only."""
    every = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())][
        :candidates
    ]
    for workload in workloads:
        x, y = WORKLOADS[workload]()
        seen = {name: Seen() for name in (*OURS, *THEIRS)}
        for repetition in range(rounds):
            _repeat(x, y, every, repetition, seen)
        for mine, (theirs, target) in product(OURS, THEIRS.items()):
            assert max(seen[mine].behind) <= 1, (workload, mine, seen[mine].behind)
            yield Result(
                f"{workload}, {len(every)} candidates × {FOLDS} folds, {mine}",
                theirs,
                statistics.median(seen[mine].seconds),
                statistics.median(seen[theirs].seconds),
                quality=f"{mine} {seen[mine].notes()}; {theirs} {seen[theirs].notes()}",
                target=target,
                rounds=rounds,
            )


def _repeat(
    x: np.ndarray,
    y: np.ndarray,
    candidates: list[dict[str, Any]],
    repetition: int,
    seen: dict[str, Seen],
) -> None:
    """One round: all on new folds, in turn."""
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=repetition)
    folds, grid = (
        list(cv.split(x, y)),
        [{name: [value] for name, value in each.items()} for each in candidates],
    )

    def score(positions: Sequence[int], numbers: Sequence[int]) -> Scored:
        models = [clone(MODEL).set_params(**candidates[position]) for position in positions]
        pairs = [folds[number] for number in numbers]
        return _scored(
            [[one.fit(x[a], y[a]).predict(x[b]) == y[b] for a, b in pairs] for one in models]
        )

    def exhaustive() -> Any:
        return GridSearchCV(MODEL, grid, cv=folds, refit=False).fit(x, y)

    def halving() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few rows of one class in the first rounds
            search = HalvingGridSearchCV(
                MODEL, grid, cv=cv, factor=2, refit=False, random_state=repetition
            )
            return search.fit(x, y)

    searches = {}
    for name, search in (("GridSearchCV", exhaustive), ("HalvingGridSearchCV", halving)):
        searches[name] = _timed(search, seen[name])
    means, errors = _scores(searches["GridSearchCV"])
    best = int(means.argmax())
    for name, found in searches.items():
        seen[name].behind.append(
            (means[best] - means[candidates.index(found.best_params_)]) / errors[best]
        )
    seen["GridSearchCV"].fits.append(len(candidates) * FOLDS)
    seen["HalvingGridSearchCV"].fits.append(
        sum(searches["HalvingGridSearchCV"].n_candidates_) * FOLDS
    )
    for name in OURS:
        selection = SELECTION.make({"name": name})
        selected: Selected = _timed(
            lambda selection=selection: _answered(
                select(selection, len(candidates), FOLDS, repetition, ScoreBounds(0.0, 1.0)), score
            ),
            seen[name],
        )
        chosen = max(selected.finished, key=means.__getitem__)
        seen[name].behind.append((means[best] - means[chosen]) / errors[best])
        seen[name].fits.append(selected.fits)


def _answered(selecting: Any, score: Any) -> Selected:
    """What a selection ends with when `score` does its blocks."""
    try:
        block = next(selecting)
        while True:
            block = selecting.send(score(block.positions, block.numbers))
    except StopIteration as end:
        return end.value


def _scored(right: list[list[np.ndarray]]) -> Scored:
    """As a run hands it to a selection. `right`: candidate → fold → [rows] whether the label was
    right.
    """
    means = np.array([[each.mean() for each in one] for one in right])
    pieces = [
        [
            np.bincount(piece := np.arange(len(each)) % PIECES, each) / np.bincount(piece)
            for each in one
        ]
        for one in right
    ]
    return Scored(means, np.array(pieces))


def _scores(search: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means over the folds, and their standard errors, [candidates]."""
    scores = np.stack(
        [search.cv_results_[f"split{fold}_test_score"] for fold in range(FOLDS)], axis=1
    )
    return scores.mean(axis=1), np.maximum(scores.std(axis=1, ddof=1) / np.sqrt(FOLDS), 1e-12)


def _timed(work: Callable[[], Any], seen: Seen) -> Any:
    started = time.perf_counter()
    found = work()
    seen.seconds.append(time.perf_counter() - started)
    return found
