"""Every check for every optimiser: against its formula in NumPy, and how many checks each got is asserted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.section import Section

STEPS = 30
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 6))
A = ROOT @ ROOT.T / 6 + np.eye(6)
B = RNG.normal(size=6)
START = RNG.normal(size=6)
Array = np.ndarray[Any, Any]
Step = Callable[[Array, Array, dict[str, Any], dict[str, Any]], Array]


def gradient(theta: Array) -> Array:
    """Of J(θ) = ½θᵀAθ − Bᵀθ."""
    return np.asarray(A @ theta - B)


# Each formula as one step: θ, g, options, memory → θ. Written from the papers, not from torch.


def sgd(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    g = g + o["weight_decay"] * theta
    memory["v"] = v = o["momentum"] * memory.get("v", 0.0) + g
    return theta - o["learning_rate"] * (g + o["momentum"] * v if o["nesterov"] else v)


def adagrad(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    g = g + o["weight_decay"] * theta
    memory["s"] = memory.get("s", 0.0) + g**2
    return theta - o["learning_rate"] * g / (np.sqrt(memory["s"]) + o["epsilon"])


def rmsprop(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    g = g + o["weight_decay"] * theta
    memory["s"] = o["decay"] * memory.get("s", 0.0) + (1 - o["decay"]) * g**2
    memory["v"] = o["momentum"] * memory.get("v", 0.0) + g / (np.sqrt(memory["s"]) + o["epsilon"])
    return theta - o["learning_rate"] * memory["v"]


def moments(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    t = memory["t"] = memory.get("t", 0) + 1
    memory["m"] = o["beta1"] * memory.get("m", 0.0) + (1 - o["beta1"]) * g
    memory["v"] = o["beta2"] * memory.get("v", 0.0) + (1 - o["beta2"]) * g**2
    m, v = memory["m"] / (1 - o["beta1"] ** t), memory["v"] / (1 - o["beta2"] ** t)
    return theta - o["learning_rate"] * m / (np.sqrt(v) + o["epsilon"])


def adam(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    return moments(theta, g + o["weight_decay"] * theta, o, memory)


def adamw(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    return moments(theta * (1 - o["learning_rate"] * o["weight_decay"]), g, o, memory)


def lbfgs(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    pairs = memory.setdefault("pairs", [])
    rate = o["learning_rate"]
    if "g" in memory:
        pairs.append((memory["step"], g - memory["g"]))
        del pairs[: -o["history"]]
    else:
        rate *= min(1.0, 1.0 / np.abs(g).sum())
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (y @ s))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + (alpha - y @ q / (y @ s)) * s
    memory["g"], memory["step"] = g, -rate * q
    return np.asarray(theta + memory["step"])


FORMULAS: dict[str, tuple[Step, tuple[dict[str, Any], ...]]] = {
    "sgd": (
        sgd,
        (
            {},
            {"learning_rate": 0.1, "momentum": 0.9},
            {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        ),
    ),
    "adagrad": (adagrad, ({}, {"learning_rate": 0.5, "weight_decay": 0.1, "epsilon": 1e-3})),
    "rmsprop": (rmsprop, ({}, {"decay": 0.9, "momentum": 0.7, "weight_decay": 0.1, "epsilon": 1e-3})),
    "adam": (adam, ({}, {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.1, "epsilon": 1e-2})),
    "adamw": (adamw, ({}, {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.3, "epsilon": 1e-2})),
    "lbfgs": (
        lbfgs,
        (
            {"line_search": "none", "iterations": 1, "learning_rate": 0.3, "history": 4},
            {"line_search": "none", "iterations": 1, "learning_rate": 0.1, "history": 2},
        ),
    ),
}


def iterate(name: str, steps: int, **options: Any) -> Array:
    theta = torch.nn.Parameter(torch.tensor(START))
    optimizer = OPTIMIZER.make({"name": name, **options}).make([theta])
    a, b = torch.tensor(A), torch.tensor(B)
    path = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = 0.5 * theta @ a @ theta - b @ theta
        loss.backward()
        return loss.detach()

    for _ in range(steps):
        optimizer.step(closure)
        path.append(theta.detach().numpy().copy())
    return np.stack(path)


def check_section_with_described_options(name: str) -> None:
    made = OPTIMIZER.make({"name": name})
    assert isinstance(made, Section)
    assert made.learning_rate > 0
    assert "θ ← θ" in str(type(made).__doc__)
    assert all(field.description for field in type(made).model_fields.values())


def check_formula_for_30_steps(name: str) -> None:
    step, cases = FORMULAS[name]
    for options in cases:
        theta, memory, expected = START.copy(), {}, []
        given = OPTIMIZER.make({"name": name, **options}).model_dump()
        for _ in range(STEPS):
            theta = step(theta, gradient(theta), given, memory)
            expected.append(theta)
        np.testing.assert_allclose(iterate(name, STEPS, **options), expected, rtol=1e-9, atol=1e-10)


def check_goes_down(name: str) -> None:
    path = np.stack([START, *iterate(name, 60)])
    values = 0.5 * np.einsum("ni,ij,nj->n", path, A, path) - path @ B
    assert values[-1] < values[0]


def check_repeats_bit_for_bit(name: str) -> None:
    np.testing.assert_array_equal(iterate(name, 5), iterate(name, 5))


def check_refusals(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make({"name": name, "learning_rat": 0.1})
    assert f"optimizer {name}: expected one of its options; found 'learning_rat'. Did you mean 'learning_rate'?" in str(
        caught.value
    )
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make({"name": name, "learning_rate": 0})
    assert str(caught.value) == (
        f"optimizer {name}, learning_rate: expected greater than 0; found 0. Change learning_rate."
    )


CHECKS: tuple[Callable[[str], None], ...] = (
    check_section_with_described_options, check_formula_for_30_steps, check_goes_down, check_repeats_bit_for_bit,
    check_refusals,
)  # fmt: skip
PAIRS = [pytest.param(n, c, id=f"{n}-{c.__name__}") for n in OPTIMIZER.names() for c in CHECKS]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_optimizer(name: str, check: Callable[[str], None]) -> None:
    check(name)


def test_every_optimizer_gets_its_checks() -> None:
    assert OPTIMIZER.names() == sorted(FORMULAS)
    assert len(PAIRS) == 6 * 5


def test_unknown_optimizer() -> None:
    with pytest.raises(RecipeError, match=r"found 'adamm'\. Did you mean 'adam'\?"):
        OPTIMIZER.make({"name": "adamm"})


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(RecipeError, match="expected nesterov with a momentum above 0"):
        OPTIMIZER.make({"name": "sgd", "nesterov": True})


def test_lbfgs_with_line_search_solves_the_quadratic() -> None:
    np.testing.assert_allclose(iterate("lbfgs", 5)[-1], np.linalg.solve(A, B), atol=1e-6)
