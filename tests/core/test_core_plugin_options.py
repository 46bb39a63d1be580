"""A plug-in made from the recipe's options: what is wrong with them is said in four parts."""

from __future__ import annotations

from typing import Any

import pytest

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import FAMILY, INITIALIZER, OPTIMIZER


def test_options_become_settings() -> None:
    assert OPTIMIZER.make({"name": "adam", "learning_rate": 0.5}).learning_rate == 0.5
    assert FAMILY.make({"family": "mlp", "hidden": [3]}, key="family").hidden == (3,)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"name": "adam", "learning_rat": 1},
            "optimizer adam: expected one of its options; found 'learning_rat'. Did you mean 'learning_rate'? "
            "All: beta1, beta2, epsilon, learning_rate, weight_decay.",
        ),
        (
            {"name": "adam", "beta1": 2},
            "optimizer adam, beta1: expected less than 1; found 2. Change beta1.",
        ),
        (
            {"name": "sgd", "momentum": "much"},
            "optimizer sgd, momentum: expected a valid number, unable to parse string as a number; found 'much'. "
            "Change momentum.",
        ),
        (
            {"name": "sgd", "nesterov": True},
            "optimizer sgd: expected nesterov with a momentum above 0; found options that contradict each other. "
            "Change one of them.",
        ),
        (
            {},
            "optimizer: expected the name of an optimizer; found ''. All: adafactor, adagrad, adam, adamw, auto, lbfgs, lion, "
            "muon, rmsprop, schedule_free_adamw, schedule_free_sgd, sgd.",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make(options)
    assert str(caught.value) == text


def test_no_options_at_all() -> None:
    with pytest.raises(RecipeError) as caught:
        INITIALIZER.make({"name": "zeros", "value": 1})
    assert str(caught.value) == (
        "initializer zeros: expected one of its options; found 'value'. Leave it out: there are no options."
    )
