"""Importance by shuffling: against its formula, reproducible, bounded in rows, folds and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.build.candidate import Candidate
from sixfold.evaluate.cross_validation import Evaluation, cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model
from sixfold.evaluate.shuffling import Effort, losses
from sixfold.explain.permutation import importances
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Evaluate, Initialize, Prepare, Train
from sixfold.runs.context import Context


def problem(rows: int = 400) -> Dataset:
    """y = 2 a − b, a category that moves it by 1, a constant, noise."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, rows))
    side = rng.integers(0, 2, rows).astype(np.int32)
    columns = {
        "noise": Column("number", noise),
        "a": Column("number", a),
        "same": Column("number", np.ones(rows)),
        "b": Column("number", b),
        "side": Column("category", side, ("left", "right")),
    }
    return Dataset(Table(columns, rows), Target("regression", 2 * a - b + side, ("y",)))


LINEAR: dict[str, Any] = {"family": "linear", "penalty": "none"}


def evaluated(
    data: Dataset,
    scheme: str = "kfold",
    metric: str = "mse",
    build: dict[str, Any] = LINEAR,
    **options: Any,
) -> tuple[Evaluation, list[Fold]]:
    folds = make(Evaluate(scheme=scheme, **options), data)
    family = FAMILY.make(build, "family")
    chosen = Candidate(build["family"], build["family"], family, Prepare(), Initialize(), Train())
    return cross_validate(chosen, data, folds, [metric], Context()), folds


def test_the_loss_of_a_linear_model_is_twice_what_the_column_explains() -> None:
    """E (x − x')² θ² = 2 θ² Var(x) for two independent draws; a category of two halves has Var =
    1/4.
    """
    data = problem()
    evaluation, folds = evaluated(data)
    found = {row.column: row for row in importances(evaluation, data, folds, 1, Effort(repeats=20))}
    assert [row.column for row in found.values()] == ["a", "b", "side", "noise", "same"]
    for name, theta in (("a", 2.0), ("b", 1.0)):
        wanted = 2 * theta**2 * data.table.columns[name].values.var()
        assert found[name].mean == pytest.approx(wanted, rel=0.1)
    assert found["side"].mean == pytest.approx(0.5, rel=0.1)
    assert found["noise"].mean == pytest.approx(0.0, abs=1e-9)
    assert (found["same"].mean, found["same"].spread) == (
        0.0,
        0.0,
    )  # constant: not a column of the model


def test_mean_and_spread_are_over_the_folds() -> None:
    data = problem(100)
    evaluation, folds = evaluated(data, folds=3)
    lost = losses(evaluation.models, data, folds, "mse", 4)
    for row in importances(evaluation, data, folds, 4):
        assert len(lost[row.column]) == 3
        assert row.mean == pytest.approx(np.mean(lost[row.column]))
        assert row.spread == pytest.approx(np.std(lost[row.column], ddof=1))


def test_one_fold_has_no_spread() -> None:
    data = problem(100)
    evaluation, folds = evaluated(data, "holdout")
    assert {row.spread for row in importances(evaluation, data, folds, 0)} == {0.0}


def test_more_is_worse_is_turned_round() -> None:
    """Importance is a loss: positive whether more or less of the metric is better."""
    for metric in ("r2", "rmse"):
        data = problem(100)
        evaluation, folds = evaluated(data, metric=metric)
        first = importances(evaluation, data, folds, 0)[0]
        assert first.column == "a"
        assert first.mean > 0


def test_equal_seeds_equal_figures_and_the_table_is_left_alone() -> None:
    data = problem(100)
    evaluation, folds = evaluated(data)
    before = {name: column.values.tobytes() for name, column in data.table.columns.items()}
    assert importances(evaluation, data, folds, 7) == importances(evaluation, data, folds, 7)
    assert importances(evaluation, data, folds, 7) != importances(evaluation, data, folds, 8)
    assert before == {name: column.values.tobytes() for name, column in data.table.columns.items()}


def test_work_is_bounded_in_rows_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = problem(6000)
    evaluation, folds = evaluated(data, folds=2)
    sizes: list[int] = []
    predict = Model.predict
    monkeypatch.setattr(
        Model, "predict", lambda model, table: (sizes.append(table.rows), predict(model, table))[1]
    )
    importances(evaluation, data, folds, 0)
    assert set(sizes) == {2000}
    assert len(sizes) == 2 * (1 + 4)  # a score as it is, and one a column that the model asks for
    small = problem(30)
    evaluation, folds = evaluated(small, folds=15)
    sizes.clear()
    importances(evaluation, small, folds, 0, Effort(repeats=3))
    assert len(sizes) == 10 * (1 + 3 * 4)


def test_time_that_is_over_shuffles_nothing() -> None:
    data = problem(100)
    evaluation, folds = evaluated(data)
    lost = losses(evaluation.models, data, folds, "mse", 0, Effort(deadline=0.0))
    assert {len(values) for values in lost.values()} == {0}
    assert importances(evaluation, data, folds, 0, Effort(deadline=0.0)) == []


def test_models_that_know_the_rows_give_what_whole_predictions_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = problem(200)
    evaluation, folds = evaluated(data, folds=3, build={"family": "boosting", "rounds": 30})
    found = losses(evaluation.models, data, folds, "mse", 5, Effort(repeats=2))
    monkeypatch.setattr(Model, "near", lambda model, table: model.predict)
    assert found == losses(evaluation.models, data, folds, "mse", 5, Effort(repeats=2))
