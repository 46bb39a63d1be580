"""What a language model learns from: one column of texts, each row a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.units import counted
from sixfold.data.target import FoundTarget
from sixfold.parts.table import LOSS_SUMS, Column, Target
from sixfold.recipe.schema import Data

TEXT: Final = "text"  # what the column is called, as in files of this kind everywhere
ALPHABET: Final = 256  # bytes


def text_column(names: Sequence[str], data: Data, where: str) -> str:
    """The column of documents: the one whose type is text by the recipe, or that is called `text`, or
    the only one. Raises DataError where there are several, RecipeError for two types.
    """
    said = [name for name, kind in data.types.items() if kind == "text"]
    if len(said) > 1:
        raise RecipeError(
            "data.types",
            "one column of text for task: generation",
            ", ".join(said[:3]),
            "Name one.",
        )
    left = [name for name in names if name not in {data.group, data.time, *data.drop}]
    found = said or [name for name in left if name == TEXT] or left
    if len(found) == 1:
        return found[0]
    raise DataError(
        where,
        f"a column '{TEXT}', or one column in all, to learn from",
        ", ".join(f"'{name}'" for name in found[:5]) or "none",
        "Say which: data.types: {COLUMN: text}.",
    )


def document_target(name: str, column: Column, where: str) -> FoundTarget:
    """The sums that models of texts are scored by; rows without a text are left out. `column`: of
    text. Raises DataError where no row has one.
    """
    rows = np.flatnonzero(column.values >= 0)
    if len(rows) == 0:
        raise DataError(where, "documents", "none that is not empty", "Check the export.")
    sizes = np.array(
        [len(text.encode("utf-8", "surrogatepass")) for text in column.levels], dtype=np.float64
    )
    own = sizes[column.values[rows]]
    sums = np.stack([(own + 1) * np.log(ALPHABET + 1), own + 1, own], axis=1)
    notes = (
        f"A language model is learned from '{name}': {counted(len(rows), 'document')}, "
        f"{own.sum():,.0f} bytes in UTF-8, {np.median(own):,.0f} in the median and {own.max():,.0f} at most."
    )
    return FoundTarget(Target("generation", sums, LOSS_SUMS), rows, (notes,))
