"""A tree grown once and cut back for every complexity, beside trees that scikit-learn grows and
prunes one by one.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting import fit_grid
from sixfold.build.tree import Settings
from sixfold.core.errors import BudgetError, FitError
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context


def problem(task: Any, outputs: int, count: int, seed: int = 0, grid: bool = False) -> Fit:
    """Rows with missing values; on a grid of few values many splits are equally good."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4))
    x = np.round(x) if grid else x
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * generator.normal(size=count)
    x[generator.random(x.shape) < 0.05] = np.nan
    y: Any = np.stack([score, 1e3 * score**2], axis=1)
    if task == "regression":
        y = np.round(score) if grid else score
    if task == "classification":
        y = np.digitize(score, np.quantile(score, np.arange(1, outputs) / outputs)).astype(np.int64)
    return Fit(x.astype(np.float32), y, task, outputs, seed=seed)


def same_as_refits(made: list[Settings], fit: Fit) -> None:
    found: list[Any] = list(fit_grid(made, [fit], Context()))
    assert len(found) == len(made)
    for setting, model in zip(made, found, strict=True):
        alone: Any = next(setting.fit([fit], Context()))
        assert model.node_count == alone.node_count, setting.complexity
        np.testing.assert_array_equal(model.predict(fit.x), alone.predict(fit.x))
        np.testing.assert_allclose(model.importances(), alone.importances(), atol=1e-12)


@given(
    st.sampled_from(
        [("classification", 2), ("classification", 3), ("regression", 1), ("reconstruction", 2)]
    ),
    st.sampled_from([{}, {"max_leaves": 12}, {"max_depth": 3}]),
    st.integers(12, 150),
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_every_complexity_of_the_path_and_between(
    kind: Any, options: Any, count: int, seed: int, grid: bool
) -> None:
    fit = problem(kind[0], kind[1], count, seed, grid)
    made = Settings(min_rows_leaf=2, **options)
    path = made.complexity_path(fit)
    values = np.concatenate([path, (path[1:] + path[:-1]) / 2, [0.0, 0.9]])
    same_as_refits([made.model_copy(update={"complexity": float(value)}) for value in values], fit)


def test_entropy_and_a_grid_of_one() -> None:
    fit = problem("classification", 3, 300)
    same_as_refits([Settings(criterion="entropy", complexity=0.01)], fit)
    same_as_refits(
        [Settings(criterion="entropy", complexity=c) for c in (0.2, 0.0, 0.03, 0.03)], fit
    )


def test_several_fits_each_with_its_own_root() -> None:
    fits = [problem("regression", 1, 200), problem("regression", 1, 90, 5)]
    made = [Settings(complexity=c) for c in (0.0, 0.05)]
    found: list[Any] = list(fit_grid(made, fits, Context()))
    counts = [next(setting.fit([fit], Context())).node_count for fit in fits for setting in made]  # type: ignore[attr-defined]
    assert [model.node_count for model in found] == counts
    assert counts[0] > counts[1]


def test_equal_targets_are_one_leaf() -> None:
    x = problem("regression", 1, 40).x
    same_as_refits(
        [Settings(complexity=c) for c in (0.0, 0.1)], Fit(x, np.full(40, 3.0), "regression", 1)
    )


def test_no_time_and_one_class_are_said() -> None:
    fit = problem("classification", 2, 40)
    made = [Settings(complexity=c) for c in (0.0, 0.1)]
    with pytest.raises(BudgetError, match="no time left while fitting tree"):
        list(fit_grid(made, [fit], Context(deadline=time.monotonic() - 1)))
    with pytest.raises(FitError, match="one class in 40 rows"):
        list(
            fit_grid(
                made, [Fit(fit.x, np.zeros(40, dtype=np.int64), "classification", 2)], Context()
            )
        )
