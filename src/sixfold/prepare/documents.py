"""Preparation of texts for a language model: its tokenizer, learned from the training rows alone, and
the tokens of the rows, which stay on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.parts.fit import DocumentNeeds, FeatureGroup, Features
from sixfold.parts.graph import Graph
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store, stored_tokens
from sixfold.parts.table import IntArray, Table
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, TextTokenizer, learned, of_checkpoint
from sixfold.prepare.step import Training
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.schema import Prepare

AT_ONCE: Final = 4_096  # texts whose tokens are made in one piece, where they are predicted
# Tokens that a vocabulary has where the recipe says nothing: a power of two, of which each token
# occurs about this often; guessed.
OCCURRENCES: Final = 200
BYTES_A_TOKEN: Final = 3.0
SMALLEST, LARGEST = 512, 32_768


@dataclass(frozen=True)
class DocumentPreparer(State):
    """Texts of `column` → tokens. It answers what a `Preparer` does."""

    column: str
    tokenizer: TextTokenizer
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw column."""
        return (self.column,)

    @property
    def texts(self) -> frozenset[str]:
        """The raw column, which no graph takes."""
        return frozenset({self.column})

    @property
    def categories(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """Texts are no part of a graph: a bundle holds the tokenizer's files."""
        raise TypeError("the tokens of a language model are made outside of a graph")

    @property
    def rows_at_once(self) -> int:
        """Rows whose tokens are made in one piece."""
        return AT_ONCE

    @property
    def layout(self) -> tuple[FeatureGroup, ...]:
        """One text a row."""
        return (FeatureGroup("documents", (self.column,), 0, 1, tokens=self.tokenizer.vocabulary),)

    def transform(self, table: Table) -> Features:
        """The tokens of all rows."""
        return self._stored(table)

    def _stored(self, table: Table) -> StoredTokens:
        texts = table.columns[self.column].strings()
        return store(texts, self.tokenizer, plain_rows(self.tokenizer))

    def batches(self, table: Table) -> Iterator[tuple[slice, Features]]:
        """The same in parts."""
        whole = self._stored(table)
        for first in range(0, table.rows, AT_ONCE):
            rows = slice(first, min(first + AT_ONCE, table.rows))
            yield rows, whole.take(np.arange(rows.start, rows.stop))


def fit_documents(
    table: Table, prepare: Prepare, needs: DocumentNeeds, training: Training
) -> tuple[DocumentPreparer, StoredTokens, IntArray]:
    """Fit on exactly these training rows. As `preparer.fit`. Raises RecipeError where the recipe
    prepares texts otherwise, DataError for a checkpoint without a tokenizer.
    """
    if said := prepare.model_dump(exclude_defaults=True):
        raise RecipeError(
            f"prepare.{next(iter(said))}",
            "nothing, for a language model: it reads texts as they are",
            "settings",
            "Leave `prepare` out.",
        )
    (name,) = table.columns
    rows = np.arange(table.rows, dtype=np.int64)
    if needs.checkpoint:
        tokenizer = of_checkpoint(Path(needs.checkpoint))
        told = f"{tokenizer.vocabulary:,} tokens of the checkpoint {Path(needs.checkpoint).name}"
    else:
        texts = table.columns[name].strings()
        size = needs.vocabulary or derived_vocabulary(sum(map(len, texts)))
        tokenizer = learned(texts, size, CHATML)
        kind = "single bytes" if size <= LEAST_VOCABULARY else "byte-level pairs"
        told = f"{tokenizer.vocabulary:,} tokens ({kind}), learned from the training texts"
    found = DocumentPreparer(name, tokenizer)
    x = stored_tokens(found.transform(table))
    per = float(x.size_bytes.sum()) / max(1, int((x.lengths - 2).sum()))
    if not int((x.lengths - 2).sum()):
        raise DataError("data.source", "texts", "none in the training rows", "Add documents.")
    notes = (f"Texts '{name}': {told}; {per:.2f} bytes a token.",)
    return DocumentPreparer(name, tokenizer, notes), x, rows


def derived_vocabulary(characters: int) -> int:
    """By the size of the training texts."""
    wanted = characters / BYTES_A_TOKEN / OCCURRENCES
    size = SMALLEST
    while size < LARGEST and 2 * size <= wanted:
        size *= 2
    return size
