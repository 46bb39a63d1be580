"""Families of one module: several fits side by side give the bits of one alone, killed and
continued too; what the recipe leaves out of `train` comes from the family.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sixfold.build import module_family
from sixfold.build.cnn import PixelNetwork
from sixfold.core.errors import BudgetError, FitError, RecipeError
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Setting, Watch
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.table import Target
from sixfold.plan.candidates import Draft, candidate
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Recipe, Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints
from sixfold.train.module_range_test import rated
from sixfold.train.stepper import Stepper

X, Y = load_digits(return_X_y=True)
PIXELS = (X * 15).astype(np.float32)
LAYOUT = (FeatureGroup("pixels", ("image",), 0, 64, ImageShape(8, 8, 1)),)
CNN: Any = FAMILY.load("cnn")


class KilledError(Exception):
    """In the place of a signal: nothing after the step is done."""


def fits(count: int = 2, rows: int = 60, **train: Any) -> list[Fit]:
    section = Train(**{**CNN().train_defaults.options, "epochs": 2, "batch_size": 20, **train})
    setting = Setting("cnn", CNN(size="nano", shift=0.1, mixup=0.2), train=section)
    whole = Fit(PIXELS, Y, "classification", 10, seed=3, layout=LAYOUT, setting=setting)
    some = [whole.take(np.arange(number, rows * 4, 4)) for number in range(count)]
    return [replace(fit, facts={"fold": number}) for number, fit in enumerate(some)]


def weights(found: Sequence[Fitted]) -> list[np.ndarray[Any, Any]]:
    kept = []
    for one in found:
        assert isinstance(one, PixelNetwork)
        kept += list(one.network.weights.values())
    return kept


def assert_same(left: Sequence[Fitted], right: Sequence[Fitted]) -> None:
    for one, other in zip(weights(left), weights(right), strict=True):
        np.testing.assert_array_equal(one, other)


def trained(
    some: list[Fit],
    context: Context | None = None,
    kill: float = np.inf,
    patch: pytest.MonkeyPatch | None = None,
) -> list[Fitted]:
    """Killed before step number `kill` of all fits together."""
    if patch is None:
        return list(CNN().fit(some, context or Context()))
    done, plain = itertools.count(), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        if next(done) >= kill:
            raise KilledError
        plain(self, closure)

    with patch.context() as inside:
        inside.setattr(Stepper, "take", take)
        return list(CNN().fit(some, context or Context()))


TRAININGS: dict[str, dict[str, Any]] = {
    "as the family likes it": {},
    "adam, clipped, a mean of weights": {"optimizer": "adam", "clip": 0.5, "average": {"ema": 0.9}},
    "watched": {"stop": {"patience": 1, "validation": 0.2}, "epochs": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_killed_anywhere_the_command_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(fits(**TRAININGS[name]))
    for number, kills in enumerate([(1,), (5, 2), (7,), (10,)]):

        def context(folder: Path = tmp_path / str(number)) -> Context:
            return Context(saves=Checkpoints(folder, "key", lambda kind, facts: None, every_s=0.0))

        for kill in kills:
            with pytest.raises(KilledError):
                trained(fits(**TRAININGS[name]), context(), kill, monkeypatch)
        assert_same(trained(fits(**TRAININGS[name]), context()), whole)


def test_side_by_side_or_alone_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    together = trained(fits(3, stop={"patience": 1, "validation": 0.2}))
    monkeypatch.setattr(module_family, "cores", lambda: 1)
    assert_same(trained(fits(3, stop={"patience": 1, "validation": 0.2})), together)
    assert_same(
        [trained([fit])[0] for fit in fits(3, stop={"patience": 1, "validation": 0.2})], together
    )


def test_another_seed_draws_otherwise() -> None:
    one, other = fits(1), [replace(fits(1)[0], seed=4)]
    assert not np.array_equal(weights(trained(one))[0], weights(trained(other))[0])
    again = replace(one[0].setting, initialize=Initialize(seed=5))
    assert not np.array_equal(
        weights(trained(one))[0], weights(trained([replace(one[0], setting=again)]))[0]
    )


def test_as_many_are_trained_at_once_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_family, "cores", lambda: 2)
    seen, plain = set[int](), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        assert torch.get_num_threads() == 1
        seen.add(threading.get_ident())
        plain(self, closure)

    monkeypatch.setattr(Stepper, "take", take)
    before = torch.get_num_threads()
    trained(fits(3))
    assert len(seen) == 3  # two threads of the first wave, and this one for the last fit
    assert torch.get_num_threads() == before


def test_a_fit_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_family, "cores", lambda: 2)
    diverging = replace(
        fits(1)[0].setting,
        train=Train(optimizer={"name": "sgd", "learning_rate": 1000.0}, epochs=40),
    )
    long, bad = fits(2, epochs=10_000)
    steps, plain = itertools.count(), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        next(steps)
        plain(self, closure)

    monkeypatch.setattr(Stepper, "take", take)
    with pytest.raises(FitError, match="expected a loss that is a number"):
        trained([long, replace(bad, setting=diverging)])
    assert next(steps) < 10_000


def test_memory_is_looked_at_between_steps() -> None:
    looks = itertools.count()

    def check() -> None:
        if next(looks) == 4:
            raise BudgetError("budget.memory", "less", "more", "Raise it.")

    with pytest.raises(BudgetError, match="found more"):
        trained(fits(1), Context(check_memory=check))


def test_events_carry_the_losses_of_every_fit_and_what_was_derived() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    trained(fits(2, epochs=3), Context(emit_to=lambda kind, facts: events.append((kind, facts))))
    losses = {
        fold: [
            loss
            for kind, facts in events
            if kind == "epoch" and facts["fold"] == fold
            for loss in facts["losses"]
        ]
        for fold in (0, 1)
    }
    assert [len(each) for each in losses.values()] == [3, 3]
    notes = [facts["text"] for kind, facts in events if kind == "note"]
    assert len(notes) == 1
    assert notes[0].startswith(
        "cnn: size nano. Training images are augmented: shift 10%, mixup 0.2"
    )


def test_a_metric_is_watched_and_the_best_weights_are_kept() -> None:
    (one,) = fits(
        1, rows=200, epochs=4, stop={"patience": 2, "metric": "accuracy", "validation": 0.2}
    )
    scores: list[float] = []

    def accuracy(y: Any, predicted: Any, weights: Any) -> float:
        scores.append(float((predicted.argmax(axis=1) == y).mean()))
        return -float(len(scores))  # so that the first epoch is the best

    watch = Watch("accuracy", True, accuracy)
    kept = trained([replace(one, setting=replace(one.setting, watch=watch))])
    assert len(scores) == 3  # patience
    short = Train(**{**one.setting.train.model_dump(), "epochs": 4})
    assert short == one.setting.train
    assert weights(kept)


def test_a_metric_that_is_not_scored_here_is_refused() -> None:
    with pytest.raises(RecipeError, match="found 'accuracy'"):
        trained(fits(1, stop={"patience": 2, "metric": "accuracy"}))


def test_no_time_left_is_said_and_time_that_ends_keeps_what_there_is() -> None:
    with pytest.raises(BudgetError, match="no time left while fitting cnn"):
        trained(fits(1), Context(deadline=0.0))


def test_double_precision_and_its_prediction() -> None:
    double, single = trained(fits(1, precision="float64", epochs=1)), trained(fits(1, epochs=1))
    assert all(each.dtype != np.float64 for each in weights(double))
    np.testing.assert_allclose(
        double[0].predict(PIXELS[:50]), single[0].predict(PIXELS[:50]), atol=0.05
    )


def test_the_optimizer_is_chosen_where_the_recipe_says_auto() -> None:
    events: list[str] = []
    context = Context(emit_to=lambda kind, facts: events.append(facts.get("text", "")))
    found = trained(fits(1, optimizer={"name": "auto"}, epochs=1), context)
    assert any(text.startswith("cnn: optimizer ") for text in events)
    assert any("by a range test of 30 steps" in text for text in events)
    assert_same(trained(fits(1, optimizer={"name": "auto"}, epochs=1)), found)


def test_a_range_test_finds_a_rate_and_leaves_the_network_alone() -> None:
    rates = []
    for name in ("sgd", "adam"):
        (one,) = fits(1, rows=300, optimizer={"name": name, "learning_rate": "auto"}, epochs=1)
        work = CNN(size="nano").work_of(one, Context())
        before = {key: value.clone() for key, value in work.module.state_dict().items()}
        chosen = rated(work, one.setting, None)
        rates.append(chosen.train.optimizer["learning_rate"])
        for key, value in work.module.state_dict().items():
            assert torch.equal(value, before[key])
    assert 0.001 <= rates[1] <= 0.1
    assert rates[1] < rates[0] <= 2.0


def test_a_network_goes_on_from_where_it_was() -> None:
    start = trained(fits(1))[0]
    on = trained(
        [
            replace(
                fits(1, epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-9})[0], start=start
            )
        ]
    )
    plain = [value for value in weights([start]) if value.ndim > 1]
    for one, other in zip(plain, [value for value in weights(on) if value.ndim > 1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_initialize_fills_convolutions_and_leaves_norms_alone() -> None:
    one = fits(1, epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-12})[0]
    scheme = Initialize(
        scheme={"name": "constant", "value": 0.25}, bias={"name": "constant", "value": 0.5}
    )
    (found,) = trained([replace(one, setting=replace(one.setting, initialize=scheme))])
    assert isinstance(found, PixelNetwork)
    kept = found.network.weights
    np.testing.assert_allclose(kept["stem.convolution.weight"], 0.25, atol=1e-6)
    np.testing.assert_allclose(kept["head.bias"], 0.5, atol=1e-6)
    np.testing.assert_allclose(kept["stem.norm.weight"], 1.0, atol=1e-6)
    np.testing.assert_allclose(kept["stem.norm.bias"], 0.0, atol=1e-6)


def test_its_cost_grows_with_the_batch_and_the_size() -> None:
    (one,) = fits(1, batch_size=16)
    small, large = CNN(size="nano"), CNN(size="small")
    wide = replace(one, setting=replace(one.setting, train=Train(batch_size=64)))
    costs = [family.cost([fit], 1000).fit_bytes for family in (small, large) for fit in (one, wide)]
    assert costs[0] < costs[1] < costs[3]
    assert costs[0] < costs[2]
    assert (
        16 * 8 * 8 * 16 * 4 * 3 < costs[0] < 100e6
    )  # a batch's first layers, and no more than a small network can hold


def test_what_train_leaves_out_comes_from_the_family_with_its_reason() -> None:
    recipe = Recipe.model_validate({"version": 1, "name": "r", "data": {"source": "x"}})
    target: Any = Target("classification", np.zeros(1, np.int64), ("y",), ("a", "b"))
    made = candidate(
        recipe, target, "cnn", Draft(("cnn", {}, "by data"), {"epochs": 7, "clip": 1.0}, {})
    )
    assert made.train.epochs == 7
    assert made.train.clip == 1.0
    assert made.train.optimizer == {**CNN().train_defaults.options["optimizer"]}
    assert made.why.startswith("by data; train: optimizer: {name: sgd, learning_rate: 0.1")
    assert "epochs" not in made.why
    other = candidate(recipe, target, "mlp", Draft(("mlp", {}, ""), {}, {}))
    assert other.train == Train()
    assert other.why == ""
    told = candidate(recipe, target, "cnn", Draft(("cnn", {}, ""), Train().model_dump(), {}))
    assert told.train == Train()
    assert told.why == ""
    assert told.key() != candidate(recipe, target, "cnn", Draft(("cnn", {}, ""), {}, {})).key()
