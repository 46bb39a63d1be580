"""An rbf support vector machine on five folds and six C: the grid in one piece beside
GridSearchCV(SVC).

Mean accuracies over the folds have to be within 0.001 at every C. Both start from the same arrays
and stop at the accuracies. scikit-learn-intelex runs in one process with its own threads, and in
two processes: the faster one is measured. The floor is that of the kernel matrix alone, half of
which is computed and all of which is written; libsvm's steps are not counted.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from bench import floor
from bench.pairs import ROUNDS, Result, against, need
from sixfold.build.svm import Settings
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SAME = 1e-3


def measure(
    rows: int = 5000, features: int = 20, folds: int = 5, rounds: int = ROUNDS
) -> Iterator[Result]:
    """Seconds from arrays to the mean accuracy at every C."""
    x, y = make_classification(rows, features, random_state=0)
    parts = list(StratifiedKFold(folds).split(x, y))
    settings = [Settings(C=c, sample=rows) for c in C]

    def ours() -> np.ndarray:
        fits = [Fit(x[train], y[train].astype(np.int64), "classification", 2) for train, _ in parts]
        models = settings[0].solve(settings, fits, Context())
        right = [
            [np.mean(next(models).predict(x[test]).argmax(axis=1) == y[test]) for _ in settings]
            for _, test in parts
        ]
        return np.mean(right, axis=0)

    def searched(machine: type, processes: int) -> np.ndarray:
        search = GridSearchCV(machine(), {"C": list(C)}, cv=parts, n_jobs=processes, refit=False)
        return np.asarray(search.fit(x, y).cv_results_["mean_test_score"])

    title = f"{rows:,} × {features}, rbf svm, {folds} folds × {len(C)} C"
    least = floor.seconds(rows**2 * features, 4.0 * rows**2, "f64")
    plain = Result(title, "GridSearchCV(SVC, n_jobs=2)", target=3, floor=least)
    yield against(plain, ours, lambda: searched(SVC, 2), same, rounds)
    processes: list[int] = []

    def extended() -> np.ndarray:
        need("sklearnex")
        machine = importlib.import_module("sklearnex.svm").SVC
        if not processes:
            processes.append(
                min((1, 2), key=lambda count: _seconds(lambda: searched(machine, count)))
            )
        return searched(machine, processes[0])

    found = against(
        Result(title, "GridSearchCV(SVC), scikit-learn-intelex", target=2, floor=least),
        ours,
        extended,
        same,
        rounds,
    )
    yield found


def same(mine: np.ndarray, others: np.ndarray) -> str:
    """Two rows of mean accuracies."""
    difference = float(np.abs(mine - others).max())
    assert difference <= SAME, difference
    return f"mean accuracies within {difference:.1g}"


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
