"""Names, types and shapes of a model's raw inputs and outputs: what a bundle promises to take and
to give.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field

from sixfold.core.values import LevelType
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.reading import Marks
from sixfold.recipe.section import Section
from sixfold.recipe.task import TaskName

NUMBERS: Final = (
    "numbers"  # the graph's input of numbers, booleans and dates: double [rows, columns]
)
NAMED: Final = ("label", "text", "items")  # outputs of one text a row, and no numbers
CATEGORIES: Final = "categories"  # the graph's input of categories: string [rows, columns]

# What a signature may hold, so that a stranger's one takes a bounded amount of memory: `check`
# refuses a table that needs more, and a bundle that has more is not loaded. Guessed: ten times what
# the largest tables of the tests have.
MOST: Final = {
    "columns": 40_000,
    "classes, or values to predict": 20_000,
    "levels of categories": 400_000,
    "bytes of names, classes and levels": 12_000_000,  # in UTF-8
}


def group_of(kind: str) -> str:
    """What columns of a kind are read into: `numbers`, `categories`, or of another modality its
    name and an s.
    """
    if kind == "category":
        return CATEGORIES
    return NUMBERS if kind in PLAIN_KINDS else f"{kind}s"


def excess(counts: Iterable[int]) -> tuple[str, str] | None:
    """What is allowed, and what there is, of the first of `counts` (in the order of MOST) that is
    too large; None: all fit.
    """
    for (what, most), count in zip(MOST.items(), counts, strict=True):
        if count > most:
            return f"at most {most:,} {what}", f"{count:,}"
    return None


def utf8_bytes(texts: Iterable[str]) -> int:
    """Of all of them together."""
    return sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        for text in texts
    )


class Input(Section):
    """One raw column. In the graph: a column of `categories` ('' is missing), of `numbers` (NaN is
    missing) otherwise.

    A date enters the graph as seconds since 1970 (UTC), a boolean as 0 or 1. Of another modality a
    reader makes inputs of their own (`recipe.encoded`).
    """

    name: str
    type: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="number, category, boolean, date, or the name of a modality.",
    )
    levels: tuple[str, ...] = Field(
        (), description="Known values of a category, the most frequent first."
    )
    level_type: LevelType = Field(
        "text",
        description="What the levels of a category are: of numbers, booleans and dates every writing is the same level, "
        "texts are compared as they stand.",
    )
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    optional: bool = Field(False, description="The column held missing values in training.")
    read: Marks | None = Field(
        None, description="The marks of a number that comes as text, where data.read names any."
    )

    def text_of(self, value: float) -> str:
        """A number, rounded to six digits, as a text of this column is read."""
        rounded, marks = f"{value:g}", None if self.read is None else self.read.format()
        return rounded if marks is None else marks.show(float(rounded))


class Output(Section):
    """One result of the graph. `label`: string [rows, 1]; `probability`, `decision`, `value`:
    [rows, outputs]. `text`: of a language model, which goes on from what it is given; or what is said in a
    recording, which the graph's output `value` is decoded to (`recipe.ctc_decoder`).
    `items`: of a recommender, the best first.
    """

    name: Literal["label", "probability", "decision", "value", "text", "items"]
    columns: tuple[str, ...] = Field(
        description="Class of each column of probability or decision; name of each value."
    )


class Signature(Section):
    """The contract between a bundle and whoever sends it rows."""

    task: TaskName
    target: tuple[str, ...]
    classes: tuple[str, ...] = ()
    class_type: LevelType = Field(
        "text", description="What the classes are: labels answer as texts, numbers, booleans."
    )
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    missing: tuple[str, ...] = Field(description="Tokens read as a missing value in any column.")
    fields: tuple[str, ...] = Field(
        (),
        description="Columns of the training file in their order, where it had no header: the fields of a CSV's lines.",
    )

    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="Of the target, which the columns of value are, rising; () for its value."
    )

    def graph_inputs(self) -> dict[str, tuple[Input, ...]]:
        """What the front end reads rows into, and the raw columns of each in order: numbers,
        categories, then each other modality.
        """
        found: dict[str, list[Input]] = {NUMBERS: [], CATEGORIES: []}
        for column in self.inputs:
            found.setdefault(group_of(column.type), []).append(column)
        return {name: tuple(columns) for name, columns in found.items() if columns}

    def excess(self) -> tuple[str, str] | None:
        """What is allowed and what there is where it holds too much; None where it does not."""
        answers = [name for output in self.outputs for name in output.columns]
        levels = [level for column in self.inputs for level in column.levels]
        texts = (
            *(column.name for column in self.inputs),
            *answers,
            *levels,
            *self.classes,
            *self.target,
        )
        texts += (*self.missing, *self.fields)
        return excess((len(self.inputs), len(answers), len(levels), utf8_bytes(texts)))
