"""`build: auto`: which families are worth trying on this data in this time, and why."""

from __future__ import annotations

from typing import Any

from sixfold.parts.table import Dataset

# Seconds of one fit, per 10,000 rows × 10 columns: guessed from fits of 32,561 rows × 14 columns on 2 cores (linear
# 0.3 s, tree 0.1 s, boosting 2 s, forest 1.4 s, all measured; mlp guessed).
COST_S = {"linear": 0.1, "tree": 0.05, "boosting": 0.6, "forest": 0.4, "mlp": 4.0}
FITS = 6  # five folds and the refit; what the budget leaves for them is half of it
SVM_ROWS = 5_000
MLP_ROWS = 500
FOREST_ROWS = 20_000

Candidate = tuple[str, dict[str, Any], str]


def candidates(dataset: Dataset, budget_s: float | None) -> list[Candidate]:
    """Family, its options, and the reason in words, for every candidate; the most certain first.

    `budget_s`: seconds for the whole run, or None. The first candidate is kept however short the time is.
    """
    rows, columns = dataset.table.rows, len(dataset.table.columns)
    wanted = _wanted(dataset)
    if budget_s is None:
        return wanted
    left = budget_s / 2
    chosen: list[Candidate] = []
    for name, options, why in wanted:
        cost = FITS * (_svm_cost(rows) if name == "svm" else COST_S[name] * rows / 1e4 * max(1.0, columns / 10))
        if chosen and cost > left:
            continue
        left -= cost
        chosen.append((name, options, why))
    return chosen


def _wanted(dataset: Dataset) -> list[Candidate]:
    rows = dataset.table.rows
    if dataset.target.task == "reconstruction":
        return [
            ("linear", {}, "the simplest map from the columns to themselves: what any network has to beat"),
            ("mlp", {}, "a network can reconstruct what is not linear"),
        ]
    wanted: list[Candidate] = [
        ("linear", {}, "always: fast, small, and the score that everything else has to beat"),
        ("boosting", {}, "always: usually the best on tables; takes missing values as they are"),
        ("tree", {}, "always: costs nothing, and one tree can be read"),
    ]
    if rows <= SVM_ROWS:
        wanted.append(
            ("svm", {"kernel": "rbf"}, f"{rows:,} rows, at most {SVM_ROWS:,}: a kernel machine can use them all")
        )
    if rows <= FOREST_ROWS:
        wanted.append(("forest", {}, f"{rows:,} rows, at most {FOREST_ROWS:,}: robust where boosting overfits"))
    if rows >= MLP_ROWS:
        wanted.append(("mlp", {}, f"{rows:,} rows, at least {MLP_ROWS:,}: enough for a network"))
    return wanted


def _svm_cost(rows: int) -> float:
    """Seconds of one rbf fit with its predictions: about 1 s at 5,000 rows, growing with the square (guessed)."""
    return (min(rows, SVM_ROWS) / SVM_ROWS) ** 2
