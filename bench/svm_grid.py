"""An rbf support vector machine on five folds and six C: the grid in one piece beside GridSearchCV(SVC).

Quality is asserted equal: the mean accuracies over the folds differ by at most 0.001 at every C. Both start from the same
arrays and stop at the accuracies. scikit-learn-intelex (`sklearnex`) is a peer where it is installed.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from bench.pairs import ROUNDS, Result, interleaved
from sixfold.build.svm import Settings
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SAME = 1e-3


def measure(rows: int = 5000, features: int = 20, folds: int = 5, rounds: int = ROUNDS) -> list[Result]:
    """Seconds from arrays to the mean accuracy at every C."""
    x, y = make_classification(rows, features, random_state=0)
    parts = list(StratifiedKFold(folds).split(x, y))
    settings = [Settings(C=c, sample=rows) for c in C]

    def ours() -> np.ndarray:
        fits = [Fit(x[train], y[train].astype(np.int64), "classification", 2) for train, _ in parts]
        models = settings[0].solve_all(settings, fits, Context())
        right = [
            [np.mean(next(models).predict(x[test]).argmax(axis=1) == y[test]) for _ in settings] for _, test in parts
        ]
        return np.mean(right, axis=0)

    results = []
    for name, machine in peers():

        def theirs(machine: type = machine) -> np.ndarray:
            search = GridSearchCV(machine(), {"C": list(C)}, cv=parts, n_jobs=2, refit=False)
            return search.fit(x, y).cv_results_["mean_test_score"]

        difference = float(np.abs(ours() - theirs()).max())
        assert difference <= SAME, difference
        mine, others = interleaved(ours, theirs, rounds)
        title = f"{rows:,} × {features}, rbf svm, {folds} folds × {len(C)} C"
        results.append(Result(title, name, mine, others, "s", f"mean accuracies within {difference:.1g}"))
    return results


def peers() -> list[tuple[str, type]]:
    """scikit-learn's class, and that of its extension where it is installed."""
    found = [("GridSearchCV(SVC), 2 processes", SVC)]
    if importlib.util.find_spec("sklearnex"):
        found.append(("the same, scikit-learn-intelex", importlib.import_module("sklearnex.svm").SVC))
    return found
