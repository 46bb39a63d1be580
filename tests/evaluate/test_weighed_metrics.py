"""A row with the weight 2 counts as the row twice: every metric, and all that is decided by metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from evaluating import candidate, dataset
from sixfold.core.errors import FitError
from sixfold.evaluate import calibrators, curves, scoring, thresholds
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import fit_model, fit_of, prepare_rows, weighed
from sixfold.parts import weights as by_weight
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import METRIC
from sixfold.runs.context import Context
from sixfold.select import ensemble
from sixfold.select.significance import Draws, Predicted, by_rows

Array = np.ndarray[Any, Any]
# The others are of tasks whose rows have no weights: a rule of recipe/ refuses them; or of speech:
# test_transcripts.py.
NAMES = [
    name
    for name in METRIC.names()
    if METRIC.load(name).tasks.isdisjoint({"generation", "recommendation", "transcription"})
]
SEEDS = st.integers(0, 2**32 - 1)


def case(name: str, seed: int, classes: int) -> tuple[Target, Array, Array]:
    """Rows, what is predicted, and whole weights, some of them 0."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, 40).astype(np.float64)
    if "classification" in METRIC.load(name).tasks:
        p = rng.dirichlet(np.ones(classes), 40).round(2)
        p /= p.sum(axis=1, keepdims=True)
        target = Target(
            "classification", rng.integers(0, classes, 40), ("y",), tuple("abcdefg"[:classes])
        )
        return target, p, weights
    if METRIC.load(name).of_quantiles == "only":
        target = Target("regression", rng.normal(size=40), ("a",), quantiles=(0.2, 0.8))
        return target, np.sort(rng.normal(size=(40, 2)), axis=1), weights
    outputs = classes - 1
    values = rng.gamma(2.0, size=(40, outputs))
    names = tuple("abcdefg"[:outputs])
    target = Target("reconstruction", values, names)
    if outputs == 1:
        target = Target("regression", values[:, 0], names)
    return target, values + rng.normal(size=values.shape), weights


def twice(target: Target, weights: Array) -> Array:
    return np.repeat(np.arange(len(target.values)), weights.astype(np.int64))


@settings(max_examples=10)
@given(SEEDS, st.sampled_from([2, 3, 7]))
@pytest.mark.parametrize("name", NAMES)
def test_a_metric_counts_rows(name: str, seed: int, classes: int) -> None:
    target, p, weights = case(name, seed, classes)
    kind: Any = "probability" if target.task == "classification" else "value"
    rows = twice(target, weights)
    expected = scoring.score_all([name], target.take(rows), p[rows], kind)[name]
    found = scoring.score_all([name], replace(target, weights=weights), p, kind)[name]
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-12))
    ones = scoring.score_all([name], replace(target, weights=np.ones(40)), p, kind)[name]
    plain = scoring.score_all([name], target, p, kind)[name]
    assert ones == (None if plain is None else pytest.approx(plain, rel=1e-12, abs=1e-12))


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_do_not_count_give_no_score(name: str) -> None:
    target, p, _ = case(name, 0, 3)
    kind: Any = "probability" if target.task == "classification" else "value"
    assert scoring.score_all([name], replace(target, weights=np.zeros(40)), p, kind) == {name: None}


@given(SEEDS)
@pytest.mark.parametrize("name", [name for name in NAMES if scoring.is_mean(name)])
def test_pieces_of_a_mean_count_rows(name: str, seed: int) -> None:
    target, p, weights = case(name, seed, 2)
    weights += 1.0
    found = scoring.score_pieces(name, replace(target, weights=weights), p, 4)
    kind: Any = "probability" if target.task == "classification" else "value"
    for piece in range(4):
        rows = np.arange(piece, 40, 4)
        own = replace(target, weights=weights).take(rows)
        assert found[piece] == pytest.approx(scoring.score_all([name], own, p[rows], kind)[name])


@settings(max_examples=6)
@given(SEEDS, st.sampled_from(["f1", "accuracy", "mcc", "precision"]), st.sampled_from([40, 700]))
def test_a_threshold_counts_rows(seed: int, metric: str, count: int) -> None:
    """Also where there are more scores than thresholds that are tried."""
    rng = np.random.default_rng(seed)
    y, score = rng.integers(0, 2, count), rng.random(count)
    target, p = Target("classification", y, ("y",), ("n", "y")), np.stack([1 - score, score], 1)
    weights = rng.integers(1, 4, count).astype(np.float64)
    rows = np.repeat(np.arange(count), weights.astype(np.int64))
    expected = thresholds.best(metric, target.take(rows), p[rows], "probability")
    found = thresholds.best(metric, replace(target, weights=weights), p, "probability")
    assert found == pytest.approx(expected)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(["platt", "isotonic"]), st.sampled_from([2, 3]))
def test_a_calibrator_counts_rows(seed: int, method: str, classes: int) -> None:
    rng = np.random.default_rng(seed)
    y, scores = rng.integers(0, classes, 60), rng.dirichlet(np.ones(classes), 60)
    weights, seen = (
        rng.integers(0, 4, 60).astype(np.float64),
        np.ones((60, classes), dtype=np.bool_),
    )
    rows = np.repeat(np.arange(60), weights.astype(np.int64))
    found = calibrators.fit(method, scores, calibrators.Truth(y, seen, weights), "probability")
    repeated = calibrators.Truth(y[rows], seen[rows])
    expected = calibrators.fit(method, scores[rows], repeated, "probability")
    np.testing.assert_allclose(found.apply(scores), expected.apply(scores), atol=1e-7)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_baseline_counts_rows(task: Any) -> None:
    data, weights = (
        dataset(60, task),
        np.random.default_rng(0).integers(0, 4, 60).astype(np.float64),
    )
    rows = np.repeat(np.arange(40), weights[:40].astype(np.int64))
    metrics = ["log_loss", "accuracy"] if task == "classification" else ["rmse", "mae"]
    weighing = replace(data, target=replace(data.target, weights=weights))
    found = baseline(weighing, [Fold(np.arange(40), np.arange(40, 60))], metrics)
    held = np.repeat(np.arange(40, 60), weights[40:].astype(np.int64))
    expected = baseline(data, [Fold(rows, held)], metrics)
    for name in metrics:
        assert found[name] == pytest.approx(expected[name])


@given(SEEDS)
def test_an_ensemble_counts_rows(seed: int) -> None:
    """Of members for which the other is no better than itself: the one that is right where it counts."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 40)
    target = Target("classification", y, ("y",), ("n", "y"))
    right = np.eye(2)[y] * 0.8 + 0.1
    first, second = right.copy(), right.copy()
    first[20:], second[:20] = first[20:, ::-1], second[:20, ::-1]
    weights = np.where(np.arange(40) < 20, 9.0, 1.0)

    def score(mean: Array) -> float:
        found = scoring.score_all(
            ["accuracy"], replace(target, weights=weights), mean, "probability"
        )
        return float(found["accuracy"] or 0.0)

    assert ensemble.select([second, first], score).tolist() == [0.0, 1.0]


@given(SEEDS)
def test_balanced_weights_are_those_of_scikit_learn(seed: int) -> None:
    """On the fold's training rows, each as often as it counts."""
    rng = np.random.default_rng(seed)
    codes = np.append(rng.integers(0, 3, 50), [0, 1, 2])
    target = Target("classification", codes, ("y",), ("a", "b", "c"))
    asked = candidate({"family": "linear"}, train={"class_weight": "balanced"})
    expected = compute_class_weight("balanced", classes=np.arange(3), y=codes)[codes]
    np.testing.assert_allclose(weighed(asked, target).weights, expected)
    own = rng.integers(1, 4, len(codes)).astype(np.float64)
    rows = np.repeat(np.arange(len(codes)), own.astype(np.int64))
    again = compute_class_weight("balanced", classes=np.arange(3), y=codes[rows])[codes]
    found = weighed(asked, replace(target, weights=own)).weights
    np.testing.assert_allclose(found, again * own)


def test_a_class_without_rows_has_no_part_in_the_balance() -> None:
    codes = np.array([0, 0, 0, 2])
    assert by_weight.balanced(codes, 3, None).tolist() == pytest.approx([4 / 6, 1.0, 4 / 2])


def test_named_classes_count_as_often_as_is_said() -> None:
    target = Target("classification", np.array([0, 1, 2, 1]), ("y",), ("a", "b", "c"))
    asked = candidate({"family": "linear"}, train={"class_weight": {"b": 3, "c": 0.5}})
    found = weighed(asked, replace(target, weights=np.array([1.0, 1.0, 2.0, 2.0])))
    assert found.weights is not None
    assert found.weights.tolist() == [1.0, 3.0, 1.0, 6.0]
    plain = candidate({"family": "linear"})
    assert weighed(plain, target) is target


def test_a_row_that_does_not_count_is_not_there() -> None:
    """Neither for the preparation nor for the fit: bit for bit the model of the other rows."""
    data = dataset(80)
    weights = np.where(np.arange(80) % 3 == 0, 0.0, 1.0)
    weighing = replace(data, target=replace(data.target, weights=weights))
    rows = np.flatnonzero(weights)
    one = candidate({"family": "tree", "min_rows_leaf": 3})
    prepared = prepare_rows(one, weighing, Context())
    assert prepared.rows.tolist() == rows.tolist()
    work = fit_of(prepared, weighing.target, Context())
    np.testing.assert_array_equal(work.x, prepare_rows(one, data.take(rows), Context()).x)
    found = fit_model(one, weighing, Context()).predict(data.table)
    np.testing.assert_array_equal(
        found, fit_model(one, data.take(rows), Context()).predict(data.table)
    )
    none = replace(data, target=replace(data.target, weights=np.zeros(80)))
    with pytest.raises(FitError) as error:
        prepare_rows(one, none, Context())
    assert str(error.value).startswith("data.weight: expected a row with a weight above 0")


@pytest.mark.parametrize("number", ["standard", "robust"])
@pytest.mark.parametrize("impute", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("family", ["linear", "tree"])
def test_a_candidate_counts_rows(family: str, number: str, impute: str) -> None:
    """With its preparation, calibrator and threshold excepted, whose folds are drawn."""
    data = dataset(90)
    weights = np.random.default_rng(1).integers(1, 4, 90).astype(np.float64)
    rows = np.repeat(np.arange(90), weights.astype(np.int64))
    prepare = {
        "impute": {"number": impute, "category": "most_frequent"},
        "features": {"number": [number]},
    }
    one = candidate({"family": family}, prepare)
    weighing = replace(data, target=replace(data.target, weights=weights))
    found = fit_model(one, weighing, Context()).predict(data.table)
    expected = fit_model(one, data.take(rows), Context()).predict(data.table)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@given(SEEDS, st.floats(0, 1))
def test_a_quantile_is_that_of_repeated_rows(seed: int, at: float) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=20).round(1), rng.integers(1, 5, 20).astype(np.float64)
    expected = np.quantile(np.repeat(values, weights.astype(np.int64)), at)
    assert float(by_weight.quantile(values, weights, at)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_the_difference_of_two_candidates_counts_rows(metric: str) -> None:
    rng = np.random.default_rng(0)
    target = Target("classification", rng.integers(0, 2, 60), ("y",), ("n", "y"))
    first, second = (Predicted(name, rng.dirichlet((1, 1), 60), "probability") for name in "ab")
    weights = rng.integers(0, 4, 60).astype(np.float64)
    rows = np.repeat(np.arange(60), weights.astype(np.int64))
    expected = by_rows(
        first._replace(values=first.values[rows]),
        second._replace(values=second.values[rows]),
        target.take(rows),
        metric,
        draws=Draws(50),
    )
    found = by_rows(first, second, replace(target, weights=weights), metric, draws=Draws(50))
    assert found.difference == pytest.approx(expected.difference)
    assert found.by.startswith(f"{np.count_nonzero(weights)} rows")


def test_figures_count_rows() -> None:
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 50), rng.random(50)
    target, p = Target("classification", y, ("y",), ("n", "y")), np.stack([1 - score, score], 1)
    weights = rng.integers(1, 4, 50).astype(np.float64)
    rows = np.repeat(np.arange(50), weights.astype(np.int64))
    for figure in (curves.roc, curves.precision_recall):
        (found,), (expected,) = (
            figure(replace(target, weights=weights), p),
            figure(target.take(rows), p[rows]),
        )
        np.testing.assert_allclose(found.x, expected.x, atol=1e-12)
        np.testing.assert_allclose(found.y, expected.y, atol=1e-12)
    (found,) = curves.calibration(replace(target, weights=weights), p)
    assert len(found.x) == curves.BINS


def test_a_table_keeps_the_weights_of_the_rows_that_are_taken() -> None:
    target = Target("regression", np.arange(4.0), ("y",), weights=np.array([1.0, 2.0, 3.0, 4.0]))
    data = Dataset(Table({"x": Column("number", np.arange(4.0))}, 4), target)
    own = data.take(np.array([3, 1])).target
    assert own.weights is not None
    assert (own.values.tolist(), own.weights.tolist(), own.total) == ([3.0, 1.0], [4.0, 2.0], 6.0)
