"""Full-batch steps of a tiny network: what is left when there is little to compute.

The network and the training of `recipes/regression_walkthrough.yaml`: 10-10-10, 1,000 rows that it
learns to reproduce, Adam at 0.001, one step an epoch, single precision; from arrays in memory to
the loss after the last step. All start with the same weights (xavier_uniform), so their losses have
to be within 0.1%. Keras runs on its fastest backend, with what it compiles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench import floor
from bench.keras_child import fastest, keras
from bench.pairs import ROUNDS, Absent, Result, against
from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.seeds import derive
from sixfold.parts.fit import Fit, Shape
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.starting import fill

ROWS = np.random.default_rng(0).random((1000, 10))
SAME = 1e-3
XT = torch.tensor(ROWS, dtype=torch.float32)


INITIALIZE = Initialize(scheme={"name": "xavier_uniform"})


def starts() -> list[torch.Tensor]:
    """The weights that `ours` starts with: weight and bias of both layers."""
    module = FAMILY.load("mlp")(hidden=[10]).module(Shape(10, 10, "reconstruction"))
    fill(module, INITIALIZE, derive(INITIALIZE.seed, Fit.seed, "weights"))
    return [parameter.detach() for parameter in module.parameters()]


def loss_of(predicted: np.ndarray) -> float:
    return float(np.mean((predicted - ROWS) ** 2))


def ours(steps: int, context: Context | None = None, told: int = 100) -> float:
    """`told`: every how many steps the loss is told, as in the recipe."""
    train = Train(batch_size="full", epochs=steps, report_every=told)
    one = Candidate("mlp", "mlp", FAMILY.load("mlp")(hidden=[10]), Prepare(), INITIALIZE, train)
    return loss_of(
        next(
            one.family.fit(
                fits_of([one], [Fit(ROWS, ROWS, "reconstruction", 10)]), context or Context()
            )
        ).predict(ROWS)
    )


def eager(steps: int) -> float:
    module = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10))
    with torch.no_grad():
        for parameter, start in zip(module.parameters(), starts(), strict=True):
            parameter.copy_(start)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.mse_loss(module(XT), XT).backward()
        optimizer.step()
    with torch.no_grad():
        return loss_of(module(XT).numpy())


def alike(mine: float, others: float) -> str:
    """Two losses."""
    assert abs(mine - others) <= SAME * mine, (mine, others)
    return f"loss {mine:.4f}, {others:.4f}"


def measure(steps: int = 1000, rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds of all steps."""
    title = f"10-10-10, 1,000 rows at once, {steps} steps"
    least = floor.seconds(floor.perceptron([10, 10, 10], steps * len(ROWS)))

    def row(name: str, target: float) -> Result:
        return Result(title, name, target=target, floor=least)

    def mine() -> float:
        return ours(steps)

    yield against(row("eager torch, fused Adam", 4), mine, lambda: eager(steps), alike, rounds)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npz"
        np.savez(data, ROWS.astype(np.float32), *(start.numpy() for start in starts()))
        try:
            backend, tried = fastest("bench.peers.keras_steps", data=str(data), steps=steps)
        except Absent as error:
            yield Result(title, "Keras 3 train_on_batch", target=12, absent=str(error))
            return
        with keras("bench.peers.keras_steps", backend) as peer:

            def theirs() -> float:
                return float(peer.ask(data=str(data), steps=steps)["loss"])

            name = f"Keras 3 train_on_batch on {backend} (fastest of {tried})"
            yield against(row(name, 12), mine, theirs, alike, rounds)
