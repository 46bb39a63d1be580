"""Preparation of texts for a language model: its tokenizer, learned from the training rows alone, and
the tokens of the rows, which stay on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.parts.conversation import COLUMN, all_text
from sixfold.parts.fit import DocumentNeeds, FeatureGroup, Features
from sixfold.parts.graph import Graph
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.stored_texts import DerivedTexts
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store, stored_tokens
from sixfold.parts.table import IntArray, Table
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, TextTokenizer, learned, of_checkpoint
from sixfold.prepare.step import Training
from sixfold.prepare.text.filtered_texts import kept_texts
from sixfold.prepare.text.learned_tokens import stored_examples
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.schema import Prepare

AT_ONCE: Final = 4_096  # texts whose tokens are made in one piece, where they are predicted
# Tokens that a vocabulary has where the recipe says nothing: a power of two, of which each token
# occurs about this often; guessed.
OCCURRENCES: Final = 200
BYTES_A_TOKEN: Final = 3.0
SMALLEST, LARGEST = 512, 32_768
LEARNED: Final = 100_000_000  # characters from which a tokenizer is learned, at most; guessed


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
        if self.column == COLUMN:
            return stored_examples(texts, self.tokenizer)
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
    _check_prepare(prepare)
    ((name, column),) = table.columns.items()
    texts = column.strings()
    own = DerivedTexts(texts, all_text) if name == COLUMN else texts
    rows, left_out = kept_texts(own, prepare.denoise)
    table = table.take(rows)
    if needs.checkpoint:
        tokenizer = of_checkpoint(Path(needs.checkpoint))
        told = f"{tokenizer.vocabulary:,} tokens of the checkpoint {Path(needs.checkpoint).name}"
    else:
        tokenizer, told = _learned(own, rows, needs.vocabulary)
    found = DocumentPreparer(name, tokenizer)
    x = stored_tokens(found.transform(table))
    if x.whole:
        return DocumentPreparer(name, tokenizer, (*left_out, f"Examples: {told}.")), x, rows
    per = float(x.size_bytes.sum()) / max(1, int((x.lengths - 2).sum()))
    if not int((x.lengths - 2).sum()):
        raise DataError("data.source", "texts", "none in the training rows", "Add documents.")
    notes = (*left_out, f"Texts '{name}': {told}; {per:.2f} bytes a token.")
    return DocumentPreparer(name, tokenizer, notes), x, rows


def _learned(texts: Sequence[str], rows: IntArray, asked: int) -> tuple[TextTokenizer, str]:
    """A tokenizer of the texts at `rows`, and what it is in words. The library holds every different
    word of what it learns from: of more than LEARNED characters that is every second text, or third ….
    """
    kept = np.zeros(len(texts), dtype=np.bool_)
    kept[rows] = True
    characters = sum(map(len, compress(texts, kept)))
    step = -(-characters // LEARNED) or 1
    size = asked or derived_vocabulary(characters)
    kept[:] = False
    kept[rows[::step]] = True
    tokenizer = learned(compress(texts, kept), size, CHATML)
    kind = "single bytes" if size <= LEAST_VOCABULARY else "byte-level pairs"
    source = "the training texts"
    if step > 1:
        source = f"one of {step} of the training texts, as these have {characters:,} characters"
    return tokenizer, f"{tokenizer.vocabulary:,} tokens ({kind}), learned from {source}"


def _check_prepare(prepare: Prepare) -> None:
    """Raises RecipeError for what is not done with texts."""
    denoise = prepare.denoise.model_copy(update={"duplicates": "keep", "texts": None})
    others = prepare.model_copy(update={"denoise": denoise})
    if said := others.model_dump(exclude_defaults=True):
        raise RecipeError(
            f"prepare.{next(iter(said))}",
            "denoise.duplicates and denoise.texts alone, for a language model: it reads texts as they are",
            "other settings",
            "Leave them out.",
        )


def derived_vocabulary(characters: int) -> int:
    """By the size of the training texts."""
    wanted = characters / BYTES_A_TOKEN / OCCURRENCES
    size = SMALLEST
    while size < LARGEST and 2 * size <= wanted:
        size *= 2
    return size
