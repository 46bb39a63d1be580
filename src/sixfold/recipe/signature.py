"""Names, types and shapes of a model's raw inputs and outputs: what a bundle promises to take and to give."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


class Input(Section):
    """One raw column. In the graph: [rows, 1], string for category, double otherwise (NaN is missing).

    A date enters the graph as seconds since 1970 (UTC), a boolean as 0 or 1; a missing category is ''.
    """

    name: str
    type: Literal["number", "category", "boolean", "date"]
    levels: tuple[str, ...] = Field(
        (), description="Most frequent known values of a category, at most 50: for forms and messages."
    )
    level_count: int = Field(0, ge=0, description="How many values of a category were seen in training.")
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    optional: bool = Field(False, description="The column held missing values in training.")


class Output(Section):
    """One result of the graph. `label`: string [rows, 1]; `probability`, `decision`, `value`: [rows, outputs]."""

    name: Literal["label", "probability", "decision", "value"]
    columns: tuple[str, ...] = Field(description="Class of each column of probability or decision; name of each value.")


class Signature(Section):
    """The contract between a bundle and whoever sends it rows."""

    task: Literal["classification", "regression", "reconstruction"]
    target: tuple[str, ...]
    classes: tuple[str, ...] = ()
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    missing: tuple[str, ...] = Field(description="Tokens read as a missing value in any column.")


RESERVED = ("label", "probability", "decision", "value")


def graph_name(column: str) -> str:
    """The name of a raw column as an input of the graph: its own, unless an output has that name."""
    return f"input_{column}" if column in RESERVED else column
