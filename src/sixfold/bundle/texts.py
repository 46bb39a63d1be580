"""Texts at serving: from raw texts to the features that the graph takes, by what the fit on training rows wrote down."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from sixfold.recipe.texts import FloatArray, IntArray, TermReader, TextInput


class TextEncoder:
    """The features of one input of the graph. Calls may come from several threads at once."""

    def __init__(self, described: TextInput) -> None:
        self.width = described.width
        self._readers: list[tuple[slice, TermReader]] = []
        start = 0
        for part in described.terms:
            self._readers.append((slice(start, start + part.size), TermReader(part)))
            start += part.size
        self._own = threading.local()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Texts, '' for a missing one → [rows, width]."""
        found = np.zeros((len(texts), self.width))
        for row, text in zip(found, texts, strict=True):
            self._fill(row, text)
        return found

    def encode_one(self, text: str) -> FloatArray:
        """[1, width], in memory that the next call of this thread writes over: fresh zeros took half of a row's time."""
        if not hasattr(self._own, "row"):
            self._own.row, self._own.used = np.zeros((1, self.width)), []
        row: FloatArray = self._own.row
        for part, places in self._own.used:
            row[0, part][places] = 0.0
        self._own.used = self._fill(row[0], text)
        return row

    def _fill(self, row: FloatArray, text: str) -> list[tuple[slice, IntArray]]:
        """Write a text's features into zeros; where they were written."""
        used = []
        for part, reader in self._readers:
            places, values = reader.read(text)
            row[part][places] = values
            used.append((part, places))
        return used
