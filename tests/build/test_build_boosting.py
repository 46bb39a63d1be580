"""The boosting family against LightGBM's own predictions."""

from __future__ import annotations

import time
from typing import Any

import lightgbm
import numpy as np
import pytest

from fitting import fit_grid
from sixfold.build._model_text import read_trees
from sixfold.build._trees import Trees
from sixfold.build.boosting import BoostedTrees, Settings
from sixfold.core.errors import BudgetError
from sixfold.parts.fit import Branching, Fit, Rounds
from sixfold.runs.context import Context


def rows(count: int = 800, missing: bool = True) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 6)).astype(np.float32)
    x[:, 5] = generator.integers(0, 7, count)
    score = (
        x[:, 0] + x[:, 1] * x[:, 2] + np.sin(x[:, 5]) + 0.3 * generator.normal(size=count)
    ).astype(np.float64)
    if missing:
        x[generator.random(count) < 0.2, 1] = np.nan
    return x, score


def solve(settings: Settings, fit: Fit, context: Context | None = None) -> Any:
    return next(iter(settings.fit([fit], context or Context())))


def target(score: Any, classes: int) -> Any:
    return np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("objective", ["regression", "binary", "multiclass"])
def test_arrays_predict_what_lightgbm_predicts(objective: str, missing: bool) -> None:
    x, score = rows(missing=missing)
    y = {"regression": 100 + score, "binary": target(score, 2), "multiclass": target(score, 3)}[
        objective
    ]
    parameters = {
        "objective": objective,
        "verbosity": -1,
        "num_threads": 1,
        "seed": 1,
        "min_data_in_leaf": 5,
        "deterministic": True,
        "force_row_wise": True,
    }
    classes = 3 if objective == "multiclass" else 1
    parameters |= {"num_class": 3} if classes == 3 else {}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x[:500], y[:500]), 40)
    trees = read_trees(booster.model_to_string(), classes)
    link = {"regression": "identity", "binary": "sigmoid", "multiclass": "softmax"}[objective]
    unseen = x.copy()
    unseen[::7, 0] = np.nan  # a column that had no missing value in training: LightGBM reads 0
    own = BoostedTrees(trees, link).predict(unseen)  # type: ignore[arg-type]
    expected = booster.predict(unseen)
    own = own[:, 1] if objective == "binary" else own.reshape(expected.shape)
    np.testing.assert_allclose(own, expected, rtol=1e-12, atol=1e-13)
    assert trees.count == booster.num_trees()


def leaf(node: Any, row: Any) -> float:
    """The value at the end of a row's way through a tree of LightGBM's JSON dump."""
    while "leaf_value" not in node:
        value = float(row[node["split_feature"]])
        if np.isnan(value) and node["missing_type"] == "NaN":
            left = node["default_left"]
        else:
            left = np.nan_to_num(value) <= node["threshold"]
        node = node["left_child" if left else "right_child"]
    return float(node["leaf_value"])


@pytest.mark.parametrize("objective", ["regression", "binary", "multiclass"])
def test_the_text_holds_the_trees_of_the_dump(objective: str) -> None:
    x, score = rows(300)
    y = {"regression": 100 + score, "binary": target(score, 2), "multiclass": target(score, 3)}[
        objective
    ]
    parameters = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    parameters |= {"num_class": 3} if objective == "multiclass" else {}
    columns = 3 if objective == "multiclass" else 1
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, y), 12)
    trees = read_trees(booster.model_to_string(num_iteration=9), columns)
    dumped = booster.dump_model(num_iteration=9)["tree_info"]
    assert trees.count == len(dumped) == 9 * columns
    assert [int(n) for n in np.diff(np.append(trees.first, trees.node_count))] == [
        2 * tree["num_leaves"] - 1 for tree in dumped
    ]
    x[::7, 0] = np.nan
    expected = np.array([[leaf(tree["tree_structure"], row) for tree in dumped] for row in x])
    sums = np.stack([expected[:, k::columns].sum(axis=1) for k in range(columns)], axis=1)
    np.testing.assert_array_equal(trees.total(x), sums)
    gain = booster.feature_importance("gain", iteration=9)
    np.testing.assert_allclose(trees.importances(), gain / gain.sum(), rtol=1e-5)


def test_a_grid_is_what_its_settings_are_alone() -> None:
    x, score = rows(600)
    grid = [
        Settings(rounds=20, patience=None),
        Settings(rounds=9, patience=None),
        Settings(rounds=40, patience=3, learning_rate=0.3),
        Settings(rounds=12, patience=None, leaves=5, min_rows_leaf=60, l1=0.1, l2=1.0),
        Settings(rounds=12, patience=None, row_fraction=0.5, feature_fraction=1.0, max_depth=3),
        Settings(rounds=40, patience=3, validation=0.3, refit=False),
        Settings(rounds=20, patience=None),
    ]
    x[:, 3] = 0.0
    x[:3, 3] = 1.0  # a feature that min_rows_leaf would have filtered out
    for task, outputs, y in (("regression", 1, score), ("classification", 3, target(score, 3))):
        fits = [Fit(x[k:], y[k:], task, outputs, seed=k) for k in range(2)]  # type: ignore[arg-type]
        found: list[Any] = list(fit_grid(grid, fits, Context()))
        assert len(found) == 14
        for at, model in enumerate(found):
            alone = solve(grid[at % 7], fits[at // 7])
            assert model.rounds == alone.rounds
            np.testing.assert_array_equal(model.predict(x), alone.predict(x))


def test_rows_watched_are_cut_into_the_bins_of_all_training_rows() -> None:
    """As LightGBM does with a subset of a Dataset and a validation set beside it."""
    x, score = rows(800)
    settings = Settings(
        rounds=200, patience=5, learning_rate=0.2, refit=False, feature_fraction=1.0
    )
    model = solve(settings, Fit(x, score, "regression", 1, seed=3))
    watched = np.sort(np.random.default_rng(3).permutation(800)[:80])
    parameters = {
        "objective": "regression",
        "learning_rate": 0.2,
        "verbosity": -1,
        "num_threads": 1,
        "seed": 3,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
    }
    whole = lightgbm.Dataset(x, score - score.mean(), params=parameters).construct()
    booster = lightgbm.train(
        parameters,
        whole.subset(np.setdiff1d(np.arange(800), watched).tolist()),
        200,
        valid_sets=[whole.subset(watched.tolist())],
        callbacks=[lightgbm.early_stopping(5, verbose=False)],
    )
    assert model.rounds == booster.best_iteration < 200
    np.testing.assert_allclose(
        model.predict(x)[:, 0], booster.predict(x) + score.mean(), rtol=1e-10, atol=1e-10
    )


def test_no_setting_is_begun_after_the_deadline() -> None:
    x, score = rows(100)
    grid = [Settings(rounds=5), Settings(rounds=6)]
    with pytest.raises(BudgetError, match="no time left while fitting boosting"):
        list(fit_grid(grid, [Fit(x, score, "regression", 1)], Context(deadline=time.monotonic())))


def test_first_rounds_are_the_model_of_fewer_rounds() -> None:
    x, score = rows()
    for task, outputs, y in (("regression", 1, score), ("classification", 3, target(score, 3))):
        settings = Settings(rounds=30, patience=None)
        fit = Fit(x, y, task, outputs)  # type: ignore[arg-type]
        model = solve(settings, fit)
        assert isinstance(model, Rounds)
        assert isinstance(model, Branching)
        assert model.rounds == 30
        fewer = model.first_rounds(12)
        assert fewer.rounds == 12
        assert fewer.node_count < model.node_count
        short = solve(settings.model_copy(update={"rounds": 12}), fit)
        np.testing.assert_array_equal(fewer.predict(x), short.predict(x))
        np.testing.assert_array_equal(model.first_rounds(30).predict(x), model.predict(x))


def test_patience_finds_the_number_of_rounds_and_refits_on_all_rows() -> None:
    x, score = rows()
    fit = Fit(
        x, target(score + np.random.default_rng(5).normal(size=800), 2), "classification", 2, seed=1
    )
    settings = Settings(rounds=500, learning_rate=0.2, patience=5)
    stopped = solve(settings.model_copy(update={"refit": False}), fit)
    refitted = solve(settings, fit)
    assert 1 <= stopped.rounds < 100
    assert refitted.rounds == stopped.rounds
    same = solve(settings.model_copy(update={"patience": None, "rounds": stopped.rounds}), fit)
    np.testing.assert_array_equal(refitted.predict(x), same.predict(x))
    assert not np.array_equal(refitted.predict(x), stopped.predict(x))


def test_few_rows_are_not_cut() -> None:
    x, score = rows(100)
    fit = Fit(x, score, "regression", 1)
    with_patience, without = (solve(Settings(rounds=20, patience=p), fit) for p in (3, None))
    np.testing.assert_array_equal(with_patience.predict(x), without.predict(x))


def test_a_target_without_signal_gives_trees_of_one_leaf() -> None:
    x = np.zeros((50, 2), dtype=np.float32)
    model = solve(Settings(rounds=3), Fit(x, np.full(50, 4.5), "regression", 1))
    np.testing.assert_allclose(model.predict(x), 4.5, rtol=1e-12)
    np.testing.assert_array_equal(model.importances(), [0.0, 0.0])


def test_out_of_time_ends_with_the_rounds_it_has() -> None:
    x, score = rows()
    events: list[tuple[str, dict[str, Any]]] = []
    left = iter([10.0] * 8 + [-1.0])

    class Clock(Context):
        def left_s(self) -> float:
            return next(left)

    context = Clock(emit_to=lambda kind, facts: events.append((kind, facts)))
    model = solve(Settings(rounds=50, patience=None), Fit(x, score, "regression", 1), context)
    assert model.rounds == 7
    assert events == [
        ("warning", {"text": "boosting: out of time after 7 of 50 rounds", "cut": True})
    ]


def test_rows_are_independent_of_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, score = rows()
    model = solve(Settings(rounds=40, patience=None), Fit(x, score, "regression", 1))
    whole = model.predict(x)
    monkeypatch.setattr("sixfold.build._trees.BLOCK", 200)
    np.testing.assert_array_equal(model.predict(x), whole)
    assert isinstance(model.trees, Trees)


def test_values_far_from_zero_keep_their_digits() -> None:
    x, score = rows()
    model = solve(Settings(rounds=200, patience=None), Fit(x, 1.7e9 + score, "regression", 1))
    error = model.predict(x)[:, 0] - 1.7e9 - score
    assert np.sqrt(np.mean(error**2)) < 0.3 * score.std()
