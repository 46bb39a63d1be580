"""Ensembles: weights that pay on rows they were not chosen on, and one graph of all members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, log_loss

from evaluating import Array, candidate, dataset, saved
from sixfold.compress.measure import feeds
from sixfold.core.errors import RecipeError
from sixfold.evaluate.averaged import Averaged, Joined
from sixfold.evaluate.cross_validation import Evaluation, cross_validate, join
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_models import FoldModels
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.parts.table import Dataset, Table, Target
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context
from sixfold.select import ensemble
from sixfold.select.ensemble import Blend
from sixfold.select.served_limits import SPENT

BUILDS: tuple[dict[str, Any], ...] = (
    {"family": "linear"},
    {"family": "tree", "max_depth": 3},
    {"family": "forest"},
)
NUMBERS = st.floats(-4, 4, allow_nan=False).map(lambda x: round(x, 3))


def answers(model: Model, table: Table) -> dict[str, Array]:
    data = model.export().SerializeToString()
    feed = feeds(data, table, table.rows)
    session = onnxruntime.InferenceSession(data)
    assert sorted(node.name for node in session.get_inputs()) == sorted(feed)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def evaluated(
    data: Dataset, folds: list[Fold], metric: str, train: dict[str, Any] | None = None
) -> list[Evaluation]:
    found = []
    for build in BUILDS:
        one = candidate(build, train=train)
        found.append(
            cross_validate(
                replace(one, name=str(build["family"])), data, folds, [metric], Context()
            )
        )
    return found


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (4, 12), elements=NUMBERS), arrays(np.float64, 12, elements=NUMBERS))
def test_the_mean_is_never_worse_than_the_best_member(members: Array, y: Array) -> None:
    def score(mean: Array) -> float:
        return -float(np.mean((mean - y) ** 2))

    weights = ensemble.select(list(members), score)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert score(weights @ members) >= max(score(member) for member in members) - 1e-9


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 0.95))
def test_two_members_get_the_weights_of_least_squares(share: float) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 300))
    y = share * first + (1 - share) * second + 0.1 * rng.normal(size=300)
    apart = first - second
    exact = float(apart @ (y - second) / (apart @ apart))
    weights = ensemble.select([first, second], lambda mean: -float(np.mean((mean - y) ** 2)))
    assert weights[0] == pytest.approx(exact, abs=1.5 / ensemble.STEPS)


LEAVING_HELPS = np.array(
    [
        [-1, -4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
        [2, 1, -2, 0, 4, 0, 0, -3, -1, 0, 1, 0],
        [0, 1.5, 0, 0, 0.5, 0, 0, 3, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
    ]
)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (5, 12), elements=NUMBERS), arrays(np.float64, 12, elements=NUMBERS))
@example(LEAVING_HELPS, np.array([0.0, 1, 1, 0, -1, 0, 0, 0, -2, 0, 4, 0]))
def test_who_brings_little_leaves_and_nine_tenths_of_the_gain_stay(
    members: Array, y: Array
) -> None:
    def score(mean: Array) -> float:
        return -float(np.mean((mean - y) ** 2))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "KEPT", 1.0)
        whole = ensemble.select(list(members), score)
    few = ensemble.select(list(members), score)
    best = max(score(member) for member in members)
    assert set(np.flatnonzero(few)) <= set(np.flatnonzero(whole))
    assert score(few @ members) - best >= 0.9 * (score(whole @ members) - best) - 1e-9
    for member in np.flatnonzero(few):  # nobody more can leave
        rest = np.where(np.arange(5) == member, 0.0, few)
        assert (
            not rest.any()
            or score(rest / rest.sum() @ members) - best
            < 0.9 * (score(whole @ members) - best) + 1e-9
        )


def test_a_member_of_chance_leaves() -> None:
    rng = np.random.default_rng(1)
    first, second, chance = rng.normal(size=(3, 300))
    y = 0.5 * first + 0.5 * second + 0.02 * chance + 0.3 * rng.normal(size=300)
    weights = ensemble.select(
        [first, second, chance], lambda mean: -float(np.mean((mean - y) ** 2))
    )
    assert weights[2] == 0.0
    assert weights[:2].min() > 0.4


def test_scores_that_are_none_are_the_worst() -> None:
    members = [np.zeros(3), np.ones(3)]
    weights = ensemble.select(members, lambda mean: np.nan if mean[0] < 1 else 0.0)
    assert weights.tolist() == [0.0, 1.0]


def test_every_fold_is_scored_by_weights_of_other_rows() -> None:
    data = dataset(160)
    folds = make(Evaluate(folds=4), data)
    members = evaluated(data, folds, "log_loss")
    found = join([ensemble.cross_validate(members, data, folds, ["log_loss"])], data, folds)
    for number, fold in enumerate(folds):
        others = np.setdiff1d(np.arange(160), fold.validation)
        weights = ensemble.blend(members, data.target, others, "log_loss").weights
        p = sum(
            w * one.predictions[fold.validation] for w, one in zip(weights, members, strict=True)
        )
        np.testing.assert_allclose(found.predictions[fold.validation], p, atol=1e-12)
        assert found.scores["log_loss"][number] == pytest.approx(
            log_loss(data.target.values[fold.validation], p)
        )
        hidden = [replace(one, predictions=one.predictions.copy()) for one in members]
        for one in hidden:
            one.predictions[fold.validation] = 0.5
        y = data.target.values.copy()
        y[fold.validation] = 1 - y[fold.validation]
        again = ensemble.blend(
            hidden, replace(data.target, values=y), ensemble.seen(hidden, fold.train), "log_loss"
        )
        assert again.weights == weights
    assert found.name == found.family == "ensemble"
    assert found.output == "probability"
    assert found.fit_s >= sum(one.fit_s for one in members)
    everything = ensemble.blend(members, data.target, np.arange(160), "log_loss").weights
    mean = sum(w * one.predictions for w, one in zip(everything, members, strict=True))
    pooled = [log_loss(data.target.values, one.predictions) for one in members]
    assert log_loss(data.target.values, mean) <= min(pooled) + 1e-9


def test_a_time_series_learns_its_weights_from_the_past() -> None:
    data = replace(dataset(120), times=np.arange(120.0))
    folds = make(Evaluate(scheme="time_series", folds=3), data)
    members = evaluated(data, folds, "log_loss")
    found = join([ensemble.cross_validate(members, data, folds, ["log_loss"])], data, folds)
    first = found.models[0].fitted
    assert isinstance(first, Averaged)
    np.testing.assert_allclose(first.weights, [1 / 3] * 3)  # nothing was predicted before
    past = ensemble.seen(members, folds[2].train)
    assert past.min() == folds[0].validation.min()
    assert past.max() < folds[2].validation.min()


def test_the_ensemble_decides_by_a_threshold_of_its_own() -> None:
    data = dataset(200)
    y = (
        np.log(data.table.columns["wage"].values) + np.random.default_rng(4).normal(size=200) > 1.3
    ).astype(np.int64)
    data = replace(data, target=replace(data.target, values=y))
    folds = make(Evaluate(folds=3), data)
    members = evaluated(data, folds, "log_loss")
    found = join(
        [ensemble.cross_validate(members, data, folds, ["log_loss", "f1"], "f1")], data, folds
    )
    for number, fold in enumerate(folds):
        model = found.models[number]
        assert model.threshold is not None
        above = found.predictions[fold.validation, 1] > model.threshold
        assert found.scores["f1"][number] == pytest.approx(f1_score(y[fold.validation], above))


def combined(
    builds: list[dict[str, Any]], data: Dataset, calibration: dict[str, Any] | None = None
) -> Model:
    made = [candidate(build, train={"epochs": 3}, calibration=calibration) for build in builds]
    models = [fit_model(one, data, Context()) for one in made]
    weights = np.arange(1.0, len(models) + 1)
    return ensemble.combine(models, Blend(tuple(weights / weights.sum()), None))


@pytest.mark.parametrize(
    "classes", [("nein", "ja"), pytest.param(("a", "b", "c"), marks=pytest.mark.slow)]
)
def test_one_graph_answers_for_all_members(classes: tuple[str, ...], tmp_path: Path) -> None:
    data, other = dataset(150, classes=classes), dataset(300, classes=classes, seed=5)
    builds: list[dict[str, Any]] = [
        {"family": name} for name in ("svm", "linear", "boosting", "forest", "tree", "mlp")
    ]
    model = combined(builds, data, {"calibrate": "platt"})
    found, p = answers(model, other.table), model.predict(other.table)
    assert list(found) == ["label", "probability"]
    np.testing.assert_allclose(found["probability"], p, rtol=0, atol=1e-6)
    assert found["label"][:, 0].tolist() == model.labels(other.table).tolist()
    turned = Table(
        {**other.table.columns, "wage": other.table.columns["wage"].take(np.arange(300)[::-1])}, 300
    )
    np.testing.assert_array_equal(model.near(other.table)(turned), model.predict(turned))
    made = [
        candidate(build, train={"epochs": 3}, calibration={"calibrate": "platt"})
        for build in builds
    ]
    alone = [fit_model(one, data, Context()) for one in made]
    weights = np.arange(1.0, 7.0) / 21
    mean = sum(w * one.predict(other.table) for w, one in zip(weights, alone, strict=True))
    np.testing.assert_allclose(p, mean, atol=1e-12)
    before = saved(model, tmp_path / "model")
    back = state.load(tmp_path / "model", Model)
    assert saved(back, tmp_path / "again") == before
    np.testing.assert_array_equal(back.predict(other.table), p)


def test_values_and_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(120, "regression")
    model = combined([{"family": "linear"}, {"family": "tree"}], data)
    whole = model.predict(data.table)
    np.testing.assert_allclose(answers(model, data.table)["value"], whole, rtol=1e-9, atol=1e-9)
    monkeypatch.setattr("sixfold.evaluate.model.AT_ONCE", 50)
    monkeypatch.setattr("sixfold.prepare.preparer.BATCH_ROWS", 32)
    np.testing.assert_allclose(model.predict(data.table), whole, rtol=1e-12)


def test_the_graph_holds_nothing_twice_and_nothing_in_vain() -> None:
    """A law on every member's nodes beside the others': six families, three preparers."""
    data = dataset(150, classes=("a", "b", "c"))
    builds: list[dict[str, Any]] = [
        {"family": name} for name in ("linear", "boosting", "forest", "tree", "mlp", "svm")
    ]
    graph = combined(builds, data, {"calibrate": "platt"}).export().graph
    tensors, nodes = [], []
    for tensor in graph.initializer:
        bare = onnx.TensorProto()
        bare.CopyFrom(tensor)
        bare.ClearField("name")
        tensors.append(bare.SerializeToString(deterministic=True))
    for node in graph.node:
        bare_node = onnx.NodeProto()
        bare_node.CopyFrom(node)
        bare_node.ClearField("output")
        nodes.append(bare_node.SerializeToString(deterministic=True))
    assert len(set(tensors)) == len(tensors) > 10
    assert len(set(nodes)) == len(nodes) > 40
    asked = {name for node in graph.node for name in node.input} | {
        value.name for value in graph.output
    }
    assert {tensor.name for tensor in graph.initializer} <= asked
    assert {name for node in graph.node for name in node.output} <= asked
    assert [node.op_type for node in graph.node].count(
        "Slice"
    ) == 0  # members take their features as they were made


def test_equal_preparers_are_one_and_members_without_weight_are_none() -> None:
    data = dataset(80)
    grid = [
        fit_model(candidate({"family": "linear", "C": c}), data, Context())
        for c in (0.1, 1.0, 10.0)
    ]
    model = ensemble.combine(grid, Blend((0.5, 0.0, 0.5), 0.3))
    assert isinstance(model.preparer, Joined)
    assert len(model.preparer.preparers) == 1
    assert model.preparer.notes == grid[0].preparer.notes
    assert isinstance(model.fitted, Averaged)
    assert len(model.fitted.parts) == 2
    assert model.threshold == 0.3
    expected = (grid[0].predict(data.table) + grid[2].predict(data.table)) / 2
    np.testing.assert_allclose(model.predict(data.table), expected, atol=1e-12)
    assert ensemble.combine(grid, Blend((0.0, 1.0, 0.0), None)) is grid[1]


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, (4, 12), elements=NUMBERS),
    arrays(np.float64, (4, 2), elements=st.floats(0, SPENT)),
)
def test_members_leave_until_the_rest_keeps_the_limits(members: Array, shares: Array) -> None:
    def score(mean: Array) -> float:
        return -float(np.mean(mean**2))

    whole = np.full(4, 0.25)
    weights = ensemble.affordable(whole, list(members), score, shares)
    kept = weights > 0
    assert weights.sum() == pytest.approx(1)
    assert kept.sum() == 1 or (shares[kept].sum(axis=0) <= SPENT).all()
    assert kept.all() == bool((shares.sum(axis=0) <= SPENT).all())
    np.testing.assert_array_equal(
        ensemble.affordable(whole, list(members), score, np.zeros((4, 2))), whole
    )


def test_an_ensemble_says_who_left_for_the_limits() -> None:
    """Each of three is wrong in another third: all stay, unless two thirds of a limit hold two of them."""
    y = np.arange(60) % 2
    target = Target("classification", y, ("y",), ("a", "b"))

    def member(name: str, right: Array, share: float) -> Evaluation:
        p = np.where(right, 0.8, 0.3)
        one = np.where(y == 1, p, 1 - p)
        scores = {"log_loss": np.zeros(2)}
        return Evaluation(
            name,
            name,
            "probability",
            ("log_loss",),
            scores,
            np.stack([1 - one, one], axis=1),
            FoldModels(),
            0.0,
            (0, 1),
            shares=(share,),
        )

    at = np.arange(60)
    parts = [member(name, at % 3 != third, 0.3) for third, name in enumerate("abc")]
    free = ensemble.blend(
        [replace(one, shares=()) for one in parts], target, np.arange(60), "log_loss"
    )
    assert min(free.weights) > 0
    assert free.left_out == ()
    held = ensemble.blend(parts, target, np.arange(60), "log_loss")
    assert sum(weight > 0 for weight in held.weights) == 2
    assert held.left_out == tuple(
        one.name for one, weight in zip(parts, held.weights, strict=True) if weight == 0
    )
    large = replace(parts[0], shares=(0.7,))
    kept, notes = ensemble.members([large, *parts[1:]])
    assert kept == parts[1:]
    assert notes == [
        "a is no member of the ensemble: it takes 70% of a limit of the budget (bundle, latency), of which all members "
        "together have 67%."
    ]


def labelled(y: Array, found: list[Array], folds: list[Fold]) -> list[Evaluation]:
    """Candidates by the probabilities of class 1 that they give out of fold, scored by accuracy."""
    return [
        Evaluation(
            f"{at}",
            "tree",
            "probability",
            ("accuracy",),
            {
                "accuracy": np.array(
                    [np.mean((p > 0.5)[fold.validation] == y[fold.validation]) for fold in folds]
                )
            },
            np.stack([1 - p, p], axis=1),
            FoldModels(),
            0.0,
            tuple(range(len(folds))),
        )
        for at, p in enumerate(found)
    ]


def test_to_pick_the_best_is_scored_on_folds_that_did_not_pick() -> None:
    """Of many candidates of chance the best looks good, and picking it is worth nothing."""
    at, seen, lucky = np.arange(100), list[float](), list[float]()
    folds = [Fold(np.flatnonzero(at % 5 != own), np.flatnonzero(at % 5 == own)) for own in range(5)]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = rng.permutation(at % 2)
        many = labelled(y, list(rng.random((30, 100))), folds)
        target = Target("classification", y, ("y",), ("a", "b"))
        by_hand = []
        for number, fold in enumerate(folds):

            def known(
                one: Evaluation, rows: Array = fold.train, y: Array = y
            ) -> tuple[float, float]:
                p = one.predictions[rows, 1]
                return np.mean((p > 0.5) == y[rows]), -float(np.mean((p - y[rows]) ** 2))

            by_hand.append(max(many, key=known).scores["accuracy"][number])
        seen.append(ensemble.picked(many, target, folds, "accuracy"))
        assert seen[-1] == pytest.approx(np.mean(by_hand))
        lucky.append(max(float(np.mean(one.scores["accuracy"])) for one in many))
    assert np.mean(lucky) > 0.58
    assert abs(np.mean(seen) - 0.5) < 0.04


def test_of_means_that_label_alike_the_one_that_is_surer_is_chosen() -> None:
    y = np.arange(40) % 2
    folds = [Fold(np.flatnonzero(y >= 0), np.flatnonzero(y >= 0))]
    unsure, sure = np.where(y == 1, 0.65, 0.35), np.where(y == 1, 0.9, 0.1)
    target = Target("classification", y, ("y",), ("a", "b"))
    found = ensemble.blend(labelled(y, [unsure, sure], folds), target, np.arange(40), "accuracy")
    assert found.weights == (0.0, 1.0)
    wrong = np.where(np.arange(40) == 0, 1 - sure, sure)  # surer elsewhere, and one row worse
    found = ensemble.blend(labelled(y, [unsure, wrong], folds), target, np.arange(40), "accuracy")
    mean = found.weights[0] * unsure + found.weights[1] * wrong
    assert ((mean > 0.5) == y).all()


def test_of_many_candidates_the_best_of_each_family_are_looked_at() -> None:
    def one(number: int, family: str) -> Evaluation:
        scores = {"rmse": np.full(2, float(number))}
        empty = np.zeros((0, 1))
        return Evaluation(
            f"{family} {number}",
            family,
            "value",
            ("rmse",),
            scores,
            empty,
            FoldModels(),
            0.0,
            (0, 1),
        )

    few = [one(number, "tree") for number in range(ensemble.MOST_MEMBERS)]
    assert ensemble.looked_at(few, "rmse") == few  # of a grid of one family all, as far as they go
    many = [*few, *(one(100 + number, "svm") for number in range(6))]
    found = ensemble.looked_at(many, "rmse")
    assert len(found) == ensemble.MOST_MEMBERS
    assert [each.name for each in found if each.family == "svm"] == [
        f"svm {n}" for n in range(100, 104)
    ]
    assert found == [each for each in many if each in found]


def test_decision_values_are_not_averaged() -> None:
    data = dataset(60)
    folds = make(Evaluate(folds=2), data)
    svm = cross_validate(candidate({"family": "svm"}), data, folds, ["accuracy"], Context())
    sure = replace(svm, name="sure", output="probability")
    kept, notes = ensemble.members([svm, sure])
    assert kept == [sure]
    assert notes == [
        "svm is no member of the ensemble: it gives decision values, no probabilities (evaluate.calibrate: platt)."
    ]


@pytest.mark.parametrize(("scheme", "folds"), [("holdout", 1), ("leave_one_out", 60)])
def test_folds_that_allow_no_honest_weights_are_refused(scheme: str, folds: int) -> None:
    data = dataset(60)
    assert len(make(Evaluate(scheme=scheme), data)) == folds
    with pytest.raises(RecipeError) as caught:
        make(Evaluate(scheme=scheme, ensemble=True), data)
    assert str(caught.value) == (
        "evaluate.ensemble: expected 2 to 50 folds: the weights of each are chosen on predictions for the other folds; "
        f"found {folds}. Choose another evaluate.scheme, or leave ensemble out."
    )
