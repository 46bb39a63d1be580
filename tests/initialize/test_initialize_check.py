"""Schemes that cannot train are named before the run; those that can are let through."""

from __future__ import annotations

from typing import Any

import pytest

from sixfold.initialize.check import problems
from sixfold.recipe.kinds import INITIALIZER
from sixfold.recipe.schema import Initialize

DEAD = "{} starts hidden layers at 0: no gradient passes them, and they never change"
EQUAL = (
    "{} starts all units of a hidden layer equal: their gradients are equal, and they stay equal"
)


@pytest.mark.parametrize(
    ("scheme", "bias", "hidden", "expected"),
    [
        ("zeros", "zeros", (8,), DEAD.format("zeros")),
        ("zeros", "zeros", (1,), DEAD.format("zeros")),
        ("zeros", "zeros", (), None),
        ("zeros", {"name": "constant", "value": 0.1}, (8,), EQUAL.format("zeros")),
        ("zeros", "normal", (8,), None),
        ("constant", "zeros", (8, 1), EQUAL.format("constant")),
        ("constant", "zeros", (1, 1), None),
        ({"name": "normal", "std": 0.0}, "zeros", (8,), DEAD.format("normal")),
        ({"name": "uniform", "low": 0.2, "high": 0.2}, "zeros", (8,), EQUAL.format("uniform")),
    ],
)
def test_problems(scheme: Any, bias: Any, hidden: tuple[int, ...], expected: str | None) -> None:
    assert problems(Initialize(scheme=scheme, bias=bias), hidden) == expected


@pytest.mark.parametrize(
    "name", [name for name in INITIALIZER.names() if name not in ("zeros", "constant")]
)
def test_schemes_that_train(name: str) -> None:
    assert problems(Initialize(scheme={"name": name}), (8, 4)) is None
