"""`optimizer: auto`: which optimizer a network is trained with, by its shape and its batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from sixfold.recipe.plugin_fields import Options
from sixfold.train.choosing import FitShape, OptimizerChoice
from sixfold.train.optimizer import OptimizerSettings

# Share of a step's arithmetic that Muon may add: above, others take clearly more steps in the same
# time. A language model reaches a loss in about half of AdamW's steps, and Muon multiplies in
# bfloat16 (measured: docs/explanation/auto-optimizer.md).
MOST_EXTRA: Final = 0.2
MOST_EXTRA_OF_TEXTS: Final = 1.0
# The largest singular value of muon's step, rms·√side·α, in rates of AdamW, which vectors and tables
# have: measured with a language model of width 128, AdamW's best rate beside muon's. For other widths
# derived: that of weights as they start hangs on no width.
MUON_STEP: Final = 31.0
# Of a language model: tables of tokens, and vectors, learn so many times AdamW's rate where its matrices are muon's,
# which then move less (measured on characters and on 1,024 pairs of bytes: docs/explanation/auto-optimizer.md).
TABLE_RATE: Final = 4.0
MUON_STEP_OF_TEXTS: Final = 14.0
ITERATIONS: Final = 5  # of Newton–Schulz: muon's own
MOST_RATE: Final = 10.0  # that an optimizer takes
# L-BFGS keeps 20 copies of the parameters and its steps are not stacked: guessed; measured up to
# 4,929.
MOST_PARAMETERS: Final = 10_000


class Settings(OptimizerSettings):
    """lbfgs where all rows are one batch, values are predicted, and there are 10,000 parameters at
    most; muon where its extra work is at most 0.2 of a step's, of a language model as much as a
    step's, and there is a hidden layer; otherwise adamw.

    Muon's extra work: 5·(4m²n + 2m³) products a matrix of m × n, m ≤ n, against 6·m·n for a row of
    the batch, forward and back; 5·m / rows for square ones. What was measured:
    docs/explanation/auto-optimizer.md.
    """

    learning_rate: Literal["auto", "own"] | Annotated[float, Field(gt=0, le=10)] = Field(
        "auto",
        description="By a range test, as optimizers differ in it; or the default of the one that is chosen; or a number for "
        "adamw, beside which muon's step of matrices is derived, and, of language models, its rate of tables.",
    )
    weight_decay: float | None = Field(
        None, ge=0, description="Of muon and adamw. Left out: their own."
    )
    beta2: float | None = Field(
        None, ge=0, lt=1, description="Of muon and adamw. Left out: their own."
    )

    def choose(self, work: FitShape) -> OptimizerChoice:
        """By what `work` says alone."""
        parameters = sum(math.prod(shape) for shape in work.shapes)
        values = work.task in ("regression", "reconstruction")
        if work.full and values and parameters <= MOST_PARAMETERS:
            why = f"all {work.rows:,} rows in one batch, squared error, {parameters:,} parameters (at most {MOST_PARAMETERS:,})"
            return OptimizerChoice({"name": "lbfgs"}, f"{why}; it searches its own steps")
        matrices = [shape for shape in work.shapes if len(shape) == 2]
        if len(matrices) < 2:
            return self._of("adamw", "there is no hidden layer, which Muon is for")
        extra = muon_extra(matrices, work.rows)
        most = MOST_EXTRA_OF_TEXTS if work.task == "generation" else MOST_EXTRA
        few = extra <= most
        why = (
            f"Muon's extra work is {extra:.2g} of a step's ({work.rows:,} {work.unit} a batch; "
            f"weights {_told(matrices)})"
        )
        told = f"{why}, {'at most' if few else 'above'} {most:g}"
        if not few:
            return self._of("adamw", told)
        chosen = self._of("muon", told)
        if isinstance(self.learning_rate, float):
            texts = work.task == "generation"
            step, times = (MUON_STEP_OF_TEXTS, TABLE_RATE) if texts else (MUON_STEP, 1.0)
            rms = step / times / math.sqrt(max(map(max, matrices)))
            chosen.optimizer["rms"] = float(f"{rms:.2g}")
            chosen.optimizer["learning_rate"] = min(MOST_RATE, times * self.learning_rate)
        return chosen

    def _of(self, name: str, why: str) -> OptimizerChoice:
        rate = None if self.learning_rate == "own" else self.learning_rate
        given: Options = {
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "beta2": self.beta2,
        }
        known = {key: value for key, value in given.items() if value is not None}
        return OptimizerChoice({"name": name, **known}, why)


def muon_extra(matrices: Sequence[tuple[int, ...]], rows: int) -> float:
    """Products of Muon's five iterations X ← aX + (bXXᵀ + c(XXᵀ)²)X, as a share of those of a step
    on `rows` rows.
    """
    sides = [sorted(shape) for shape in matrices]
    work = sum(ITERATIONS * (4 * small**2 * large + 2 * small**3) for small, large in sides)
    return work / max(1, 6 * rows * sum(small * large for small, large in sides))


def _told(matrices: Sequence[tuple[int, ...]]) -> str:
    """Each shape once, with how many there are of it."""
    counts = Counter(" × ".join(map(str, shape)) for shape in matrices)
    return " and ".join(
        shape if count == 1 else f"{count} of {shape}" for shape, count in counts.items()
    )
