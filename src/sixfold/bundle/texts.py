"""Texts at serving: from raw texts to the features that the graph takes, by what the fit on training rows wrote down."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from sixfold.core import json_limits
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.texts import FloatArray, IntArray, TermReader, TextInput, TokenPieces

_NAME: Final = re.compile(r"text_\d{1,4}", re.ASCII)
LIMITS: Final = JsonLimits(64 << 20, values=2_000_000)  # of what one input is described by


class DescriptionError(ValueError):
    """A model's metadata describe an input of text as Sixfold never does."""


def text_inputs(described: Mapping[str, str]) -> tuple[TextInput, ...]:
    """The inputs of a graph that are made of columns of text, from the model's metadata. Raises DescriptionError."""
    found = []
    for name in sorted(described, key=lambda name: (len(name), name)):
        if _NAME.fullmatch(name):
            found.append(_read(name, described[name].encode("utf-8", "surrogatepass")))
    return tuple(found)


def _read(name: str, content: bytes) -> TextInput:
    if violation := json_limits.violation(content, LIMITS):
        raise DescriptionError(f"{name}: {violation[1]}, where {violation[0]} was due")
    try:
        found = TextInput.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise DescriptionError(f"{name}: {first['msg'][:200]}") from None
    if found.name != name:
        raise DescriptionError(f"{name}: the description of {found.name}")
    return found


def encoder_of(described: TextInput) -> TextEncoder | TokenEncoder:
    """What makes an input of the graph. Raises DescriptionError."""
    return TextEncoder(described) if described.tokens is None else TokenEncoder(described.tokens)


class TokenEncoder:
    """The tokens of one input of the graph. Calls may come from several threads at once."""

    def __init__(self, described: TokenPieces) -> None:
        self.width = described.length
        try:  # it takes the package `tokenizers`, which a model without tokens does not
            module: Any = importlib.import_module("sixfold.bundle.tokens")
        except ImportError:
            raise DescriptionError('tokens, for which pip install "sixfold[text]" is needed') from None
        try:
            self._reader = module.TokenReader(described)
        except Exception as error:  # tokenizers raises Exception itself
            raise DescriptionError(f"pieces of which no tokenizer can be made: {str(error)[:200]}") from None

    def encode(self, texts: Sequence[str]) -> IntArray:
        """Texts, '' for a missing one → int64 [rows, width]."""
        found: IntArray = self._reader.read(texts)
        return found

    encode_in_place = encode


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

    def encode_in_place(self, texts: Sequence[str]) -> FloatArray:
        """The same; of one text in memory that the next call of this thread writes over: fresh zeros took half of its time."""
        if len(texts) != 1:
            return self.encode(texts)
        if not hasattr(self._own, "row"):
            self._own.row, self._own.used = np.zeros((1, self.width)), []
        row: FloatArray = self._own.row
        for part, places in self._own.used:
            row[0, part][places] = 0.0
        self._own.used = self._fill(row[0], texts[0])
        return row

    def _fill(self, row: FloatArray, text: str) -> list[tuple[slice, IntArray]]:
        """Write a text's features into zeros; where they were written."""
        used = []
        for part, reader in self._readers:
            places, values = reader.read(text)
            row[part][places] = values
            used.append((part, places))
        return used
