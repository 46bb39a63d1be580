"""`optimizer: auto`: which optimizer a network is trained with, by its shape and its batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from sixfold.train.choosing import FitShape, OptimizerChoice
from sixfold.train.optimizer import OptimizerSettings

MOST_EXTRA = 0.2  # share of a step's arithmetic that Muon may add: above, others take clearly more steps in the same time
ITERATIONS = 5  # of Newton–Schulz: muon's own
# L-BFGS keeps 20 copies of the parameters and its steps are not stacked: guessed; measured up to
# 4,929.
MOST_PARAMETERS = 10_000


class Settings(OptimizerSettings):
    """lbfgs where all rows are one batch, values are predicted, and there are 10,000 parameters at
    most; muon where its extra work is at most 0.2 of a step's, and there is a hidden layer;
    otherwise adamw.

    Muon's extra work: 5·(4m²n + 2m³) products a matrix of m × n, m ≤ n, against 6·m·n for a row of
    the batch, forward and back; 5·m / rows for square ones. What was measured:
    docs/explanation/auto-optimizer.md.
    """

    learning_rate: Literal["auto", "own"] = Field(
        "auto",
        description="By a range test, as optimizers differ in it; or the default of the one that is chosen.",
    )

    def choose(self, work: FitShape) -> OptimizerChoice:
        """By what `work` says alone."""
        parameters = sum(math.prod(shape) for shape in work.shapes)
        if work.full and work.task != "classification" and parameters <= MOST_PARAMETERS:
            why = f"all {work.rows:,} rows in one batch, squared error, {parameters:,} parameters (at most {MOST_PARAMETERS:,})"
            return OptimizerChoice({"name": "lbfgs"}, f"{why}; it searches its own steps")
        matrices = [shape for shape in work.shapes if len(shape) == 2]
        if len(matrices) < 2:
            return self._of("adamw", "there is no hidden layer, which Muon is for")
        extra, told = (
            muon_extra(matrices, work.rows),
            " and ".join(" × ".join(map(str, shape)) for shape in matrices),
        )
        few = extra <= MOST_EXTRA
        why = f"Muon's extra work is {extra:.2g} of a step's ({work.rows:,} rows a batch; weights {told})"
        return self._of(
            "muon" if few else "adamw", f"{why}, {'at most' if few else 'above'} {MOST_EXTRA}"
        )

    def _of(self, name: str, why: str) -> OptimizerChoice:
        return OptimizerChoice(
            {"name": name, **({"learning_rate": "auto"} if self.learning_rate == "auto" else {})},
            why,
        )


def muon_extra(matrices: Sequence[tuple[int, ...]], rows: int) -> float:
    """Products of Muon's five iterations X ← aX + (bXXᵀ + c(XXᵀ)²)X, as a share of those of a step
    on `rows` rows.
    """
    sides = [sorted(shape) for shape in matrices]
    work = sum(ITERATIONS * (4 * small**2 * large + 2 * small**3) for small, large in sides)
    return work / max(1, 6 * rows * sum(small * large for small, large in sides))
