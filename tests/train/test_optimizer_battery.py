"""Every check for every optimizer: against its formula in NumPy, and how many checks each got is
asserted.
"""

from __future__ import annotations

import copy
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


def lion(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    m = memory.get("m", np.zeros_like(theta))
    memory["m"] = o["beta2"] * m + (1 - o["beta2"]) * g
    step = np.sign(o["beta1"] * m + (1 - o["beta1"]) * g) + o["weight_decay"] * theta
    return np.asarray(theta - o["learning_rate"] * step)


def adafactor(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    t = memory["t"] = memory.get("t", 0) + 1
    kept = 1 - t ** -o["decay"]
    if theta.ndim == 2:
        memory["r"] = r = kept * memory.get("r", 0.0) + (1 - kept) * (g**2).mean(
            axis=1, keepdims=True
        )
        memory["c"] = c = kept * memory.get("c", 0.0) + (1 - kept) * (g**2).mean(
            axis=0, keepdims=True
        )
        v = r @ c / r.mean()
    else:
        memory["v"] = v = kept * memory.get("v", 0.0) + (1 - kept) * g**2
    u = g / np.sqrt(v)
    rate = min(o["learning_rate"], t**-0.5) * max(o["epsilon"], np.sqrt((theta**2).mean()))
    theta = theta * (1 - o["learning_rate"] * o["weight_decay"])
    return np.asarray(theta - rate * u / max(1.0, np.sqrt((u**2).mean()) / o["clip"]))


def muon_of_a_vector(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    return adamw(theta, g, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **o}, memory)


def schedule_free(
    theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any], step: Array, beta: float
) -> Array:
    """θ is y, between z and their mean x; with one rate all z count as much."""
    t = memory["k"] = memory.get("k", 0) + 1
    z, x = memory.get("z", theta), memory.get("x", theta)
    memory["z"] = z = z - o["learning_rate"] * (step + o["weight_decay"] * theta)
    memory["x"] = x = x + (z - x) / t
    return np.asarray((1 - beta) * z + beta * x)


def schedule_free_sgd(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    return schedule_free(theta, g, o, memory, g, o["momentum"])


def schedule_free_adamw(theta: Array, g: Array, o: dict[str, Any], memory: dict[str, Any]) -> Array:
    memory["v"] = v = o["beta2"] * memory.get("v", 0.0) + (1 - o["beta2"]) * g**2
    v = v / (1 - o["beta2"] ** (memory.get("k", 0) + 1))
    return schedule_free(theta, g, o, memory, g / (np.sqrt(v) + o["epsilon"]), o["beta1"])


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
    "rmsprop": (
        rmsprop,
        ({}, {"decay": 0.9, "momentum": 0.7, "weight_decay": 0.1, "epsilon": 1e-3}),
    ),
    "adam": (
        adam,
        (
            {},
            {
                "learning_rate": 0.1,
                "beta1": 0.8,
                "beta2": 0.9,
                "weight_decay": 0.1,
                "epsilon": 1e-2,
            },
        ),
    ),
    "adamw": (
        adamw,
        (
            {},
            {
                "learning_rate": 0.1,
                "beta1": 0.8,
                "beta2": 0.9,
                "weight_decay": 0.3,
                "epsilon": 1e-2,
            },
        ),
    ),
    "lion": (lion, ({}, {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.3})),
    "adafactor": (
        adafactor,
        ({}, {"learning_rate": 0.3, "decay": 0.5, "clip": 1.5, "weight_decay": 0.1}),
    ),
    "muon": (muon_of_a_vector, ({}, {"learning_rate": 0.1, "weight_decay": 0.3})),
    "schedule_free_sgd": (
        schedule_free_sgd,
        ({}, {"learning_rate": 0.05, "momentum": 0.7, "weight_decay": 0.1}),
    ),
    "schedule_free_adamw": (
        schedule_free_adamw,
        (
            {},
            {
                "learning_rate": 0.1,
                "beta1": 0.8,
                "beta2": 0.9,
                "weight_decay": 0.1,
                "epsilon": 1e-2,
            },
        ),
    ),
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
    getattr(optimizer, "train", lambda: None)()
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
    assert "← " in str(type(made).__doc__)
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


def check_state_is_plain_and_restores_the_next_step(name: str) -> None:
    """It is saved as arrays and JSON: tensors, numbers, texts, None, lists and dicts; the next step
    has the same bits.
    """

    def plain(value: Any) -> bool:
        if isinstance(value, dict | list | tuple):
            return all(
                plain(item) for item in (value.values() if isinstance(value, dict) else value)
            )
        return value is None or isinstance(value, torch.Tensor | bool | int | float | str)

    made = OPTIMIZER.make({"name": name})
    a = torch.nn.Parameter(torch.tensor(START))
    first = made.make([a])
    step_on(first, a, 5)
    state = copy.deepcopy(first.state_dict())
    assert plain(state)
    b = torch.nn.Parameter(a.detach().clone())
    second = made.make([b])
    second.load_state_dict(state)
    step_on(first, a, 3)
    step_on(second, b, 3)
    assert torch.equal(a, b)


def step_on(optimizer: Any, theta: torch.nn.Parameter, steps: int) -> None:
    def closure() -> torch.Tensor:
        theta.grad = torch.tensor(gradient(theta.detach().numpy()))
        value = theta.detach().numpy()
        return torch.tensor(0.5 * value @ A @ value - B @ value)

    getattr(optimizer, "train", lambda: None)()
    for _ in range(steps):
        closure()
        optimizer.step(closure)


def check_refusals(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make({"name": name, "learning_rat": 0.1})
    assert (
        f"optimizer {name}: expected one of its options; found 'learning_rat'. Did you mean 'learning_rate'?"
        in str(caught.value)
    )
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make({"name": name, "learning_rate": 0})
    assert str(caught.value) == (
        f"optimizer {name}, learning_rate: expected greater than 0; found 0. Change learning_rate."
    )


CHECKS: tuple[Callable[[str], None], ...] = (
    check_section_with_described_options,
    check_formula_for_30_steps,
    check_goes_down,
    check_repeats_bit_for_bit,
    check_state_is_plain_and_restores_the_next_step,
    check_refusals,
)
PAIRS = [pytest.param(n, c, id=f"{n}-{c.__name__}") for n in OPTIMIZER.names() for c in CHECKS]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_optimizer(name: str, check: Callable[[str], None]) -> None:
    check(name)


def test_every_optimizer_gets_its_checks() -> None:
    assert OPTIMIZER.names() == sorted(FORMULAS)
    assert len(PAIRS) == 11 * 6


def test_unknown_optimizer() -> None:
    with pytest.raises(RecipeError, match=r"found 'adamm'\. Did you mean 'adam'\?"):
        OPTIMIZER.make({"name": "adamm"})


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(RecipeError, match="expected nesterov with a momentum above 0"):
        OPTIMIZER.make({"name": "sgd", "nesterov": True})


def test_lbfgs_with_line_search_solves_the_quadratic() -> None:
    np.testing.assert_allclose(iterate("lbfgs", 5)[-1], np.linalg.solve(A, B), atol=1e-6)


ROWS = np.random.default_rng(5).normal(size=(4, 7))


def descend(name: str, start: Array, steps: int, **options: Any) -> Array:
    """Of J(Θ) = ½‖Θ − ROWS‖², a matrix."""
    theta = torch.nn.Parameter(torch.tensor(start))
    optimizer = OPTIMIZER.make({"name": name, **options}).make([theta])
    for _ in range(steps):
        theta.grad = theta.detach() - torch.tensor(ROWS)
        optimizer.step()
    return theta.detach().numpy()


def test_adafactor_keeps_a_mean_a_row_and_a_mean_a_column() -> None:
    start = np.random.default_rng(6).normal(size=ROWS.shape)
    given, memory, theta = OPTIMIZER.make({"name": "adafactor"}).model_dump(), {}, start.copy()
    for _ in range(STEPS):
        theta = adafactor(theta, theta - ROWS, given, memory)
    np.testing.assert_allclose(descend("adafactor", start, STEPS), theta, rtol=1e-9, atol=1e-10)


def newton_schulz(x: Array, iterations: int = 5) -> Array:
    """The singular values of x / ‖x‖ driven toward 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / np.linalg.norm(x)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def test_muon_moves_a_matrix_by_its_orthogonal_part() -> None:
    """Newton–Schulz runs in bfloat16, 8 bits: the step agrees to some hundredths of itself."""
    start = np.random.default_rng(7).normal(size=ROWS.shape)
    rate, decay, momentum = 0.05, 0.1, 0.9
    theta, m = start.copy(), np.zeros_like(start)
    for _ in range(3):
        g = theta - ROWS
        m = momentum * m + (1 - momentum) * g
        step = newton_schulz((1 - momentum) * g + momentum * m)
        theta = theta * (1 - rate * decay) - 0.2 * np.sqrt(7) * rate * step
    found = descend("muon", start, 3, learning_rate=rate, weight_decay=decay, momentum=momentum)
    assert np.abs(found - theta).max() < 0.05 * np.abs(theta - start).max()


@pytest.mark.parametrize("name", [name for name in OPTIMIZER.names() if name != "lbfgs"])
def test_a_parameter_without_a_gradient_stays_and_its_neighbor_does_not_see_it(name: str) -> None:
    """Networks side by side, of which one has no batch left."""
    made = OPTIMIZER.make({"name": name})
    both = [torch.nn.Parameter(torch.tensor(ROWS)), torch.nn.Parameter(torch.tensor(ROWS) + 1)]
    alone = [torch.nn.Parameter(torch.tensor(ROWS))]
    together, single = made.make(both), made.make(alone)
    for optimizer, steps in ((together, 3), (single, 3)):
        getattr(optimizer, "train", lambda: None)()
        for _ in range(steps):
            for one in both[:1] if optimizer is together else alone:
                one.grad = one.detach().clone()
            optimizer.step()
    assert torch.equal(both[1], torch.tensor(ROWS) + 1)
    assert torch.equal(both[0], alone[0])


def test_muon_in_stacks_is_torchs_muon() -> None:
    """Wide, high and square matrices, several of each, one without a gradient; up to bfloat16's
    rounding, and the state is torch's.
    """
    draw = torch.Generator().manual_seed(0)
    shapes = [(6, 10), (10, 6), (8, 8), (6, 10), (8, 8), (3, 5)]
    starts = [torch.randn(shape, generator=draw) for shape in shapes]
    settings = OPTIMIZER.make({"name": "muon", "learning_rate": 0.05, "weight_decay": 0.1})
    ours, torchs = ([torch.nn.Parameter(one.clone()) for one in starts] for _ in range(2))
    mine = settings.make(ours)
    others = torch.optim.Muon(torchs, lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        slopes = [torch.randn(shape, generator=draw) for shape in shapes[:-1]]
        for parameters, optimizer in ((ours, mine), (torchs, others)):
            for one, slope in zip(parameters, slopes, strict=False):
                one.grad = slope.clone()
            optimizer.step()
    for start, one, other in zip(starts, ours, torchs, strict=True):
        assert (one - other).abs().max() <= 0.02 * (other - start).abs().max()
    state = mine.state_dict()["parts"][0]["state"]
    assert {number: list(each) for number, each in state.items()} == {
        number: list(each) for number, each in others.state_dict()["state"].items()
    }
    assert torch.equal(ours[-1], starts[-1])
