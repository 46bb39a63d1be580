"""What is learned: a task by its name, or a regression that predicts quantiles."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from sixfold.recipe.section import Section

TaskName = Literal[
    "classification",
    "regression",
    "reconstruction",
    "generation",
    "recommendation",
    "transcription",
]
# What answers for a task whose models are no graph of rows.
OWN_RUNTIMES: Final = {"generation": "language", "recommendation": "recommender"}


class Quantiles(Section):
    """Of a regression: which quantiles of the target are predicted, instead of one value."""

    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        min_length=1,
        max_length=99,
        description="Rising, each in (0, 1): a tenth of the rows are below the quantile 0.1.",
    )


class QuantileRegression(Section):
    """A regression that predicts quantiles: `regression: {quantiles: [0.1, 0.5, 0.9]}`."""

    regression: Quantiles
