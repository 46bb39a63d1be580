"""A model: one graph that answers as it does, states that come back, a watched metric; and
scikit-learn's own loop.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from evaluating import Array, candidate, dataset, saved
from sixfold.compress.measure import feeds
from sixfold.core.errors import FitError, RecipeError
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.parts.table import Table, Task
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context
from sixfold.select import leaderboard

NAMES = ("no, never", "ja", "sûr", "Ω")


def answers(model: Model, table: Table) -> dict[str, Array]:
    data = model.export().SerializeToString()
    feed = feeds(data, table, table.rows)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.parametrize(
    ("family", "task", "classes"),
    [
        ("linear", "classification", NAMES[:2]),
        ("linear", "classification", NAMES),
        ("svm", "classification", NAMES[:3]),
        ("boosting", "classification", NAMES[:2]),
        ("tree", "regression", ()),
        ("mlp", "reconstruction", ()),
    ],
)
def test_the_graph_answers_as_the_model(
    family: str, task: Task, classes: tuple[str, ...], tmp_path: Path
) -> None:
    data = dataset(80, task, classes)
    model = fit_model(candidate({"family": family}, train={"epochs": 3}), data, Context(seed=2))
    found, predicted = answers(model, data.table), model.predict(data.table)
    if task == "classification":
        scores = "decision" if family == "svm" else "probability"
        assert list(found) == ["label", scores]
        assert found["label"].shape == (80, 1)
        assert found["label"][:, 0].tolist() == model.labels(data.table).tolist()
        assert set(model.labels(data.table)) <= set(classes)
    else:
        scores = "value"
        assert list(found) == ["value"]
    assert found[scores].dtype == np.float64
    assert found[scores].shape == (80, data.target.outputs)
    np.testing.assert_allclose(found[scores], predicted, rtol=1e-5, atol=1e-5)
    one = answers(model, data.table.take(np.array([3])))
    np.testing.assert_allclose(one[scores][0], found[scores][3], rtol=1e-6, atol=1e-9)
    before = saved(model, tmp_path / "model")
    back = state.load(tmp_path / "model", Model)
    assert saved(back, tmp_path / "again") == before
    np.testing.assert_array_equal(back.predict(data.table), predicted)


def test_equal_seeds_give_equal_models(tmp_path: Path) -> None:
    data = dataset(60)
    chosen = candidate({"family": "mlp"}, train={"epochs": 2})
    first, second, third = (
        saved(fit_model(chosen, data, Context(seed=s)), tmp_path / str(i))
        for i, s in enumerate((3, 3, 4))
    )
    assert first == second != third


def test_a_model_that_asks_for_nothing_is_not_exported() -> None:
    model = fit_model(candidate({"family": "linear"}), dataset(30), Context())
    with pytest.raises(FitError) as caught:
        replace(model, preparer=replace(model.preparer, inputs=())).export()
    assert (
        str(caught.value)
        == "prepare: expected a model that asks for at least one raw column; found none. Look at data.drop."
    )


def watching(metric: str, **stop: Any) -> Any:
    return candidate(
        {"family": "mlp"}, train={"epochs": 4, "stop": {"patience": 4, "metric": metric, **stop}}
    )


def test_a_metric_is_watched_on_rows_cut_off() -> None:
    seen: list[float] = []

    def emit(kind: str, facts: dict[str, Any]) -> None:
        if kind == "epoch":
            seen.extend(facts["validations"])

    fit_model(watching("accuracy", validation=0.25), dataset(80), Context(emit_to=emit))
    assert len(seen) == 4
    assert all((share * 20) == pytest.approx(round(share * 20)) for share in seen)  # of 20 rows


def test_watching_what_the_task_or_the_rows_do_not_have() -> None:
    with pytest.raises(RecipeError) as wrong_task:
        fit_model(watching("rmse"), dataset(40), Context())
    assert str(wrong_task.value).startswith(
        "train.stop.metric: expected metrics for classification; found 'rmse', which is for reconstruction, regression."
    )
    with pytest.raises(FitError) as one_row:
        fit_model(watching("r2", validation=0.01), dataset(40, "regression"), Context())
    assert str(one_row.value) == (
        "train.stop.metric: expected rows to watch that define r2; found 1 rows that do not. "
        "Raise train.stop.validation, or watch the loss."
    )


def test_equals_a_loop_of_scikit_learn() -> None:
    """Median, scaling, one-hot, logistic regression, fold by fold."""
    data = dataset(150)
    numbers = ["age", "wage"]
    table = Table({name: data.table.columns[name] for name in (*numbers, "town")}, 150)
    data = replace(data, table=table)
    folds = make(Evaluate(folds=4, seed=3), data)
    x = np.stack(
        [*(table.columns[name].values for name in numbers), table.columns["town"].values], axis=1
    ).astype(float)
    y = np.asarray(data.target.values)
    losses, areas = [], []
    for fold in folds:
        number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        steps = ColumnTransformer(
            [("number", number, [0, 1]), ("town", OneHotEncoder(handle_unknown="ignore"), [2])]
        )
        model = make_pipeline(steps, LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000))
        p = model.fit(x[fold.train], y[fold.train]).predict_proba(x[fold.validation])
        losses.append(log_loss(y[fold.validation], p))
        areas.append(roc_auc_score(y[fold.validation], p[:, 1]))
    chosen = candidate(
        {"family": "linear", "C": 0.5},
        {"features": {"category": {"name": "one_hot", "min_rows": 1}}},
    )
    found = cross_validate(chosen, data, folds, ["log_loss", "roc_auc"], Context())
    np.testing.assert_allclose(found.scores["log_loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(found.scores["roc_auc"], areas, atol=0.005)
    assert found.means()["log_loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_of_two_equal_candidates_the_smaller_model_wins() -> None:
    """A column that says it all: both trees are right everywhere; the forest of one column is
    larger, and named first.
    """
    data = dataset(60)
    data.table.columns["wage"].values[:] = data.target.values
    folds = make(Evaluate(folds=2), data)
    found = [
        cross_validate(candidate(build), data, folds, ["accuracy"], Context())
        for build in (
            {"family": "forest", "trees": 20, "feature_fraction": 1.0},
            {"family": "tree"},
        )
    ]
    assert [each.means()["accuracy"] for each in found] == [1.0, 1.0]
    assert leaderboard.best(found, "accuracy") == 1
    board = leaderboard.leaderboard(found, "accuracy")
    assert [standing.name for standing in board.standings] == ["tree", "forest"]


def test_the_leaderboard_says_how_sure_a_mean_is() -> None:
    data = dataset(90)
    found = cross_validate(
        candidate({"family": "tree"}), data, make(Evaluate(folds=4), data), ["log_loss"], Context()
    )
    (standing,) = leaderboard.leaderboard([found], "log_loss").standings
    assert standing.spread == pytest.approx(np.std(found.scores["log_loss"], ddof=1))
    assert standing.error == pytest.approx(standing.spread / 2)
    assert standing.folds == tuple(found.scores["log_loss"])
    assert standing.fit_s == found.fit_s > 0
