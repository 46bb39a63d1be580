"""The boosting family against LightGBM's own predictions."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from sixfold.build._trees import Trees
from sixfold.build.boosting import BoostedTrees, Settings, read_trees
from sixfold.parts.fit import Branching, Fit, Rounds
from sixfold.runs.context import Context


def rows(count: int = 800, missing: bool = True) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 6)).astype(np.float32)
    x[:, 5] = generator.integers(0, 7, count)
    score = (x[:, 0] + x[:, 1] * x[:, 2] + np.sin(x[:, 5]) + 0.3 * generator.normal(size=count)).astype(np.float64)
    if missing:
        x[generator.random(count) < 0.2, 1] = np.nan
    return x, score


def solve(settings: Settings, fit: Fit, context: Context | None = None) -> Any:
    return next(iter(settings.solve([fit], context or Context())))


def target(score: Any, classes: int) -> Any:
    return np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("objective", ["regression", "binary", "multiclass"])
def test_arrays_predict_what_lightgbm_predicts(objective: str, missing: bool) -> None:
    x, score = rows(missing=missing)
    y = {"regression": 100 + score, "binary": target(score, 2), "multiclass": target(score, 3)}[objective]
    parameters = {
        "objective": objective, "verbosity": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 5,
        "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    classes = 3 if objective == "multiclass" else 1
    parameters |= {"num_class": 3} if classes == 3 else {}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x[:500], y[:500]), 40)
    trees = read_trees(booster.dump_model(), classes)
    link = {"regression": "identity", "binary": "sigmoid", "multiclass": "softmax"}[objective]
    unseen = x.copy()
    unseen[::7, 0] = np.nan  # a column that had no missing value in training: LightGBM reads 0
    own = BoostedTrees(trees, link).predict(unseen)  # type: ignore[arg-type]
    expected = booster.predict(unseen)
    own = own[:, 1] if objective == "binary" else own.reshape(expected.shape)
    np.testing.assert_allclose(own, expected, rtol=1e-12, atol=1e-13)
    assert trees.count == booster.num_trees()


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
    fit = Fit(x, target(score + np.random.default_rng(5).normal(size=800), 2), "classification", 2, seed=1)
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
    assert events == [("warning", {"text": "boosting: out of time after 7 of 50 rounds", "cut": True})]


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
