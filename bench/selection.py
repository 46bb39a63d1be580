"""60 candidates × 10 folds on breast cancer: Sixfold's selections beside scikit-learn's searches.

Both train the same scikit-learn pipelines on one core, so that only the selection differs: GridSearchCV fits all 600 on the
same ten folds; HalvingGridSearchCV halves over rows, ours over folds. The mean of each choice over all ten folds is stated
beside the best of all 60; ours is asserted to lie within one standard error of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from bench.pairs import Result, interleaved
from sixfold.evaluate.selecting import Selected, select
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION

FOLDS, ROUNDS = 10, 3
WORKLOADS: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "svm": (
        make_pipeline(StandardScaler(), SVC()),
        {"svc__gamma": list(np.logspace(-4, 0, 6)), "svc__C": list(np.logspace(-2, 3, 10))},
    ),
    "linear": (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": list(np.logspace(-4, 3, 60))},
    ),
    "tree": (
        make_pipeline(DecisionTreeClassifier(random_state=0)),
        {
            "decisiontreeclassifier__max_depth": [1, 2, 3, 4, 5, 6, 8, 10, 12, 16],
            "decisiontreeclassifier__min_samples_leaf": [1, 2, 4, 8, 16, 32],
        },
    ),
}  # fmt: skip


def measure(workloads: Sequence[str] = tuple(WORKLOADS)) -> list[Result]:
    """Seconds and fits of each selection and its peer."""
    return [result for name in workloads for result in _of(name)]


def _of(workload: str) -> list[Result]:
    x, y = load_breast_cancer(return_X_y=True)
    model, grid = WORKLOADS[workload]
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))
    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]

    def score(positions: Sequence[int], numbers: Sequence[int]) -> FloatArray:
        models = [clone(model).set_params(**candidates[position]) for position in positions]
        pairs = [folds[number] for number in numbers]
        return np.array([[one.fit(x[a], y[a]).score(x[b], y[b]) for a, b in pairs] for one in models])

    def ours(name: str) -> Selected:
        return select(SELECTION.make({"name": name}), len(candidates), FOLDS, score, bounds=(0.0, 1.0))

    def exhaustive() -> GridSearchCV:
        return GridSearchCV(model, grid, cv=folds, refit=False).fit(x, y)

    def halving() -> HalvingGridSearchCV:
        cv = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few rows of one class in the first rounds
            return HalvingGridSearchCV(model, grid, cv=cv, factor=2, refit=False, random_state=0).fit(x, y)

    every = score(range(len(candidates)), range(FOLDS))
    results = []
    for name, peer, theirs in (
        ("racing", "GridSearchCV", exhaustive), ("halving", "GridSearchCV", exhaustive),
        ("halving", "HalvingGridSearchCV", halving),
    ):  # fmt: skip
        mine, others = interleaved(lambda name=name: ours(name), theirs, ROUNDS)
        results.append(
            Result(
                f"{workload}, 60 candidates x 10 folds, {name}",
                peer,
                mine,
                others,
                "s",
                _quality(ours(name), theirs(), candidates, every),
            )
        )
    return results


def _quality(selected: Selected, search: Any, candidates: list[dict[str, Any]], every: FloatArray) -> str:
    """What each chose, by the mean over all folds; and ours in fits."""
    means = every.mean(axis=1)
    finished = selected.finished
    mine = means[finished[int(means[finished].argmax())]]
    best = every[int(means.argmax())]
    assert best.mean() - mine <= best.std(ddof=1) / np.sqrt(FOLDS)
    other = means[candidates.index(search.best_params_)]
    fits = getattr(search, "n_candidates_", [every.shape[0]])
    return (
        f"mean of the choice {mine:.4f}, theirs {other:.4f}, best {best.mean():.4f}; "
        f"{selected.fits} fits, theirs {sum(fits) * FOLDS}"
    )
