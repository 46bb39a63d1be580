"""Search: ranges as a recipe writes them, known optima found, pruning that spares the best, equal
seeds.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluating import answered
from sixfold.build import grid
from sixfold.core.errors import RecipeError
from sixfold.plan.suggest import FieldKinds, Trial, suggest
from sixfold.recipe.space import Range, Search, is_range, ranges
from sixfold.select import search as module

FIELDS = FieldKinds(
    is_list=lambda key: key == "hidden",
    is_whole=lambda key: key.rpartition(".")[2] in ("max_depth", "nesterov"),
)
FOLDS = 5


def search(propose: Any, score: Any, *rest: Any, **named: Any) -> Any:
    """The search, each of its requests answered by `score(candidate, folds)`."""
    return answered(
        module.search(propose, *rest, **named), lambda asked: score(asked.candidate, asked.numbers)
    )


class First:
    """A trial that takes the lowest, or the item asked for."""

    def __init__(self, items: dict[str, int] | None = None) -> None:
        self.items, self.asked = items or {}, {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.asked[name] = (low, high, step, log)
        return low

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        self.asked[name] = (low, high, step, log)
        return low

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        self.asked[name] = choices
        return self.items.get(name, 0)


# ---- the space ---------------------------------------------------------------------------------------------------


def test_what_a_recipe_writes() -> None:
    trial = First({"kernel": 1})
    options = {
        "family": "svm",
        "C": {"low": 1e-3, "high": 10, "log": True},
        "kernel": ["linear", "rbf"],
        "tol": 1e-3,
    }
    assert suggest(trial, options, FIELDS) == {
        "family": "svm",
        "C": 1e-3,
        "kernel": "rbf",
        "tol": 1e-3,
    }
    assert trial.asked == {"C": (1e-3, 10, None, True), "kernel": [0, 1]}


def test_whole_numbers_for_options_that_take_them() -> None:
    trial = First()
    found = suggest(
        trial, {"max_depth": {"low": 2, "high": 16, "step": 2}, "C": {"low": 2, "high": 16}}, FIELDS
    )
    assert found == {"max_depth": 2, "C": 2.0}
    assert type(found["max_depth"]) is int
    assert trial.asked == {"max_depth": (2, 16, 2, False), "C": (2.0, 16.0, None, False)}


def test_a_list_field_is_a_grid_only_as_a_list_of_lists() -> None:
    trial = First({"hidden": 1})
    assert suggest(trial, {"hidden": [64, 32]}, FIELDS) == {"hidden": [64, 32]}
    assert suggest(trial, {"hidden": [[64], [32, 32]]}, FIELDS) == {"hidden": [32, 32]}
    assert suggest(trial, {"C": []}, FIELDS) == {"C": []}
    assert suggest(trial, {"C": [3]}, FIELDS) == {"C": 3}


def test_alternatives_have_their_own_options() -> None:
    options = {
        "optimizer": [
            {"name": "sgd", "momentum": {"low": 0, "high": 0.9}},
            {"name": "adam", "learning_rate": [0.1, 0.01]},
            "lbfgs",
        ]
    }
    trial = First({"optimizer": 1, "optimizer.1.learning_rate": 1})
    assert suggest(trial, options, FIELDS) == {"optimizer": {"name": "adam", "learning_rate": 0.01}}
    assert list(trial.asked) == ["optimizer", "optimizer.1.learning_rate"]
    assert suggest(First(), options, FIELDS) == {"optimizer": {"name": "sgd", "momentum": 0.0}}
    assert suggest(First({"optimizer": 2}), options, FIELDS) == {"optimizer": "lbfgs"}


@given(
    items=st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=4), min_size=1
    )
)
def test_lists_alone_are_the_grid(items: dict[str, list[int]]) -> None:
    """What can be chosen are the grid's combinations, in the grid's order."""
    choices = itertools.product(*(range(len(values)) for values in items.values()))
    found = [
        suggest(First(dict(zip(items, choice, strict=True))), items, FIELDS) for choice in choices
    ]
    assert found == grid.expand(items, lambda key: False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"low": 2, "high": 1},
            r"C: expected a range \(low below high\); found \{'low': 2, 'high': 1\}",
        ),
        ({"low": 0, "high": 1, "log": True}, r"C: expected a range \(low above 0, for log\)"),
        (
            {"low": 1, "high": 9, "log": True, "step": 1},
            r"C: expected a range \(log or step, not both\)",
        ),
        ({"low": "a", "high": 1}, r"C: expected a range \(low: a valid number"),
        ({"low": 0, "high": 1, "base": 2}, r"C: expected a range \(base: Extra inputs"),
    ],
)
def test_ranges_that_are_none(value: dict[str, Any], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        suggest(First(), {"C": value}, FIELDS)


def test_a_whole_number_needs_whole_bounds() -> None:
    with pytest.raises(RecipeError, match="max_depth: expected a range of whole numbers"):
        suggest(First(), {"max_depth": {"low": 1.5, "high": 4}}, FIELDS)


def test_ranges_are_found_wherever_they_stand() -> None:
    assert is_range({"low": 1, "high": 2})
    assert not is_range({"low": 1})
    momentum = {"low": 0, "high": 1}
    written = {"optimizer": [{"name": "sgd", "momentum": momentum}]}
    assert list(ranges(("train",), written)) == [(("train", "optimizer", 0, "momentum"), momentum)]
    assert list(ranges((), {"C": [1, 2], "optimizer": {"name": "sgd"}})) == []


def test_ranges_and_searches_check_themselves() -> None:
    assert Range(low=1, high=2).log is False
    for options in (
        {"trials": 0},
        {"trials": 5, "prune": "never"},
        {"trials": 5, "first_trials": 0},
    ):
        with pytest.raises(ValidationError):
            Search.model_validate(options)


# ---- the search --------------------------------------------------------------------------------------------------


def valley(candidate: dict[str, Any], fold: int) -> float:
    """Best at C = 0.3 with kernel 1; folds shift all candidates alike, and each a little on its
    own.
    """
    own = 0.01 * np.sin(1000 * candidate["C"] + fold)
    return float(
        -((np.log10(candidate["C"]) - np.log10(0.3)) ** 2)
        - 0.5 * (candidate["kernel"] == 0)
        + 0.1 * fold
        + own
    )


def on_folds(score: Any) -> Any:
    """Several folds at a time."""
    return lambda candidate, folds: [score(candidate, fold) for fold in folds]


def propose(trial: Trial) -> dict[str, Any]:
    return suggest(trial, {"C": {"low": 1e-4, "high": 1e3, "log": True}, "kernel": [0, 1]}, FIELDS)


@pytest.mark.parametrize("prune", ["median", "halving", "none"])
def test_a_known_optimum_is_found_in_fewer_fits_than_a_grid(prune: Any) -> None:
    found = search(propose, on_folds(valley), FOLDS, Search(trials=60, prune=prune), seed=3)
    assert found.best is not None
    assert 0.2 < found.best.candidate["C"] < 0.45
    assert found.best.candidate["kernel"] == 1
    assert len(found.trials) == 60
    scored = sum(len(trial.scores) for trial in found.trials)
    assert found.fits <= scored
    if prune == "none":
        assert found.fits == scored == 60 * FOLDS
    else:
        assert found.fits < 0.7 * 60 * FOLDS
        assert {trial.state for trial in found.trials} == {"complete", "pruned"}
    for trial in found.trials:
        assert trial.scores == {fold: valley(trial.candidate, fold) for fold in trial.scores}
        assert (trial.state == "complete") == (len(trial.scores) == FOLDS) == (trial.reason == "")


def test_it_beats_chance() -> None:
    """By the same number of trials: the median over 10 seeds is nearer to the optimum than random
    proposals'.
    """
    for_all = Search(trials=40, prune="none")
    by_chance = Search(trials=40, first_trials=40, prune="none")
    best = [
        [
            -(search(propose, on_folds(valley), 1, settings, seed).best or pytest.fail()).mean
            for seed in range(10)
        ]
        for settings in (for_all, by_chance)
    ]
    assert np.median(best[0]) < np.median(best[1])


@pytest.mark.parametrize(("prune", "blocks"), [("none", {5}), ("median", {1}), ("halving", {1, 2})])
def test_folds_come_as_many_at_a_time_as_the_pruner_wants_to_see(
    prune: Any, blocks: set[int]
) -> None:
    asked: list[int] = []

    def score(candidate: Any, folds: Any) -> list[float]:
        asked.append(len(folds))
        return on_folds(valley)(candidate, folds)

    search(propose, score, FOLDS, Search(trials=6, prune=prune))
    assert set(asked) == blocks


def test_equal_seeds_make_equal_trials() -> None:
    one, other, third = (
        search(propose, on_folds(valley), FOLDS, Search(trials=25), seed) for seed in (1, 1, 2)
    )
    assert one == other
    assert one != third


def test_what_is_proposed_again_is_not_trained_again() -> None:
    asked: Counter[tuple[int, int]] = Counter()

    def score(candidate: int, fold: int) -> float:
        asked[candidate, fold] += 1
        return 0.1 * candidate - 0.01 * fold

    found = search(
        lambda trial: [7, 8, 9][trial.suggest_categorical("x", [0, 1, 2])],
        on_folds(score),
        FOLDS,
        Search(trials=20, prune="median"),
    )
    assert max(asked.values()) == 1
    assert found.fits == sum(asked.values()) <= 15
    assert len(found.trials) == 20
    assert found.best is not None and found.best.candidate == 9


def test_a_fold_that_cannot_score_ends_the_trial_not_the_search() -> None:
    def score(candidate: dict[str, Any], fold: int) -> float:
        return float("nan") if candidate["kernel"] == 0 and fold == 2 else valley(candidate, fold)

    found = search(propose, on_folds(score), FOLDS, Search(trials=20, prune="none"))
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed and all(trial.reason == "fold 3 cannot score it" for trial in failed)
    assert found.best is not None and found.best.candidate["kernel"] == 1
    none = search(propose, on_folds(lambda candidate, fold: float("nan")), FOLDS, Search(trials=3))
    assert none.best is None


def test_it_ends_when_it_is_enough_but_not_before_one_trial() -> None:
    assert (
        len(search(propose, on_folds(valley), FOLDS, Search(trials=50), 0, lambda: True).trials)
        == 1
    )
    left = iter([False, False, True])
    assert (
        len(
            search(
                propose, on_folds(valley), FOLDS, Search(trials=50), 0, lambda: next(left)
            ).trials
        )
        == 3
    )


def test_it_is_quiet_and_leaves_the_log_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    search(propose, on_folds(valley), FOLDS, Search(trials=3))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
