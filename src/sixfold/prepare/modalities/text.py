"""Columns of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sixfold.core.units import counted
from sixfold.parts.fit import Needs
from sixfold.parts.modality import Copies, RawColumn, Suggestion
from sixfold.parts.table import Column, Table, Task
from sixfold.parts.text_column import describe, why_text
from sixfold.prepare.encoded_block import EncodedBlock, fit_encoded
from sixfold.prepare.step import Training
from sixfold.prepare.text.near_duplicates import near_duplicates
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.section import Section


class Settings(Section):
    """Texts: sentences, most of which occur once. Recognized by the number of words, and of
    different values.
    """

    plural: ClassVar[str] = "texts"
    looked_at_first: ClassVar[bool] = False
    unseen: ClassVar[str] = "never seen before"
    columns: ClassVar[int] = 300  # so many n-grams does a short message have

    def why(self, raw: RawColumn) -> str:
        """Many words, mostly different ones."""
        return why_text(raw.levels, raw.known)

    def column(self, raw: RawColumn) -> Column:
        """The texts as they stand."""
        return Column("text", raw.codes, raw.levels)

    def notes(self, name: str, column: Column) -> list[str]:
        """Scripts, languages, boilerplate."""
        return describe(name, column.strings())

    def copies(self, column: Column) -> Copies | None:
        """Those that are nearly the same as an earlier one, by MinHash."""
        units = near_duplicates(column.strings())
        near = len(units) - len(np.unique(units))
        told = counted(
            near,
            "text is nearly the same as an earlier one",
            "texts are nearly the same as an earlier one",
        )
        return (
            Copies(units, f"{told} (MinHash): they stay on one side of every split.")
            if near
            else None
        )

    def summary(self, column: Column) -> str:
        """How long they are."""
        lengths = [len(text) for text in column.strings() if text] or [0]
        return f"{min(lengths):,} to {max(lengths):,} characters, median {np.median(lengths):,.0f}"

    def values(self, column: Column) -> Sequence[str]:
        """The texts, '' for a missing one."""
        return column.strings()

    def as_text(self, column: Column) -> Sequence[str]:
        """The same."""
        return column.strings()

    def contents(self, column: Column) -> tuple[bytes, ...]:
        """Nothing: the levels are all there is."""
        return ()

    def suggestions(self, task: Task) -> list[Suggestion]:
        """Rows of many thousand n-grams, nearly all of them 0: a straight line separates them, and
        takes them sparse.
        """
        boosting: Suggestion = (
            "boosting",
            {},
            "n-grams that only count together, beside the other columns",
        )
        if task != "classification":
            return [("linear", {}, "texts: ridge on their n-grams, fast and small"), boosting]
        return [
            (
                "svm",
                {"kernel": "linear"},
                "texts: a linear machine on their n-grams is fast, small and hard to beat",
            ),
            (
                "linear",
                {"C": 10.0},
                "texts: probabilities of its own; weights that can be read, n-gram by n-gram",
            ),
            boosting,
        ]

    def method(self, needs: Needs) -> Options:
        """What the family likes texts to become."""
        if needs.text_checkpoint:
            return {"name": needs.text, "checkpoint": needs.text_checkpoint}
        return {"name": needs.text} | (
            {"features": needs.text_features} if needs.text == "ngrams" else {}
        )

    def block(self, name: str, method: Any, table: Table, training: Training) -> EncodedBlock:
        """Fit on the texts."""
        return fit_encoded(name, method, table, training)
