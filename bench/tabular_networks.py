"""Five folds of the networks for tables: as one, beside one after the other by autograd and beside
torch.func.vmap.

Two steps of work: 30 numbers, and the columns of the Adult census (6 numbers, 8 categories), random
rows, batches of 64. Only gradients are timed, 20 batches of each; quality is asserted equal: all
three give the same gradient to 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench.pairs import ROUNDS, Result, against
from sixfold.parts.fit import Shape
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize
from sixfold.train.functional import FunctionalProgram
from sixfold.train.starting import fill

FOLDS, ROWS, BATCHES = 5, 64, 20
NUMBERS = Shape(30, 2, "classification")
ADULT = Shape(14, 2, "classification", (0,) * 6 + (16, 16, 8, 16, 8, 8, 2, 64))
WORK: tuple[tuple[str, dict[str, Any], Shape], ...] = (
    ("residual_mlp", {"dropout": 0.0}, NUMBERS),
    ("residual_mlp", {"dropout": 0.0}, ADULT),
    ("residual_mlp", {"dropout": 0.0, "numbers": "periodic"}, ADULT),
    ("tabm", {}, NUMBERS),
    ("tabm", {}, ADULT),
)


def contenders(
    name: str, options: dict[str, Any], shape: Shape, batches: int
) -> dict[str, Callable[[], torch.Tensor]]:
    """Each runs the batches and returns the last gradient, [K, P]."""
    family: Any = FAMILY.load(name)(**options)
    modules = [family.module(shape) for _ in range(FOLDS)]
    for seed, module in enumerate(modules):
        fill(module, Initialize(), seed)
    theta = torch.stack(
        [torch.nn.utils.parameters_to_vector(module.parameters()).detach() for module in modules]
    )
    x = torch.randn(FOLDS, ROWS, shape.features)
    for at, levels in enumerate(shape.levels):
        if levels:
            x[..., at] = torch.randint(-1, levels, (FOLDS, ROWS)).float()
    y, weight = torch.randint(0, 2, (FOLDS, ROWS)), torch.full((FOLDS, ROWS), 1.0 / ROWS)
    found = [torch.zeros_like(theta) for _ in range(3)]
    ours = family.program(modules[0], theta, found[0])
    vmapped = FunctionalProgram(modules, family.losses, theta, found[1])

    def one_by_one() -> None:
        for k, module in enumerate(modules):
            loss = (family.losses(module(x[k]), y[k]) * weight[k]).sum()
            slopes = torch.autograd.grad(loss, list(module.parameters()))
            torch.cat([slope.flatten() for slope in slopes], out=found[2][k])

    def often(step: Callable[[], object], gradient: torch.Tensor) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            for _ in range(batches):
                step()
            return gradient

        return run

    return {
        "ours": often(lambda: ours.gradient(x, y, weight, []), found[0]),
        "torch.func.vmap": often(lambda: vmapped.gradient(x, y, weight, []), found[1]),
        "autograd, fold after fold": often(one_by_one, found[2]),
    }


def measure(batches: int = BATCHES, rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds of the batches."""
    for name, options, shape in WORK:
        runs = contenders(name, options, shape, batches)
        ours = runs.pop("ours")
        for peer, run in runs.items():
            columns = "Adult's columns" if shape.levels else f"{shape.features} numbers"
            workload = f"{name}{' periodic' if 'numbers' in options else ''}, {columns}, {FOLDS} folds, {batches} gradients"
            yield against(Result(workload, peer), ours, run, same, rounds)


def same(mine: torch.Tensor, others: torch.Tensor) -> str:
    worst = (mine - others).abs().max().item()
    assert worst < 1e-5, worst
    return f"gradients within {worst:.0e}"
