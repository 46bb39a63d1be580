"""Names, types and shapes of a model's raw inputs and outputs: what a bundle promises to take and to give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import Field

from sixfold.core.values import LevelType
from sixfold.recipe.reading import Marks
from sixfold.recipe.section import Section

NUMBERS: Final = "numbers"  # the graph's input of numbers, booleans and dates: double [rows, columns]
CATEGORIES: Final = "categories"  # the graph's input of categories: string [rows, columns]
IMAGES: Final = "images"  # columns of images, of which the front end makes the inputs image_0, image_1 …: double
TEXTS: Final = "texts"  # columns of text, which the front end makes the graph's inputs text_0, text_1 … of: double

# What a signature may hold, so that a stranger's one takes a bounded amount of memory: `check` refuses a table that needs more,
# and a bundle that has more is not loaded. Guessed: ten times what the largest tables of the tests have.
MOST: Final = {
    "columns": 40_000,
    "classes, or values to predict": 20_000,
    "levels of categories": 400_000,
    "bytes of names, classes and levels": 12_000_000,  # in UTF-8
}


def excess(counts: Iterable[int]) -> tuple[str, str] | None:
    """What is allowed, and what there is, of the first of `counts` (in the order of MOST) that is too large; None: all fit."""
    for (what, most), count in zip(MOST.items(), counts, strict=True):
        if count > most:
            return f"at most {most:,} {what}", f"{count:,}"
    return None


def utf8_bytes(texts: Iterable[str]) -> int:
    """Of all of them together."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts)


class Input(Section):
    """One raw column. In the graph: a column of `categories` ('' is missing), of `numbers` (NaN is missing) otherwise.

    A date enters the graph as seconds since 1970 (UTC), a boolean as 0 or 1, a text as features of its n-grams (`recipe.texts`).
    """

    name: str
    type: Literal["number", "category", "boolean", "date", "text", "image"]
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
    read: Marks | None = Field(None, description="The marks of a number that comes as text, where data.read names any.")

    def text_of(self, value: float) -> str:
        """A number, rounded to six digits, as a text of this column is read."""
        rounded, marks = f"{value:g}", None if self.read is None else self.read.format()
        return rounded if marks is None else marks.show(float(rounded))


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
    fields: tuple[str, ...] = Field(
        (),
        description="Columns of the training file in their order, where it had no header: the fields of a CSV's lines.",
    )

    def graph_inputs(self) -> dict[str, tuple[Input, ...]]:
        """What the front end reads rows into, and the raw columns of each in order: numbers, categories, texts,
        images.
        """
        own = {"category": CATEGORIES, "text": TEXTS, "image": IMAGES}
        found: dict[str, tuple[Input, ...]] = {NUMBERS: (), CATEGORIES: (), TEXTS: (), IMAGES: ()}
        for name in found:
            found[name] = tuple(column for column in self.inputs if own.get(column.type, NUMBERS) == name)
        return {name: columns for name, columns in found.items() if columns}

    def excess(self) -> tuple[str, str] | None:
        """What is allowed and what there is where it holds too much; None where it does not."""
        answers = [name for output in self.outputs for name in output.columns]
        levels = [level for column in self.inputs for level in column.levels]
        texts = (*(column.name for column in self.inputs), *answers, *levels, *self.classes, *self.target)
        texts += (*self.missing, *self.fields)
        return excess((len(self.inputs), len(answers), len(levels), utf8_bytes(texts)))
