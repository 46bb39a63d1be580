"""Every check for every initializer: the folder is listed, and how many checks each got is
asserted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sixfold.core.errors import FitError, RecipeError
from sixfold.recipe.kinds import INITIALIZER
from sixfold.recipe.section import Section

OUT, IN = 300, 200
CUT = 0.8796256610342398  # standard deviation of a standard normal cut off at ±2
# name → options, mean, standard deviation, largest absolute distance from the mean (inf: none) by
# the formula
FORMULAS: dict[str, tuple[dict[str, Any], float, float, float]] = {
    "zeros": ({}, 0.0, 0.0, 0.0),
    "constant": ({"value": 0.3}, 0.3, 0.0, 0.0),
    "normal": ({"mean": 0.5, "std": 0.2}, 0.5, 0.2, math.inf),
    "uniform": ({"low": -0.1, "high": 0.5}, 0.2, 0.6 / math.sqrt(12), 0.3),
    "truncated_normal": ({"mean": 0.1, "std": 0.2}, 0.1, 0.2 * CUT, 0.4),
    "xavier_uniform": (
        {"gain": 2.0},
        0.0,
        2 * math.sqrt(2 / (IN + OUT)),
        2 * math.sqrt(6 / (IN + OUT)),
    ),
    "xavier_normal": ({"gain": 2.0}, 0.0, 2 * math.sqrt(2 / (IN + OUT)), math.inf),
    "he_uniform": ({}, 0.0, math.sqrt(2 / IN), math.sqrt(6 / IN)),
    "he_normal": ({}, 0.0, math.sqrt(2 / IN), math.inf),
    "lecun_normal": ({}, 0.0, math.sqrt(1 / IN), math.inf),
    "orthogonal": ({"gain": 3.0}, 0.0, 3.0 / math.sqrt(OUT), math.inf),
}
FOR_BIASES = {"zeros", "constant", "normal", "uniform", "truncated_normal"}


def filled(
    name: str, shape: tuple[int, ...] = (OUT, IN), seed: int = 5, **options: Any
) -> torch.Tensor:
    tensor = torch.nn.Parameter(torch.full(shape, torch.nan, dtype=torch.float64))
    INITIALIZER.make({"name": name, **options}).fill(tensor, torch.Generator().manual_seed(seed))
    return tensor.detach()


def check_section_with_described_options(name: str) -> None:
    made = INITIALIZER.make({"name": name})
    assert isinstance(made, Section)
    assert type(made).__doc__
    assert "θ" in str(type(made).__doc__)
    assert all(field.description for field in type(made).model_fields.values())


def check_moments_of_the_formula(name: str) -> None:
    options, mean, std, bound = FORMULAS[name]
    weights = filled(name, **options).numpy()
    error = 5 / math.sqrt(weights.size)
    assert np.mean(weights) == pytest.approx(mean, abs=error * std + 1e-12)
    assert np.std(weights) == pytest.approx(std, rel=error, abs=1e-12)
    assert np.abs(weights - mean).max() <= bound + 1e-12
    if 0 < bound < math.inf:
        assert np.abs(weights - mean).max() > 0.99 * bound


def check_seed_decides_every_bit(name: str) -> None:
    assert torch.equal(filled(name), filled(name))
    same = torch.equal(filled(name), filled(name, seed=6))
    assert same == (name in ("zeros", "constant"))


def check_global_generator_is_left_alone(name: str) -> None:
    before = torch.get_rng_state()
    filled(name)
    assert torch.equal(before, torch.get_rng_state())


def check_odd_shapes(name: str) -> None:
    for shape in ((1, 1), (1, 7), (7, 1), (2, 3, 3, 3)):
        assert filled(name, shape).isfinite().all()


def check_biases(name: str) -> None:
    if name in FOR_BIASES:
        assert filled(name, (50,)).isfinite().all()
        return
    with pytest.raises(FitError) as caught:
        filled(name, (50,))
    assert str(caught.value) == (
        "initialize: expected weights [out, in] for a scheme that counts inputs and outputs; found a tensor of shape "
        "(50,). Choose zeros, constant, normal or uniform for biases."
    )


def check_unknown_option(name: str) -> None:
    with pytest.raises(
        RecipeError,
        match=f"initializer {name}: expected one of its options; found 'surely_unknown'",
    ):
        INITIALIZER.make({"name": name, "surely_unknown": 1})


CHECKS: tuple[Callable[[str], None], ...] = (
    check_section_with_described_options,
    check_moments_of_the_formula,
    check_seed_decides_every_bit,
    check_global_generator_is_left_alone,
    check_odd_shapes,
    check_biases,
    check_unknown_option,
)
PAIRS = [pytest.param(n, c, id=f"{n}-{c.__name__}") for n in INITIALIZER.names() for c in CHECKS]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_initializer(name: str, check: Callable[[str], None]) -> None:
    check(name)


def test_every_initializer_gets_its_checks() -> None:
    assert INITIALIZER.names() == sorted(FORMULAS)
    assert len(PAIRS) == 11 * 7


TORCH = {
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "orthogonal": torch.nn.init.orthogonal_,
    "he_normal": lambda t, generator: torch.nn.init.kaiming_normal_(
        t, nonlinearity="relu", generator=generator
    ),
    "he_uniform": lambda t, generator: torch.nn.init.kaiming_uniform_(
        t, nonlinearity="relu", generator=generator
    ),
    "lecun_normal": lambda t, generator: torch.nn.init.kaiming_normal_(
        t, nonlinearity="linear", generator=generator
    ),
}


@pytest.mark.parametrize("name", sorted(TORCH))
def test_equals_torch(name: str) -> None:
    theirs = torch.empty(OUT, IN, dtype=torch.float64)
    TORCH[name](theirs, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(filled(name), theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("out", "into"), [(20, 8), (8, 20)])
def test_orthogonal_is_orthonormal(out: int, into: int) -> None:
    weights = filled("orthogonal", (out, into), gain=2.0).numpy()
    small = weights.T @ weights if out > into else weights @ weights.T
    np.testing.assert_allclose(small, 4 * np.eye(min(out, into)), atol=1e-12)


def test_no_spread_is_the_mean() -> None:
    assert torch.equal(
        filled("truncated_normal", (3, 3), mean=2.0, std=0.0), torch.full((3, 3), 2.0).double()
    )


def test_bounds_in_the_wrong_order() -> None:
    with pytest.raises(RecipeError) as caught:
        INITIALIZER.make({"name": "uniform", "low": 1.0, "high": 0.0})
    assert str(caught.value) == (
        "initializer uniform: expected low that is not above high; found options that contradict each other. "
        "Change one of them."
    )
