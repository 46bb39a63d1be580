"""Texts as rows of numbers: code points, and 0 behind a text's end."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.parts.table import FloatArray, IntArray


def normalized(text: str) -> str:
    """As it is learned: composed (Unicode NFC), and a single space for every white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def code_points(texts: Sequence[str], width: int = 0) -> IntArray:
    """[texts, characters of the longest, `width` at least] int64."""
    width = max(width, 1, *map(len, texts)) if texts else max(width, 1)
    found = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in enumerate(texts):
        found[row, : len(text)] = list(map(ord, text))
    return found


def texts_of(codes: npt.NDArray[Any]) -> list[str]:
    """[rows, characters], whole numbers in any type → the texts."""
    return ["".join(map(chr, row[row > 0].tolist())) for row in codes.astype(np.int64)]


def widened(codes: FloatArray, width: int) -> FloatArray:
    """[rows, width]: no text is longer."""
    return np.pad(codes, ((0, 0), (0, width - codes.shape[1])))
