"""`learning_rate: auto`: against quadratics whose best rate is known, alone and together, on
training rows only.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_digits

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.core.errors import RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train import range_test
from sixfold.train.batches import cut
from sixfold.train.range_test import RangeCurve, Rise, rounded
from sixfold.train.replicas import ReplicaLearner

Events = list[tuple[str, dict[str, Any]]]
AUTO = {"learning_rate": "auto"}
RATED = [
    name for name in OPTIMIZER.names() if "auto" in str(OPTIMIZER.load(name).model_json_schema())
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)) * np.array([1.0, 0.9, 1.1, 1.0])
Y = X @ RNG.normal(size=(4, 1)) + 0.05 * RNG.normal(size=(300, 1))
DIGITS = load_digits(return_X_y=True)


def candidate(
    optimizer: dict[str, Any], name: str = "mlp", hidden: tuple[int, ...] = (16,), **train: Any
) -> Candidate:
    family = FAMILY.load("mlp")(hidden=hidden)
    section = Train(**{"batch_size": 16, "epochs": 2, **train, "optimizer": optimizer})
    return Candidate(name, "mlp", family, Prepare(), Initialize(seed=5), section)


def digits(rows: int, seed: int) -> Fit:
    x, y = DIGITS
    chosen = np.random.default_rng(seed).permutation(len(x))[:rows]
    return Fit(x[chosen] / 16.0, y[chosen], "classification", 10, seed=seed)


def fit(
    candidates: list[Candidate], fits: list[Fit], **context: Any
) -> tuple[list[Fitted], Events]:
    events: Events = []
    return list(
        fit_many(candidates, fits, Context(emit_to=lambda *event: events.append(event), **context))
    ), events


def rates(events: Events) -> list[float]:
    """The learning rate of each fit, in the order of the fits."""
    last = {
        (facts.get("fit", 0), facts.get("candidate", "")): facts["learning_rate"]
        for kind, facts in events
        if kind == "epoch"
    }
    return [last[key] for key in sorted(last)]


def texts(events: Events, wanted: str = "note") -> list[str]:
    return [facts["text"] for kind, facts in events if kind == wanted]


@pytest.mark.parametrize("scale", [1.0, 5.0, 30.0])
def test_of_a_quadratic_the_rate_is_below_that_at_which_descent_diverges(scale: float) -> None:
    """J(θ) = mean((Z·θ − Y)²), Z = [X, 1]: θ diverges above 2 / λmax(2·ZᵀZ/R), and 1 / λmax is the
    fastest for the steepest direction. Features thirty times as large want a rate 900 times as
    small: found far from the optimizer's own.
    """
    one = candidate(
        {"name": "sgd", "learning_rate": "auto"}, hidden=(), batch_size="full", epochs=30
    )
    _, events = fit([one], [Fit(scale * X, Y, "reconstruction", 1)])
    Z = np.hstack([scale * X, np.ones((len(X), 1))])
    highest = np.linalg.eigvalsh(2 * Z.T @ Z / len(Z)).max()
    assert 0.05 / highest < rates(events)[0] < 2 / highest
    losses = [facts["loss"] for kind, facts in events if kind == "epoch"]
    assert losses[-1] < 0.05 * losses[0]


def test_the_rates_rise_by_equal_factors() -> None:
    rise = [Rise(1e5).factor(step, 6) for step in range(6)]
    assert rise == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])


def test_the_rate_is_where_the_share_of_the_fall_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fall along a straight line over 40 steps, then a rise: means over 5 steps change nothing on
    a line.
    """
    steps = np.arange(60.0)
    changes = np.where(steps <= 10, 0.0, np.where(steps <= 50, (10 - steps) / 80, steps - 50.5))
    curve = RangeCurve(10.0 ** (steps / 20 - 3), changes)
    deepest = -curve.smooth().min()
    monkeypatch.setattr(range_test, "CLEAR", 1.0)
    assert 0.45 < deepest < 0.5
    for share in (0.25, 0.5, 0.75):
        monkeypatch.setattr(range_test, "FALL", share)
        step = 10 + 80 * share * deepest
        assert curve.best() == pytest.approx(10.0 ** (step / 20 - 3), rel=1e-12)


def test_the_rate_stays_clear_of_where_the_fall_is_lost() -> None:
    """A steep end: the loss is above its start again at step 40, five steps of a tenth of a decade
    after two thirds.
    """
    steps = np.arange(50.0)
    changes = np.where(steps < 30, 0.0, np.where(steps < 38, -(steps - 29) / 20, 0.5))
    rates = 10.0 ** (steps / 10 - 4)
    lost = rates[np.flatnonzero(RangeCurve(rates, changes).smooth() > 0)[0]]
    assert RangeCurve(rates, changes).best() == pytest.approx(lost / 5.0, rel=1e-12)


def test_what_follows_a_divergence_is_not_looked_at() -> None:
    """A loss that came down again by chance, at a rate far too large."""
    falling = np.concatenate([np.zeros(10), np.linspace(0, -0.5, 20)])
    changes = np.concatenate([falling, np.full(10, 50.0), np.full(10, -0.9)])
    rates = np.geomspace(1e-5, 1, 50)
    assert RangeCurve(rates, changes).best() == RangeCurve(rates[:40], changes[:40]).best()


@pytest.mark.parametrize(
    "changes",
    [
        np.zeros(40),
        np.full(40, np.nan),
        np.linspace(0, -0.01, 40),
        np.linspace(0, 30, 40),
        np.full(40, np.inf),
        np.zeros(0),
    ],
)
def test_no_fall_no_rate(changes: Any) -> None:
    assert (
        RangeCurve(
            np.geomspace(1e-5, 1, len(changes)) if len(changes) else np.zeros(0), changes
        ).best()
        is None
    )


def test_rounded_down_to_one_two_five() -> None:
    given = (0.00099, 0.001, 0.0019, 0.002, 0.0033, 0.0051, 0.0099, 1.0, 1.5, 80.0, 1e-9)
    assert [rounded(rate) for rate in given] == [
        0.0005,
        0.001,
        0.001,
        0.002,
        0.002,
        0.005,
        0.005,
        1.0,
        1.0,
        50.0,
        1e-9,
    ]


# ---- alone and together ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATED)
def test_a_rate_does_not_depend_on_who_is_tested_beside(name: str) -> None:
    """Folds of unequal size, one smaller than a batch; to the bit, as it is rounded; another
    optimizer trains beside.
    """
    fits = [digits(count, seed) for seed, count in enumerate((320, 290, 352, 11))]
    one, other = candidate({"name": name, **AUTO}), candidate({"name": "sgd", **AUTO}, "other")
    together = rates(fit([one, other], fits)[1])[::2]
    assert together == [rates(fit([one], [each])[1])[0] for each in fits]


@pytest.mark.parametrize("build", [{}, {"dropout": 0.3}])
def test_training_goes_as_if_the_rate_had_been_written(build: dict[str, Any]) -> None:
    """No random stream moves: order of rows, dropout, the cut of rows to be watched."""
    train = {
        "epochs": 4,
        "stop": {"patience": 3},
        "schedule": "cosine",
        "warm_up": 0.1,
        "average": {"ema": 0.9},
        "clip": 1.0,
    }
    what = digits(200, 1)
    found, events = fit([candidate({"name": "adam", **AUTO}, **train)], [what])
    rate = next(float(text.split("learning_rate ")[1].split(" ")[0]) for text in texts(events))
    written, _ = fit([candidate({"name": "adam", "learning_rate": rate}, **train)], [what])
    for left, right in zip(found[0].weights, written[0].weights, strict=True):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(left, right)


def test_the_rate_comes_from_rows_that_are_trained_on() -> None:
    """Rows cut off to be watched may hold anything: the rate stays."""
    x, y = DIGITS[0][:200] / 16.0, DIGITS[1][:200]
    one = candidate({"name": "adam", **AUTO}, epochs=1, stop={"patience": 3, "validation": 0.25})
    whole = Fit(x, y, "classification", 10, seed=2)
    _, watched = cut(whole, 0.25, derive(5, whole.seed, "validation"))
    spoiled = x.copy()
    spoiled[watched] = 1e6
    assert rates(fit([one], [whole])[1]) == rates(fit([one], [replace(whole, x=spoiled)])[1])


def test_torchs_own_generator_is_not_touched() -> None:
    state = torch.get_rng_state()
    fit([candidate({"name": "adam", **AUTO})], [digits(100, 0)])
    assert torch.equal(state, torch.get_rng_state())


def test_rows_held_without_their_zeros_give_the_same_rate() -> None:
    what, one = digits(200, 3), candidate({"name": "adam", **AUTO})
    sparse = replace(what, x=csr_array(what.x))
    assert rates(fit([one], [sparse])[1]) == rates(fit([one], [what])[1])


def test_a_batch_of_many_rows_is_tested_on_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs' worth of rows in 30 steps: of 300 rows 20 a step, and no fewer than ROWS."""
    seen: list[tuple[int, ...]] = []
    plain = ReplicaLearner.step
    monkeypatch.setattr(range_test, "ROWS", 10)
    monkeypatch.setattr(
        ReplicaLearner,
        "step",
        lambda self, batch: (seen.append(tuple(batch.x.shape)), plain(self, batch))[1],
    )
    fit([candidate({"name": "adam", **AUTO}, batch_size="full", epochs=1)], [digits(300, 0)])
    assert seen == [(1, 20, 64)] * 30 + [(1, 300, 64)]


# ---- what is said, and when there is no rate ---------------------------------------------------------------------


def test_what_is_found_is_said_once_a_candidate() -> None:
    fits = [digits(count, seed) for seed, count in enumerate((320, 290, 352))]
    _, events = fit([candidate({"name": "adam", **AUTO})], fits)
    found = rates(events)
    notes = texts(events)
    assert len(notes) == 1
    assert notes[0].startswith("mlp: learning_rate ")
    assert notes[0].endswith(" for adam, by a range test of 40 steps")
    assert all(f"{rate:g}" in notes[0] for rate in found)


def test_a_loss_that_does_not_fall_leaves_the_optimizer_its_own_rate() -> None:
    """Features that are all zero, and a target without a mean to learn."""
    what = Fit(np.zeros((60, 3)), np.tile([1.0, -1.0], 30), "regression", 1)
    _, events = fit([candidate({"name": "rmsprop", **AUTO}, batch_size="full")], [what])
    assert rates(events) == [0.001]
    assert texts(events, "warning") == [
        "mlp: a range test found no learning_rate for 1 of 1 fits: the loss did not fall, or time was over; rmsprop keeps its "
        "own, 0.001"
    ]


def test_without_time_there_is_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_test, "SHARE_OF_TIME", 0.0)
    _, events = fit(
        [candidate({"name": "adam", **AUTO})], [digits(100, 0)], deadline=time.monotonic() + 600
    )
    assert "time was over; adam keeps its own, 0.001" in texts(events, "warning")[0]
    assert rates(events) == [0.001]


@pytest.mark.parametrize("name", sorted({*OPTIMIZER.names()} - {*RATED}))
def test_optimizers_that_have_no_rate_to_find(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fit([candidate({"name": name, **AUTO}, batch_size="full")], [digits(60, 0)])
    assert str(caught.value) == (
        f"train.optimizer.learning_rate: expected a number, as {name} searches or scales its steps itself; found auto. "
        "Leave it out, or choose another optimizer."
    )


def test_who_has_a_rate_to_find() -> None:
    assert RATED == [
        "adagrad",
        "adam",
        "adamw",
        "lion",
        "muon",
        "rmsprop",
        "schedule_free_adamw",
        "schedule_free_sgd",
        "sgd",
    ]
