"""Full-batch steps of a tiny network (10-10-10, 1,000 rows, 1,000 steps of Adam): what is left when there is little to compute.

Quality is asserted equal: the losses after the last step are within 60% of each other: starts are random.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.pairs import ROUNDS, Result, interleaved
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many

ROWS = np.random.default_rng(0).random((1000, 10))
XT = torch.tensor(ROWS, dtype=torch.float32)


def loss_of(predicted: np.ndarray) -> float:
    return float(np.mean((predicted - ROWS) ** 2))


def ours(steps: int) -> float:
    train = Train(batch_size="full", epochs=steps, report_every=steps)
    initialize = Initialize(scheme={"name": "xavier_uniform"})
    one = Candidate("mlp", "mlp", FAMILY.load("mlp")(hidden=[10]), Prepare(), initialize, train)
    return loss_of(next(fit_many([one], [Fit(ROWS, ROWS, "reconstruction", 10)], Context())).predict(ROWS))


def eager(steps: int) -> float:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10))
    for layer in (module[0], module[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.mse_loss(module(XT), XT).backward()
        optimizer.step()
    with torch.no_grad():
        return loss_of(module(XT).numpy())


def measure(steps: int = 1000, rounds: int = ROUNDS) -> list[Result]:
    """From arrays in memory to the loss after the last step."""
    losses = ours(steps), eager(steps)
    assert max(losses) < 1.6 * min(losses), losses
    mine, others = interleaved(lambda: ours(steps), lambda: eager(steps), rounds)
    name = f"10-10-10, 1,000 rows at once, {steps} steps"
    return [Result(name, "eager torch, fused Adam", mine, others, "s", f"loss {losses[0]:.4f}, {losses[1]:.4f}")]
