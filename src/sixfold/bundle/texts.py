"""Texts at serving: from raw texts to the features that the graph takes, by what the fit on
training rows wrote down.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.pieces import TextPieces
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.texts import FloatArray, IntArray, TermReader, TextInput, TokenPieces

LIMITS: Final = JsonLimits(64 << 20, values=2_000_000)  # of what one input is described by


AGAIN: Final = "Copy the bundle again from where it was made."


def encoder_of(described: TextInput, where: str) -> TextEncoder | TokenEncoder:
    """What makes an input of the graph. Raises BundleError."""
    if described.tokens is None:
        return TextEncoder(described)
    return TokenEncoder(described.column, described.tokens, f"{where}, {described.name}")


class TokenEncoder:
    """The tokens of one input of the graph. Calls may come from several threads at once."""

    def __init__(self, column: str, described: TokenPieces, where: str) -> None:
        self.column, self.cells, self._padding = column, described.length, described.padding
        try:  # it takes the package `tokenizers`, which a model without tokens does not
            module: Any = importlib.import_module("sixfold.bundle.tokens")
        except ImportError:
            remedy = 'pip install "sixfold[text]"'
            raise BundleError(
                where, "tokenizers, as the model takes tokens", "none", remedy
            ) from None
        try:
            self._reader = module.TokenReader(described)
        except Exception as error:  # tokenizers raises Exception itself
            raise BundleError(
                where, "pieces of which a tokenizer can be made", str(error)[:200], AGAIN
            ) from None

    def encode(self, texts: Sequence[str], first_row: int = 1) -> FloatArray:
        """Texts, '' for a missing one → [rows, cells], whole numbers. None is refused, so
        `first_row` is not needed.
        """
        found: FloatArray = self._reader.read(texts).astype(np.float64)
        return found

    encode_in_place = encode

    def there(self, tokens: FloatArray) -> npt.NDArray[np.bool_]:
        """[cells] which of a row's are no padding."""
        return np.asarray(tokens != self._padding)

    def padded(self, tokens: FloatArray) -> FloatArray:
        """[cells] of these tokens, at most so many, with padding behind them."""
        found = np.full(self.cells, self._padding, dtype=np.float64)
        found[: len(tokens)] = tokens
        return found

    def token_texts(self, tokens: FloatArray) -> list[str]:
        """What each of them stands for."""
        found: list[str] = self._reader.texts(tokens.astype(np.int64).tolist())
        return found

    def pieces(self, text: str, features: FloatArray, most: int) -> TextPieces:
        """Words."""
        return TextPieces.of(text, self.encode, most)


class TextEncoder:
    """The features of one input of the graph. Calls may come from several threads at once."""

    def __init__(self, described: TextInput) -> None:
        self.column, self.cells = described.column, described.cells
        self._readers: list[tuple[slice, TermReader]] = []
        start = 0
        for part in described.terms:
            self._readers.append((slice(start, start + part.size), TermReader(part)))
            start += part.size
        self._own = threading.local()

    def encode(self, texts: Sequence[str], first_row: int = 1) -> FloatArray:
        """Texts, '' for a missing one → [rows, cells]. None is refused, so `first_row` is not
        needed.
        """
        found = np.zeros((len(texts), self.cells))
        for row, text in zip(found, texts, strict=True):
            self._fill(row, text)
        return found

    def encode_in_place(self, texts: Sequence[str], first_row: int = 1) -> FloatArray:
        """The same; of one text in memory that the next call of this thread writes over: fresh
        zeros took half of its time.
        """
        if len(texts) != 1:
            return self.encode(texts)
        if not hasattr(self._own, "row"):
            self._own.row, self._own.used = np.zeros((1, self.cells)), []
        row: FloatArray = self._own.row
        for part, places in self._own.used:
            row[0, part][places] = 0.0
        self._own.used = self._fill(row[0], texts[0])
        return row

    def pieces(self, text: str, features: FloatArray, most: int) -> TextPieces:
        """Words."""
        return TextPieces.of(text, self.encode, most)

    def _fill(self, row: FloatArray, text: str) -> list[tuple[slice, IntArray]]:
        """Write a text's features into zeros; where they were written."""
        used = []
        for part, reader in self._readers:
            places, values = reader.read(text)
            row[part][places] = values
            used.append((part, places))
        return used
