"""Tabular networks that train as one: the same numbers as alone, gradients equal to autograd's,
killed and continued alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitting import fit_many
from killed_training import KilledError, killed_at, saving
from sixfold.build.candidate import Candidate
from sixfold.parts.fit import Fit, Fitted, Shape
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.functional import FunctionalProgram
from sixfold.train.network import Stackable
from sixfold.train.replicas import ReplicaLearner as original
from sixfold.train.starting import fill

FOLDS = {
    "equal": ([96, 96, 96], 16, 17),
    "unequal": ([97, 80, 112, 15], 16, 15),
    "tiny": ([40, 7, 33], 16, 34),
}
BUILDS: dict[str, tuple[str, dict[str, Any]]] = {
    "residual": ("residual_mlp", {"width": 12, "blocks": 2, "dropout": 0.0}),
    "residual, waves, dropout": (
        "residual_mlp",
        {"width": 8, "blocks": 1, "numbers": "periodic", "dropout": 0.3},
    ),
    "members": ("tabm", {"width": 12, "blocks": 2, "members": 3}),
    "members, waves, dropout": (
        "tabm",
        {
            "width": 8,
            "blocks": 2,
            "members": 3,
            "numbers": "periodic",
            "dropout": 0.3,
            "label_smoothing": 0.1,
        },
    ),
    "members, no layer": ("tabm", {"width": 8, "blocks": 0, "members": 2}),
}


def rows(
    count: int, seed: int, task: Any = "classification", levels: tuple[int, ...] = (0, 5, 0, 3)
) -> Fit:
    """Numbers and codes of categories, -1 among them."""
    rng = np.random.default_rng(seed)
    x = np.stack(
        [rng.integers(-1, n, count) if n else rng.normal(size=count) for n in levels], axis=1
    ).astype(float)
    signal = x[:, 0] + (x[:, 1] == 2) - (x[:, 3] == 1)
    if task == "classification":
        return Fit(x, np.digitize(signal, [-0.5, 0.8]), task, 3, seed=seed, levels=levels)
    return Fit(x, np.stack([signal, -x[:, 2]], axis=1), task, 2, seed=seed, levels=levels)


def candidate(build: str, **train: Any) -> Candidate:
    family, options = BUILDS[build]
    return Candidate(
        build, family, FAMILY.load(family)(**options), Prepare(), Initialize(seed=5), Train(**train)
    )


def train_all(one: Candidate, fits: list[Fit], context: Context | None = None) -> list[Fitted]:
    return list(fit_many([one], fits, context or Context()))


def assert_equal(one: Any, other: Any, tolerance: float) -> None:
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_allclose(array, other.arrays[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("folds", FOLDS)
@pytest.mark.parametrize("build", BUILDS)
def test_together_equals_one_by_one(build: str, folds: str) -> None:
    """To 1e-5 a parameter in float32, after about 100 steps."""
    counts, size, epochs = FOLDS[folds]
    one = candidate(build, batch_size=size, epochs=epochs)
    fits = [rows(count, seed) for seed, count in enumerate(counts)]
    for fit, together in zip(fits, train_all(one, fits), strict=True):
        assert_equal(together, train_all(one, [fit])[0], 1e-5)


@pytest.mark.parametrize("name", OPTIMIZER.names())
def test_every_optimizer_steps_them_as_one(name: str) -> None:
    """Heads of many members have three axes, adapters two."""
    full = bool(getattr(OPTIMIZER.load(name), "full_batch", False))
    for build in ("residual", "members"):
        one = candidate(build, optimizer=name, batch_size="full" if full else 16, epochs=3)
        fits = [rows(count, seed) for seed, count in enumerate((60, 45))]
        for fit, together in zip(fits, train_all(one, fits), strict=True):
            assert_equal(together, train_all(one, [fit])[0], 1e-5)


@pytest.mark.parametrize("task", ["classification", "reconstruction"])
@pytest.mark.parametrize("build", BUILDS)
def test_gradients_equal_autograd_of_one_replica(
    build: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, of every replica: as one stack, in groups, and by torch.func; dropout with the
    same numbers.
    """
    family = candidate(build).family
    fits = [rows(20, seed, task) for seed in range(3)]
    modules = [family.module(Shape(4, fits[0].outputs, task, (0, 8, 0, 4))).double() for _ in fits]  # type: ignore[union-attr]
    for seed, module in enumerate(modules):
        fill(module, Initialize(bias="normal"), seed)
        with (
            torch.no_grad()
        ):  # no array at a start that hides a wrong slope: adapters off 1, vectors off 0
            for parameter in module.parameters():
                parameter.add_(
                    torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)),
                    alpha=0.3,
                )
    theta = torch.stack(
        [torch.nn.utils.parameters_to_vector(module.parameters()).detach() for module in modules]
    )
    x = torch.stack([torch.from_numpy(fit.x) for fit in fits])
    y = torch.stack([torch.from_numpy(np.array(family.targets(modules[0], fit))) for fit in fits])  # type: ignore[union-attr]
    weight = torch.rand(3, 20, dtype=torch.float64)
    noise = [torch.rand(3, *drawn, dtype=torch.float64) for drawn in modules[0].noise_shapes(20)]
    found = []
    assert isinstance(family, Stackable)
    for kind in ("stack", "groups", "torch.func"):
        monkeypatch.setattr(
            "sixfold.build._stacked_network.CACHED", 1 if kind == "groups" else 1 << 21
        )
        gradient = torch.zeros_like(theta)
        program: Any = family.program(modules[0], theta, gradient)
        if kind == "torch.func":
            program = FunctionalProgram(modules, family.losses, theta, gradient)  # type: ignore[attr-defined]
        for _ in range(2):  # the second time in the same memory
            with torch.no_grad():  # as in the loop
                losses = program.gradient(x, *program.encode(y, weight), noise)
        found.append((gradient, losses))
        if not noise:
            torch.testing.assert_close((program.losses(x, y) * weight).sum(dim=1), losses)
    for at, module in enumerate(modules):
        drawn = [each[at] for each in noise]
        own = family.losses(module(x[at], drawn) if drawn else module(x[at]), y[at])  # type: ignore[union-attr]
        slopes = torch.autograd.grad((own * weight[at]).sum(), list(module.parameters()))
        wanted = torch.cat([slope.flatten() for slope in slopes])
        for gradient, losses in found:
            torch.testing.assert_close(gradient[at], wanted, rtol=0, atol=1e-12)
            torch.testing.assert_close(
                losses[at], (own * weight[at]).sum().detach(), rtol=0, atol=1e-12
            )


def test_slopes_of_vectors_add_up_what_the_same_value_was_asked_for() -> None:
    """Every row of a table against a loop over rows, in float64; a value no row has gets none."""
    family: Any = candidate("residual").family
    module = family.module(Shape(4, 3, "classification", (0, 8, 0, 4))).double()
    fill(module, Initialize(), 0)
    fit = rows(30, 1)
    x = torch.from_numpy(fit.x)
    table = torch.randn(14, 8, dtype=torch.float64, requires_grad=True)
    wave = torch.randn(30, 2 * 8 + 2, dtype=torch.float64)
    (slope,) = torch.autograd.grad((module.entrance.enter({"table": table}, x) * wave).sum(), table)
    wanted = np.zeros((14, 8))
    for row, (first, second) in enumerate(fit.x[:, [1, 3]].astype(int)):
        wanted[first + 1] += wave[row, 2:10].numpy()
        wanted[9 + second + 1] += wave[row, 10:].numpy()
    np.testing.assert_allclose(slope.numpy(), wanted, atol=1e-12)


def test_folds_with_other_levels_train_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """5, 6 and 8 levels need the same table: of 8 and one for values never seen; 9 levels need
    another one.
    """
    stacks: list[int] = []
    monkeypatch.setattr(
        "sixfold.build.network.ReplicaLearner",
        lambda family, replicas, ranks: (
            stacks.append(len(replicas)) or original(family, replicas, ranks)
        ),
    )
    one = candidate("members", batch_size=16, epochs=3)
    fits = [rows(40, seed, levels=(0, count, 0, 3)) for seed, count in enumerate((5, 6, 8, 9))]
    together = train_all(one, fits)
    assert sorted(stacks) == [1, 3]
    assert [len(fitted.arrays["table"]) for fitted in together] == [14, 14, 14, 22]  # type: ignore[attr-defined]
    for fit, fitted in zip(fits, together, strict=True):
        assert_equal(fitted, train_all(one, [fit])[0], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("build", ["residual, waves, dropout", "members, waves, dropout"])
def test_killed_and_continued_it_ends_with_the_same_bits(
    build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = candidate(
        build, batch_size=16, epochs=20, stop={"patience": 2, "validation": 0.25}, clip=1.0
    )
    fits = [rows(count, seed) for seed, count in enumerate((90, 75, 96))]
    whole = train_all(one, fits)

    def until(steps: float, folder: Path) -> list[Fitted]:
        with killed_at(steps, monkeypatch):
            return train_all(one, fits, saving(folder))

    for number, kills in enumerate([(1,), (6,), (11, 3, 9)]):
        for kill in kills:
            with pytest.raises(KilledError):
                until(kill, tmp_path / str(number))
        for fitted, wanted in zip(until(np.inf, tmp_path / str(number)), whole, strict=True):
            assert_equal(fitted, wanted, 0.0)


@pytest.mark.parametrize("build", BUILDS)
def test_a_state_trains_on_as_the_network_it_came_from(build: str) -> None:
    """`Fit.start`: the module of a state gives its answers, in training too."""
    fit = rows(60, 0)
    half: Any = train_all(candidate(build, batch_size=16, epochs=3), [fit])[0]
    family: Any = candidate(build).family
    again = family.fitted(family.resume(half), Shape(4, 3, "classification", (0, 8, 0, 4)))
    assert_equal(again, half, 0.0)
    further: Any = train_all(
        candidate(build, batch_size=16, epochs=1), [Fit(fit.x, fit.y, fit.task, 3, start=half)]
    )[0]
    assert further.arrays.keys() == half.arrays.keys()
    assert any((further.arrays[name] != half.arrays[name]).any() for name in half.arrays)
