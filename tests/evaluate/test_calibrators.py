"""Platt's sigmoid and isotonic regression: against scikit-learn, against the formulas, and as nodes
of a graph.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from evaluating import Array
from sixfold.evaluate import calibrators
from sixfold.evaluate.calibrators import Isotonic, Platt
from sixfold.parts.graph import Graph, TensorProto

Source = Literal["decision", "probability"]
SOURCES: tuple[Source, ...] = ("decision", "probability")


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Its rows are their own decision values."""

    def __init__(self, classes: int = 2) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Array, y: Array) -> Given:
        return self

    def decision_function(self, X: Array) -> Array:
        return X[:, 0] if self.classes == 2 else X

    def predict(self, X: Array) -> Array:
        return (X[:, 0] > 0).astype(int) if self.classes == 2 else X.argmax(axis=1)


def rows(classes: int, source: Source, count: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Overconfident scores, and classes that follow half of them."""
    rng = np.random.default_rng(seed)
    d = 3 * rng.normal(size=(count, classes))
    if classes == 2:
        d = np.stack([-d[:, 0], d[:, 0]], axis=1)
    drawn = softmax(d / 2, axis=1).cumsum(axis=1) > rng.random((count, 1))
    y = drawn.argmax(axis=1).astype(np.int64)
    return (d if source == "decision" else softmax(d, axis=1)), y


def fitted(method: str, scores: Array, y: Array, source: Source) -> Any:
    truth = calibrators.Truth(y, np.ones(scores.shape, dtype=np.bool_))
    return calibrators.fit(method, scores, truth, source)


def log_loss(p: Array, y: Array) -> float:
    return float(-np.mean(np.log(np.clip(p[np.arange(len(y)), y], 1e-15, 1))))


def exported(calibrator: Any, scores: Array) -> Array:
    graph = Graph()
    value = calibrator.export(graph, graph.input("x", TensorProto.DOUBLE, scores.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", scores.shape[1]])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    return np.asarray(session.run(None, {"x": scores})[0])


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_decision_values_as_scikit_learn_calibrates_them(method: str, classes: int) -> None:
    scores, y = rows(classes, "decision")
    x = scores[:, 1:] if classes == 2 else scores
    peer = CalibratedClassifierCV(
        FrozenEstimator(Given(classes)), method="sigmoid" if method == "platt" else method
    )
    expected = peer.fit(x, y).predict_proba(x)
    found = fitted(method, scores, y, "decision").apply(scores)
    np.testing.assert_allclose(found, expected, atol=1e-4 if method == "platt" else 1e-9)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_platts_sigmoid_is_the_least_cross_entropy_with_his_targets(
    source: Source, unit: float
) -> None:
    scores, y = rows(2, source)
    f = (
        scores[:, 1]
        if source == "decision"
        else np.log((scores[:, 1] + 1e-3) / (scores[:, 0] + 1e-3))
    )
    positives, negatives = int(y.sum()), int((1 - y).sum())
    t = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(theta: Array) -> float:
        u = theta[0] * f + theta[1]
        return float(np.sum(t * np.logaddexp(0, u) + (1 - t) * np.logaddexp(0, -u)))

    best = minimize(
        loss,
        np.zeros(2),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000},
    )
    scaled = scores * unit if source == "decision" else scores
    found = fitted("platt", scaled, y, source)
    slope = found.slope[0] * (unit if source == "decision" else 1.0)
    np.testing.assert_allclose([slope, found.intercept[0]], best.x, rtol=1e-4, atol=1e-5)


def test_platt_of_rows_without_errors_stays_finite_and_below_certainty() -> None:
    f = np.linspace(-2, 2, 50)
    slope, intercept = calibrators.sigmoid(f, f > 0)
    p = expit(-(slope * f + intercept))
    assert slope < 0
    assert 0 < p[0] < 1 / 27 + 0.01
    assert np.isfinite([slope, intercept]).all()
    assert calibrators.sigmoid(np.ones(9), np.arange(9) < 6)[0] == 0.0  # equal scores say nothing


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_graph_gives_the_same_probabilities(method: str, source: Source, classes: int) -> None:
    scores, y = rows(classes, source)
    calibrator = fitted(method, scores, y, source)
    asked = np.concatenate([rows(classes, source, seed=1)[0], scores, scores.max(axis=0)[None] * 3])
    found = exported(calibrator, asked)
    p = calibrator.apply(asked)
    np.testing.assert_allclose(found, p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.min() >= 0
    assert found.argmax(axis=1).tolist() == p.argmax(axis=1).tolist()
    if source == "probability":
        assert log_loss(p[400:800], y) < log_loss(scores, y)  # overconfident before


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_zeros_and_ones_of_a_tree_are_log_odds_too(method: str) -> None:
    p1 = np.repeat([0.0, 0.25, 1.0], 20)
    y = (np.arange(60) % 20 < np.repeat([2, 5, 18], 20)).astype(np.int64)
    scores = np.stack([1 - p1, p1], axis=1)
    calibrator = fitted(method, scores, y, "probability")
    found = calibrator.apply(scores)
    np.testing.assert_array_equal(
        exported(calibrator, scores), found
    ) if method == "isotonic" else None
    assert np.all((found > 0) & (found < 1))
    if method == "isotonic":
        np.testing.assert_allclose(found[[0, 20, 40], 1], [0.1, 0.25, 0.9])


def test_where_no_class_gets_anything_all_get_the_same() -> None:
    curve = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    three = Isotonic((curve[0],) * 3, (curve[1],) * 3, "decision")
    scores = np.array([[-1.0, -2.0, -3.0], [0.5, 0.25, 0.25], [9.0, 0.0, 9.0]])
    expected = [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.25, 0.25], [0.5, 0.0, 0.5]]
    np.testing.assert_allclose(three.apply(scores), expected)
    np.testing.assert_allclose(exported(three, scores), expected)


def test_rows_whose_model_did_not_know_a_class_do_not_count_for_it() -> None:
    scores, y = rows(3, "decision")
    scores[:100, 2], y[:100] = -1e6, y[:100] % 2
    seen = np.ones(scores.shape, dtype=np.bool_)
    seen[:100, 2] = False
    found = calibrators.fit("platt", scores, calibrators.Truth(y, seen), "decision")
    alone = calibrators.fit(
        "platt", scores[100:], calibrators.Truth(y[100:], seen[100:]), "decision"
    )
    assert isinstance(found, Platt)
    assert isinstance(alone, Platt)
    assert found.slope[2] == alone.slope[2] < -0.1
    assert found.slope[0] != alone.slope[0]


FLOATS = st.integers(-40, 40).map(lambda n: n / 8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(arrays(np.float64, n, elements=FLOATS), arrays(np.bool_, n))
    )
)
def test_the_curve_is_the_min_max_formula(drawn: tuple[Array, Array]) -> None:
    """g(x_i) = max over j ≤ i of min over k ≥ i of the mean of rows j..k (Barlow et al., 1972);
    rows of one x are one.
    """
    f, positive = drawn
    x, y = calibrators.rising(f, positive)
    levels = np.unique(f)
    hits = np.array([positive[f == level].sum() for level in levels], dtype=np.float64)
    counts = np.array([(f == level).sum() for level in levels], dtype=np.float64)
    n = len(levels)
    formula = [
        max(
            min(hits[j : k + 1].sum() / counts[j : k + 1].sum() for k in range(i, n))
            for j in range(i + 1)
        )
        for i in range(n)
    ]
    np.testing.assert_allclose(np.interp(levels, x, y), formula, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(arrays(np.float64, n, elements=FLOATS), arrays(np.bool_, n))
    ),
    st.sampled_from([0.05, 0.5, 5.0]),
)
def test_no_curve_is_steeper_than_it_may_be(drawn: tuple[Array, Array], steepest: float) -> None:
    x, y = calibrators.rising(*drawn, steepest=steepest)
    plain_x, plain_y = calibrators.rising(*drawn)
    assert np.all(np.diff(x) > 0)
    assert np.all(np.diff(y) >= 0)
    assert np.all(np.diff(y) <= np.diff(x) * steepest + 1e-9)
    assert np.interp(x, plain_x, plain_y).max() <= 1
    if np.all(np.diff(plain_y) <= np.diff(plain_x) * steepest):  # nothing to do: the curve stays
        np.testing.assert_allclose(np.interp(plain_x, x, y), plain_y, atol=1e-9)


def test_log_odds_of_probabilities_are_ranked_as_the_probabilities() -> None:
    """So the steps of the curve are those of isotonic regression on the probabilities
    themselves.
    """
    scores, y = rows(2, "probability", 200)
    found = fitted("isotonic", scores, y, "probability").apply(scores)[:, 1]
    expected = IsotonicRegression(out_of_bounds="clip").fit_transform(scores[:, 1], y)
    np.testing.assert_allclose(
        found, expected, atol=0.05
    )  # where the curve is steeper than 5 a unit it is laid flatter
    assert np.mean(np.abs(found - expected) < 1e-9) > 0.8
