"""`learning_rate: auto` beside an optimizer's own rate, and beside the best of a grid, on the
smallest networks.

Held-out loss, as in bench/networks.py, over that of the best rate of six (the optimizer's own,
times 0.1 to 30); the geometric mean over the networks. `python -m bench.learning_rate_auto` prints
the table of docs/explanation/auto-optimizer.md, with two points of the curve that others take: the
steepest, and a tenth of the rate at the least loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np

from bench.networks import NETWORKS, Network, loss
from bench.pairs import Result
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.train.range_test import FLAT, RangeCurve
from sixfold.train.rate import takes_auto

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SMALL = [network for network in NETWORKS if network.data != "adult" and sum(network.hidden) <= 64]
WORST = 10.0  # what a rate that diverged counts: as much as a loss ten times the best


def steepest(curve: RangeCurve) -> float | None:
    """The rate at which the smoothed loss falls fastest, before its minimum."""
    means = curve.smooth()
    least = int(means.argmin())
    if least < 2 or means[least] > -FLAT:
        return None
    return float(curve.rates[int(np.gradient(means[: least + 1]).argmin())])


def tenth(curve: RangeCurve) -> float | None:
    """A tenth of the rate at which the smoothed loss is least."""
    means = curve.smooth()
    return None if means.min() > -FLAT else float(curve.rates[int(means.argmin())] / 10)


POINTS: dict[str, Callable[[RangeCurve], float | None]] = {
    "auto": RangeCurve.best,
    "steepest": steepest,
    "a tenth": tenth,
}


def rated() -> list[str]:
    """Optimizers with a rate to be found."""
    return [name for name in OPTIMIZER.names() if takes_auto(OPTIMIZER.load(name))]


def measure(some: Sequence[Network] = SMALL, names: Sequence[str] | None = None) -> list[Result]:
    """One line an optimizer."""
    results = []
    for name in rated() if names is None else names:
        found = excess(name, some)
        quality = f"on {len(some)} networks"
        results.append(
            Result(name, "its own rate", found["auto"], found["own"], "loss / best", quality)
        )
    return results


def excess(name: str, some: Sequence[Network]) -> dict[str, float]:
    """Of the optimizer's own rate, and of every point: geometric mean over the networks."""
    own = OPTIMIZER.make({"name": name}).learning_rate
    logs: dict[str, list[float]] = {}
    for network in some:
        grid = [loss(network, {"name": name, "learning_rate": own * factor}) for factor in FACTORS]
        found = {"own": grid[FACTORS.index(1.0)]}
        for point, best in POINTS.items():
            with patch.object(RangeCurve, "best", best):
                found[point] = loss(network, {"name": name, "learning_rate": "auto"})
        for kind, value in found.items():
            logs.setdefault(kind, []).append(math.log(min(WORST, value / min(grid))))
    return {kind: math.exp(float(np.mean(values))) for kind, values in logs.items()}


def main() -> None:
    """The table."""
    print(
        "| optimizer | its own rate | auto | steepest | a tenth of the minimum |\n| --- | --- | --- | --- | --- |"
    )
    every: list[dict[str, float]] = []
    for name in rated():
        every.append(excess(name, SMALL))
        print(
            f"| {name} | {' | '.join(f'{value:.2f}' for value in every[-1].values())} |", flush=True
        )
    means = [math.exp(float(np.mean([math.log(one[kind]) for one in every]))) for kind in every[0]]
    print(f"| all | {' | '.join(f'{value:.2f}' for value in means)} |")


if __name__ == "__main__":
    main()
