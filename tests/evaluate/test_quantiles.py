"""Quantiles in order; intervals that hold as many rows as they say; and how both are scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_pinball_loss

from evaluating import candidate
from sixfold.core.errors import DataError
from sixfold.evaluate import curves
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.values import IntervalCoverage, IntervalWidth, PinballLoss
from sixfold.evaluate.model import fit_model
from sixfold.evaluate.quantiles import OrderedQuantiles, conformal, intervals
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.runs.context import Context

Array = np.ndarray[Any, Any]
QUANTILES = (0.1, 0.5, 0.9)
SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.floats(-1e6, 1e6)


def target(y: Array, quantiles: tuple[float, ...] = QUANTILES) -> Target:
    return Target("regression", y, ("y",), quantiles=quantiles)


def drawn(seed: int, rows: int, quantiles: tuple[float, ...] = QUANTILES) -> Dataset:
    """y = x + e (½ + x), x uniform in [0, 1], e standard normal: known to the last digit."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=rows)
    y = x + rng.normal(size=rows) * (0.5 + x)
    table = Table({"x": Column("number", x), "z": Column("number", rng.normal(size=rows))}, rows)
    return Dataset(table, target(y, quantiles))


@settings(max_examples=30)
@given(arrays(np.float64, (7, 3), elements=NUMBERS), arrays(np.float64, 7, elements=NUMBERS))
def test_quantiles_in_order_are_never_worse(predicted: Array, y: Array) -> None:
    """Of every row, not on average alone."""
    found, own = OrderedQuantiles(np.zeros(3)).apply(predicted), target(y)
    assert (np.diff(found, axis=1) >= 0).all()
    before, after = PinballLoss().rows(own, predicted), PinballLoss().rows(own, found)
    assert (after <= before + 1e-9 * (1 + np.abs(before))).all()


@settings(max_examples=30)
@given(arrays(np.float64, (5, 3), elements=NUMBERS), arrays(np.float64, 3, elements=NUMBERS))
def test_the_graph_orders_and_moves_alike(predicted: Array, shift: Array) -> None:
    order, graph = OrderedQuantiles(shift), Graph()
    scores = graph.input("x", TensorProto.DOUBLE, 3)
    graph.output("value", order.export(graph, scores), TensorProto.DOUBLE, ["rows", 3])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    assert (session.run(["value"], {"x": predicted})[0] == order.apply(predicted)).all()


def by_the_book(predicted: Array, y: Array, share: float) -> float:
    """The ⌈share · (n + 1)⌉-th smallest of max(low − y, y − high)."""
    beyond = sorted(np.maximum(predicted[:, 0] - y, y - predicted[:, -1]).tolist())
    return beyond[int(np.ceil(round(share * (len(y) + 1), 9))) - 1]


@settings(max_examples=30)
@given(SEEDS, st.integers(9, 60))
def test_an_interval_moves_by_the_book(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, y = np.sort(rng.normal(size=(rows, 3)), axis=1), rng.normal(size=rows)
    shift = conformal(predicted, target(y)).shift
    moved = by_the_book(predicted, y, 0.8)
    assert shift.tolist() == [-moved, 0.0, moved]


@settings(max_examples=30)
@given(SEEDS)
def test_calibrated_intervals_hold_the_rows_that_calibrated_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, y = np.sort(rng.normal(size=(40, 4)), axis=1), rng.normal(size=40)
    own = target(y, (0.05, 0.25, 0.75, 0.95))
    moved = predicted + conformal(predicted, own).shift
    for low, high, share in intervals(own.quantiles):
        inside = (moved[:, low] <= y + 1e-12) & (y <= moved[:, high] + 1e-12)
        assert inside.mean() >= share


@settings(max_examples=30)
@given(SEEDS)
def test_a_row_with_the_weight_two_calibrates_as_the_row_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, y = np.sort(rng.normal(size=(40, 2)), axis=1), rng.normal(size=40)
    counts = rng.integers(0, 4, 40)
    rows, own = np.repeat(np.arange(40), counts), target(y, (0.1, 0.9))
    weighed = conformal(predicted, replace(own, weights=counts.astype(np.float64)))
    assert weighed.shift.tolist() == conformal(predicted[rows], own.take(rows)).shift.tolist()


def test_too_few_rows_hold_no_interval() -> None:
    predicted, y = np.zeros((3, 2)), np.arange(3.0)
    with pytest.raises(
        DataError, match=r"at least 4 rows for an interval of 0\.8 of them; found 3"
    ):
        conformal(predicted, target(y, (0.1, 0.9)))


# ---- scores ------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(SEEDS)
def test_pinball_is_the_mean_over_the_quantiles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, predicted, counts = rng.normal(size=30), rng.normal(size=(30, 3)), rng.gamma(1.0, size=30)
    own = replace(target(y), weights=counts)
    each = [
        mean_pinball_loss(y, predicted[:, at], alpha=quantile, sample_weight=counts)
        for at, quantile in enumerate(QUANTILES)
    ]
    assert PinballLoss().score(own, predicted) == pytest.approx(np.mean(each))


def test_an_interval_is_scored_by_the_rows_in_it_and_its_width() -> None:
    y, predicted = (
        np.array([0.0, 1.0, 2.0, 3.0]),
        np.array([[0.0, 9, 1], [0, 9, 2], [3, 9, 5], [1, 9, 1]]),
    )
    counts = np.array([1.0, 1.0, 2.0, 4.0])
    assert IntervalCoverage().score(target(y), predicted) == 0.5
    assert IntervalWidth().score(target(y), predicted) == pytest.approx(1.25)
    assert IntervalCoverage().score(replace(target(y), weights=counts), predicted) == 0.25
    assert IntervalWidth().score(replace(target(y), weights=counts), predicted) == pytest.approx(
        7 / 8
    )


def test_one_quantile_is_no_interval() -> None:
    own, predicted = target(np.arange(3.0), (0.5,)), np.zeros((3, 1))
    assert np.isnan(IntervalCoverage().score(own, predicted))
    assert np.isnan(IntervalWidth().score(own, predicted))


def test_who_ignores_the_columns_gives_the_quantiles_of_the_target() -> None:
    data = drawn(0, 101)
    fold = Fold(np.arange(51), np.arange(51, 101))
    known, own = data.target.values[:51], data.target.take(fold.validation)
    constant = np.tile(np.quantile(known, QUANTILES), (50, 1))
    found = baseline(data, [fold], ("pinball", "interval_coverage", "interval_width"))
    assert found["pinball"][0] == pytest.approx(PinballLoss().score(own, constant))


def test_the_figure_of_quantiles_has_the_share_below_each() -> None:
    predicted = np.tile([0.5, 1.5, 9.0], (4, 1))
    predicted[3] = np.nan
    found = curves.quantiles(target(np.array([0.0, 1.0, 2.0, 7.0])), predicted)
    assert found.x.tolist() == list(QUANTILES)
    assert found.y == pytest.approx([1 / 3, 2 / 3, 1.0])


# ---- what a model says ---------------------------------------------------------------------------------------------


LINEAR = {"family": "linear"}
BOOSTING = {"family": "boosting", "rounds": 25, "patience": None, "min_rows_leaf": 15, "leaves": 4}
NETWORK = {"family": "mlp", "hidden": [8]}
TABM = {"family": "tabm", "members": 4, "width": 16, "blocks": 1}
LOOP = {"epochs": 20, "batch_size": 32, "optimizer": {"name": "adam", "learning_rate": 0.01}}


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(LINEAR, id="linear"),
        pytest.param(BOOSTING, id="boosting", marks=pytest.mark.slow),
        pytest.param(NETWORK, id="mlp", marks=pytest.mark.slow),
    ],
)
def test_intervals_of_eighty_percent_hold_them_within_two_points(build: dict[str, Any]) -> None:
    """Over 20 seeds of a known distribution, on rows that nothing has seen."""
    one = candidate(build, train=LOOP, calibration={"calibrate": "conformal"})
    found = []
    for seed in range(20):
        data, new = drawn(seed, 300), drawn(1000 + seed, 2000)
        model = fit_model(one, data, Context(seed=seed))
        found.append(IntervalCoverage().score(new.target, model.predict(new.table)))
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)


def test_an_interval_that_is_wrong_is_made_right() -> None:
    """Trees that learned their rows by heart: their quantiles are those of the rows they know."""
    by_heart = {**BOOSTING, "rounds": 80, "min_rows_leaf": 2, "leaves": 31}
    data, new = drawn(0, 300), drawn(1, 2000)
    plain = fit_model(candidate(by_heart), data, Context())
    moved = fit_model(candidate(by_heart, calibration={"calibrate": "conformal"}), data, Context())
    before, after = (
        IntervalCoverage().score(new.target, model.predict(new.table)) for model in (plain, moved)
    )
    assert before < 0.7
    assert after == pytest.approx(0.8, abs=0.06)
    assert "Intervals: calibrated (conformal)" in moved.notes[-1]
    assert not any("Intervals" in note for note in plain.notes)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_quantiles_of_a_model_never_cross(seed: int) -> None:
    data = drawn(seed, 60, (0.4, 0.45, 0.5, 0.55, 0.6))
    for calibrate in ("none", "conformal"):
        one = candidate(BOOSTING, calibration={"calibrate": calibrate})
        predicted = fit_model(one, data, Context(seed=seed)).predict(drawn(seed + 1, 200).table)
        assert (np.diff(predicted, axis=1) >= 0).all()


def test_what_is_held_out_moves_no_interval() -> None:
    """Calibration sees training rows alone: other rows after them change no bit."""
    data = drawn(0, 120)
    one = candidate(LINEAR, calibration={"calibrate": "conformal"})
    first = fit_model(one, data.take(np.arange(80)), Context())
    other = replace(
        data, target=replace(data.target, values=data.target.values + 1e6 * (np.arange(120) >= 80))
    )
    second = fit_model(one, other.take(np.arange(80)), Context())
    assert isinstance(first.calibrator, OrderedQuantiles)
    assert isinstance(second.calibrator, OrderedQuantiles)
    assert first.calibrator.shift.tolist() == second.calibrator.shift.tolist()
