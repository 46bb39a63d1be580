"""Names, types and shapes of a model's raw inputs and outputs: what a bundle promises to take and to give."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from sixfold.core.values import LevelType
from sixfold.recipe.section import Section

NUMBERS: Final = "numbers"  # the graph's input of numbers, booleans and dates: double [rows, columns]
CATEGORIES: Final = "categories"  # the graph's input of categories: string [rows, columns]


class Input(Section):
    """One raw column. In the graph: a column of `categories` ('' is missing), of `numbers` (NaN is missing) otherwise.

    A date enters the graph as seconds since 1970 (UTC), a boolean as 0 or 1.
    """

    name: str
    type: Literal["number", "category", "boolean", "date"]
    levels: tuple[str, ...] = Field((), description="Known values of a category, the most frequent first.")
    level_type: LevelType = Field(
        "text",
        description="What the levels of a category are: of numbers, booleans and dates every writing is the same level, "
        "texts are compared as they stand.",
    )
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
    class_type: LevelType = Field(
        "text", description="What the classes are: labels answer as texts, numbers, booleans."
    )
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    missing: tuple[str, ...] = Field(description="Tokens read as a missing value in any column.")

    def graph_inputs(self) -> dict[str, tuple[Input, ...]]:
        """The inputs of the graph, and the raw columns of each in order."""
        texts = tuple(column for column in self.inputs if column.type == "category")
        numbers = tuple(column for column in self.inputs if column.type != "category")
        return {name: columns for name, columns in ((NUMBERS, numbers), (CATEGORIES, texts)) if columns}
