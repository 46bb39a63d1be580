"""Training through its one door: exact gradient descent, exact SGD, stops, restored weights,
errors, determinism.
"""

from __future__ import annotations

import gc
import itertools
import time
from typing import Any

import numpy as np
import pytest
import torch

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError, FitError, RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.fit import Fit, Watch
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train import batches as module
from sixfold.train import loss_reporter, replicas
from sixfold.train.batches import Batches, ReplicaBatches, cut, permutation

RNG = np.random.default_rng(1)
X = RNG.normal(size=(40, 5))
Y = X @ RNG.normal(size=(5, 2)) + 0.3 + 0.1 * RNG.normal(size=(40, 2))
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
VALUES = Fit(X, Y, "reconstruction", 2, seed=3)
LABELS = Fit(X, CLASSES, "classification", 3, seed=3)
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _every_epoch_has_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_reporter, "OFTEN_S", 0.0)


def candidate(build: dict[str, Any], train: dict[str, Any], **initialize: Any) -> Candidate:
    family = FAMILY.load("mlp")(**build)
    return Candidate(
        "mlp", "mlp", family, Prepare(), Initialize(**{"seed": 5, **initialize}), Train(**train)
    )


def fit(
    build: dict[str, Any],
    train: dict[str, Any],
    what: Fit = VALUES,
    watch: Watch | None = None,
    **initialize: Any,
) -> tuple[Any, Events]:
    events: Events = []
    context = Context(emit_to=lambda kind, facts: events.append((kind, facts)))
    return next(fit_many([candidate(build, train, **initialize)], [what], context, watch)), events


def epochs(events: Events) -> list[dict[str, Any]]:
    return [facts for kind, facts in events if kind == "epoch"]


def reason(events: Events) -> str:
    return next((str(facts["reason"]) for kind, facts in events if kind == "training_stopped"), "")


def descent(rate: float, count: int, **more: Any) -> dict[str, Any]:
    optimizer = {"name": "sgd", "learning_rate": rate}
    return {
        "optimizer": optimizer,
        "batch_size": "full",
        "epochs": count,
        "precision": "float64",
        **more,
    }


def test_gradient_descent_equals_the_closed_form() -> None:
    """J(θ) = mean((Z·θ − Y)²) with Z = [X, 1]: θ_t = θ* + (I − α·2ZᵀZ/(R·K))ᵗ (θ_0 − θ*)."""
    Z, rate = np.hstack([X, np.ones((40, 1))]), 0.2
    best = np.linalg.lstsq(Z, Y, rcond=None)[0]
    shrink = np.eye(6) - rate * 2 * Z.T @ Z / Y.size
    for steps in (1, 2, 10, 100):
        fitted, _ = fit({"hidden": []}, descent(rate, steps), scheme="zeros")
        theta = np.vstack([fitted.weights[0].T, fitted.biases[0]])
        np.testing.assert_allclose(
            theta, best - np.linalg.matrix_power(shrink, steps) @ best, rtol=0, atol=1e-10
        )


def test_single_sample_sgd_equals_numpy_on_the_same_order() -> None:
    train = {**descent(0.05, 3), "batch_size": 1}
    fitted, _ = fit({"hidden": [], "scale_target": False}, train, scheme="zeros")
    generator = torch.Generator().manual_seed(derive(5, 3, "order"))
    weights, bias = np.zeros((2, 5)), np.zeros(2)
    for _ in range(3):
        order = permutation(40, generator).tolist()
        assert sorted(order) == list(range(40))
        for row in order:
            error = weights @ X[row] + bias - Y[row]
            weights -= 0.05 * np.outer(error, X[row])  # mean over two outputs: 2/2
            bias -= 0.05 * error
    np.testing.assert_allclose(fitted.weights[0], weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fitted.biases[0], bias, rtol=0, atol=1e-12)


def numbered(rows: int, size: int, seed: int) -> Batches:
    return Batches(torch.arange(float(rows))[:, None], torch.arange(rows), size, seed)


def epoch(together: ReplicaBatches) -> list[list[list[int]]]:
    """Of one more epoch: replica → batch → row numbers. A batch is read before the next block
    overwrites it.
    """
    found = [
        [rows[weight > 0].tolist() for rows, weight in zip(batch.target, batch.weight, strict=True)]
        for batch in together.epoch()
        if torch.equal(
            batch.x[..., 0].long() * (batch.weight > 0), batch.target * (batch.weight > 0)
        )
    ]
    assert len(found) == together.count
    return [[rows for rows in replica if rows] for replica in zip(*found, strict=True)]


def test_mini_batches_hold_every_row_once_and_keep_the_smaller_last_one() -> None:
    together = ReplicaBatches([numbered(10, 4, 2)])
    first, second = epoch(together)[0], epoch(together)[0]
    for batches in (first, second):
        assert [len(rows) for rows in batches] == [4, 4, 2]
        assert sorted(itertools.chain(*batches)) == list(range(10))
    assert first != second
    assert epoch(ReplicaBatches([numbered(10, 4, 2)]))[0] == first
    assert together.weight.sum(dim=2).tolist() == [pytest.approx([1.0, 1.0, 1.0])]
    assert together.shares()[0].tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_replicas_side_by_side_see_what_each_would_see_alone() -> None:
    """Folds of unequal size: another last batch, another number of batches, fewer rows than a
    batch.
    """
    sizes = [(10, 4, 2), (9, 4, 3), (7, 4, 4), (3, 3, 5)]
    together = ReplicaBatches([numbered(*size) for size in sizes])
    alone = [ReplicaBatches([numbered(*size)]) for size in sizes]
    for _ in range(3):
        assert epoch(together) == [epoch(one)[0] for one in alone]
    assert epoch(together.keep([1, 3])) == [epoch(alone[at])[0] for at in (1, 3)]


def test_an_epoch_in_several_blocks_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(22, 2, 2), (21, 2, 3), (18, 2, 4)]  # 11 batches, in blocks of 3: the last block has 2
    whole = ReplicaBatches([numbered(*size) for size in sizes])
    wanted = [epoch(whole) for _ in range(2)]
    monkeypatch.setattr(module, "BLOCK_BYTES", 3 * len(sizes) * 2 * 4)
    blocks = ReplicaBatches([numbered(*size) for size in sizes])
    assert [epoch(blocks) for _ in range(2)] == wanted


@pytest.mark.slow
def test_features_are_let_go_with_the_last_fit() -> None:
    """Without waiting for the collector of cycles: folds of half a gigabyte would pile up."""

    def held() -> int:
        return sum(type(one) is torch.Tensor and one.numel() >= X.size for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = held()
        fit({"hidden": []}, {**descent(0.05, 2), "batch_size": 16}, scheme="zeros")
        assert held() == before
    finally:
        gc.enable()


def test_mini_batch_gradient_descent_equals_numpy() -> None:
    train = {**descent(0.05, 2), "batch_size": 16}
    fitted, events = fit({"hidden": []}, train, scheme="zeros")
    generator = torch.Generator().manual_seed(derive(5, 3, "order"))
    weights, bias = np.zeros((2, 5)), np.zeros(2)
    for epoch in range(2):
        total = 0.0
        for rows in np.split(permutation(40, generator).numpy(), [16, 32]):
            error = X[rows] @ weights.T + bias - Y[rows]
            total += (error**2).mean() * len(rows) / 40
            weights -= 0.05 * error.T @ X[rows] / len(rows)
            bias -= 0.05 * error.mean(axis=0)
        assert epochs(events)[epoch]["loss"] == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(fitted.weights[0], weights, rtol=0, atol=1e-12)


def test_lbfgs_finds_the_least_squares_solution() -> None:
    train = {"optimizer": "lbfgs", "batch_size": "full", "epochs": 3, "precision": "float64"}
    fitted, _ = fit({"hidden": []}, train)
    best = np.linalg.lstsq(np.hstack([X, np.ones((40, 1))]), Y, rcond=None)[0]
    np.testing.assert_allclose(fitted.weights[0].T, best[:5], atol=1e-5)


def test_lbfgs_refuses_mini_batches() -> None:
    with pytest.raises(RecipeError) as caught:
        fit({"hidden": []}, {"optimizer": "lbfgs", "batch_size": 8})
    assert str(caught.value) == (
        "train.batch_size: expected full, which lbfgs needs; found 8. "
        "Write `batch_size: full`, or choose another optimizer."
    )


def test_epoch_events_and_report_every() -> None:
    _, events = fit({"hidden": [4]}, {"epochs": 10, "report_every": 4})
    facts = epochs(events)
    assert [e["epoch"] for e in facts] == [4, 8, 10]
    assert set(facts[0]) == {
        "epoch",
        "epochs",
        "report_every",
        "loss",
        "validation",
        "learning_rate",
        "gradient_norm",
        "losses",
        "validations",
    }
    assert [len(e["losses"]) for e in facts] == [4, 4, 2]
    assert all(e["losses"][-1] == e["loss"] for e in facts)
    assert facts[0]["validations"] == []
    assert facts[0]["epochs"] == 10
    assert facts[0]["validation"] is None
    assert facts[0]["gradient_norm"] > 0
    assert reason(events) == ""


@pytest.mark.parametrize(
    "more",
    [{}, {"average": {"swa": 0.5}}, {"optimizer": "schedule_free_sgd"}, {"stop": {"patience": 3}}],
)
def test_how_often_the_loss_is_told_changes_nothing(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of epochs that nobody looks at, the steps follow on one another; at most `UNSEEN` of them."""
    train = {"epochs": 12, "batch_size": 16, **more}
    always, events = fit({"hidden": [4]}, train)
    seldom, fewer = fit({"hidden": [4]}, {**train, "report_every": 5})
    monkeypatch.setattr(loss_reporter, "OFTEN_S", np.inf)
    late, two = fit({"hidden": [4]}, train)
    monkeypatch.setattr(replicas, "UNSEEN", 7)
    often, same = fit({"hidden": [4]}, {**train, "report_every": 5})
    for one in (seldom, late, often):
        np.testing.assert_array_equal(one.weights[0], always.weights[0])
    told = {e["epoch"]: (e["loss"], e["gradient_norm"], e["validation"]) for e in epochs(events)}
    assert {5, 10} < {e["epoch"] for e in epochs(fewer)} < told.keys()
    assert [e["epoch"] for e in epochs(two)] == [1, max(told)]
    for few in (fewer, two, same):
        assert all(
            told[e["epoch"]] == (e["loss"], e["gradient_norm"], e["validation"])
            for e in epochs(few)
        )
        assert [loss for e in epochs(few) for loss in e["losses"]] == [
            told[epoch][0] for epoch in sorted(told)
        ]
        assert [v for e in epochs(few) for v in e["validations"]] == [
            v for _, (_, _, v) in sorted(told.items()) if v
        ]


def test_schedule_and_warm_up_reach_the_optimizer() -> None:
    train = descent(0.1, 4, schedule={"name": "step", "every": 0.5, "gamma": 0.5}, warm_up=0.5)
    _, events = fit({"hidden": []}, train, scheme="zeros")
    assert [e["learning_rate"] for e in epochs(events)] == pytest.approx([0.05, 0.1, 0.1, 0.05])


def test_patience_stops_and_the_best_weights_come_back() -> None:
    train = {"optimizer": {"name": "adam", "learning_rate": 0.3}, "batch_size": 4, "epochs": 400}
    stop = {"patience": 6, "validation": 0.25}
    noise = Fit(X, np.random.default_rng(0).integers(0, 2, 40), "classification", 2, seed=3)
    fitted, events = fit({"hidden": [16]}, {**train, "stop": stop}, noise)
    watched = [e["validation"] for e in epochs(events)]
    best = int(np.argmin(watched)) + 1
    assert len(watched) == best + 6 < 400
    assert reason(events) == f"no better loss than {min(watched):.6g} of epoch {best}"
    _, rows = cut(noise, 0.25, derive(5, 3, "validation"))
    probabilities = fitted.predict(noise.x[rows])[np.arange(len(rows)), noise.y[rows]]
    assert -np.log(probabilities).mean() == pytest.approx(min(watched), rel=1e-4)
    again, _ = fit({"hidden": [16]}, {**train, "stop": stop, "epochs": best}, noise)
    np.testing.assert_array_equal(again.weights[0], fitted.weights[0])


def test_target_stops() -> None:
    _, events = fit({"hidden": []}, descent(0.2, 500, stop={"target": 0.5}), scheme="zeros")
    watched = [e["validation"] for e in epochs(events)]
    assert watched[-1] <= 0.5 < min(watched[:-1])
    assert reason(events) == f"loss {watched[-1]:.6g} has reached the target 0.5"


def test_a_metric_is_watched_in_its_own_direction() -> None:
    def accuracy(y: Any, predicted: Any, weights: Any) -> float:
        return float((predicted.argmax(axis=1) == y).mean())

    watch = Watch("accuracy", True, accuracy)
    train = {
        "epochs": 300,
        "stop": {"metric": "accuracy", "target": 0.85, "validation": 0.3},
        "batch_size": 8,
    }
    x = np.random.default_rng(4).normal(size=(200, 3))
    what = Fit(x, np.digitize(x[:, 0], [-0.5, 0.5]), "classification", 3)
    _, events = fit({"hidden": [8]}, train, what, watch)
    watched = [e["validation"] for e in epochs(events)]
    assert watched[-1] >= 0.85 > max(watched[:-1])
    assert reason(events) == f"accuracy {watched[-1]:.6g} has reached the target 0.85"
    with pytest.raises(RecipeError, match="found 'accuracy'"):
        fit({"hidden": [8]}, train, LABELS)


def test_gradient_norm_stops() -> None:
    _, events = fit(
        {"hidden": []}, descent(0.3, 5000, stop={"gradient_norm": 1e-4}), scheme="zeros"
    )
    norms = [e["gradient_norm"] for e in epochs(events)]
    assert norms[-1] < 1e-4 <= min(norms[:-1])
    assert reason(events).endswith("is below 0.0001")
    Z = np.hstack([X, np.ones((40, 1))])
    assert norms[0] == pytest.approx(np.linalg.norm(2 * Z.T @ Y / Y.size), rel=1e-12)


def test_time_stops_and_keeps_what_there_is() -> None:
    events: Events = []
    context = Context(
        emit_to=lambda kind, facts: events.append((kind, facts)), deadline=time.monotonic() + 0.3
    )
    many = candidate({"hidden": [4]}, {"epochs": 10**6, "report_every": 10**6})
    fitted = list(fit_many([many], [VALUES, VALUES], context))
    reasons = [facts["reason"] for kind, facts in events if kind == "training_stopped"]
    assert all(facts["cut"] for kind, facts in events if kind == "training_stopped")
    assert len(fitted) == len(reasons) == 2
    assert all(text.startswith("the time is over in epoch ") for text in reasons)
    assert [e["fit"] for e in epochs(events)] == [0, 1]
    assert np.isfinite(fitted[1].predict(X)).all()


def test_no_time_at_all() -> None:
    with pytest.raises(BudgetError, match="no time left while fitting mlp"):
        list(fit_many([candidate({}, {})], [VALUES], Context(deadline=time.monotonic() - 1)))


def test_divergence_names_the_step_and_the_remedy() -> None:
    with pytest.raises(FitError) as caught:
        fit({"hidden": []}, descent(100.0, 200), scheme="zeros")
    text = str(caught.value)
    assert text.startswith("train, step ")
    assert "expected a loss that is a number and does not grow without end; found loss " in text
    assert text.endswith(
        "Lower train.optimizer.learning_rate, add train.warm_up, or look for extreme values in the features."
    )


@pytest.mark.parametrize("row", [0, 39])
def test_a_loss_that_is_no_number_names_its_step(row: int) -> None:
    y = Y.copy()
    y[row] = np.nan
    train = {**descent(0.01, 2), "batch_size": 1}
    generator = torch.Generator().manual_seed(derive(5, 3, "order"))
    step = permutation(40, generator).tolist().index(row) + 1
    with pytest.raises(FitError, match=f"^train, step {step}: .*found loss nan"):
        fit({"hidden": []}, train, Fit(X, y, "reconstruction", 2, seed=3), scheme="zeros")


@pytest.mark.parametrize("replica", [0, 1])
def test_a_loss_that_is_no_number_is_found_among_steps_that_nobody_looks_at(replica: int) -> None:
    """The step is the same as if every epoch were looked at. The second fit has one step less an
    epoch than the first.
    """
    fits = [
        Fit(X[:rows] * (1.0 + 29.0 * (at == replica)), Y[:rows], "reconstruction", 2)
        for at, rows in enumerate((40, 30))
    ]
    told = []
    for every in (1, 6):
        train = {**descent(0.02, 6), "batch_size": 10, "report_every": every}
        with pytest.raises(FitError) as caught:
            list(fit_many([candidate({"hidden": []}, train, scheme="zeros")], fits, Context()))
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert not told[0].startswith("train, step 1:")


def test_last_step_that_breaks_the_weights() -> None:
    x = np.full((4, 1), 1e30)
    with pytest.raises(FitError, match="train, step 1: expected weights that are finite numbers"):
        train = {**descent(1e3, 1), "precision": "float32"}
        fit(
            {"hidden": []},
            train,
            Fit(x, np.array([1e18, -1e18] * 2), "reconstruction", 1),
            scheme="zeros",
        )


def test_symmetric_start_is_refused() -> None:
    with pytest.raises(FitError) as caught:
        fit({"hidden": [4]}, {}, scheme="zeros")
    assert str(caught.value) == (
        "initialize.scheme: expected a scheme that gives hidden units different weights; found zeros starts hidden "
        "layers at 0: no gradient passes them, and they never change. Choose he_normal (relu) or xavier_uniform (tanh, "
        "sigmoid)."
    )


@pytest.mark.parametrize("build", [{"hidden": [8]}, {"hidden": [8], "dropout": 0.3}])
def test_same_seed_same_bits_whatever_torch_did_before(build: dict[str, Any]) -> None:
    train = {"epochs": 4, "batch_size": 8}
    first, _ = fit(build, train)
    torch.rand(7)
    state = torch.get_rng_state()
    second, _ = fit(build, train)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(first.weights[0], second.weights[0])
    other, _ = fit(build, train, seed=6)
    assert not np.array_equal(first.weights[0], other.weights[0])


def test_dropout_changes_training_and_not_prediction() -> None:
    train = {"epochs": 4, "batch_size": 8}
    with_dropout, plain = (fit({"hidden": [8], "dropout": rate}, train)[0] for rate in (0.5, 0.0))
    assert not np.array_equal(with_dropout.weights[0], plain.weights[0])
    np.testing.assert_array_equal(with_dropout.predict(X), with_dropout.predict(X))


def test_resume_goes_on_where_it_was() -> None:
    half, _ = fit({"hidden": [6]}, descent(0.1, 20))
    resumed, _ = fit(
        {"hidden": [6]}, descent(0.1, 30), Fit(X, Y, "reconstruction", 2, seed=3, start=half)
    )
    whole, _ = fit({"hidden": [6]}, descent(0.1, 50))
    np.testing.assert_allclose(resumed.weights[0], whole.weights[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(resumed.biases[1], whole.biases[1], rtol=0, atol=1e-14)


def test_rows_watched_are_cut_in_proportion() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 1])
    what = Fit(np.zeros((91, 1)), y, "classification", 3)
    for seed in range(5):
        kept, watched = cut(what, 0.2, seed)
        assert sorted([*kept, *watched]) == list(range(91))
        assert np.bincount(y[watched], minlength=3).tolist() == [12, 6, 0]
    assert [
        len(rows) for rows in cut(Fit(np.zeros((1, 1)), np.zeros(1), "regression", 1), 0.5, 0)
    ] == [1, 0]


def test_solver_families_go_through_the_same_door() -> None:
    settings = FAMILY.load("linear")()
    linear = Candidate("linear", "linear", settings, Prepare(), Initialize(), Train())
    through = next(fit_many([linear], [LABELS], Context()))
    direct = next(settings.fit([LABELS], Context()))
    np.testing.assert_array_equal(through.predict(X), direct.predict(X))


def test_regression_walkthrough() -> None:
    """1000 rows × 10 columns, 10 → 10 (relu) → 10, Adam on the mean squared error, full batch, 1000
    epochs.
    """
    rows = np.random.default_rng(0).random((1100, 10))
    train = {
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "batch_size": "full",
        "epochs": 1000,
    }
    what = Fit(rows[:1000], rows[:1000], "reconstruction", 10)
    fitted, events = fit(
        {"hidden": [10]}, {**train, "report_every": 100}, what, scheme="xavier_uniform"
    )
    facts = epochs(events)
    losses = [e["loss"] for e in facts]
    assert [e["epoch"] for e in facts] == list(range(100, 1001, 100))
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    fresh = float(np.mean((fitted.predict(rows[1000:]) - rows[1000:]) ** 2))
    assert fresh < 0.06
    assert fresh == pytest.approx(losses[-1], rel=0.2)
    assert fitted.layers() == [("hidden 1 (relu)", (10, 10), 110), ("output", (10, 10), 110)]
    assert sum(value.size for value in fitted.parameters().values()) == 220
