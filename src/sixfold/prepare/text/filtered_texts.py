"""Texts that a language model does not learn from: too short or long, mostly symbols, broken, or told
before; each reason is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from sixfold.core.errors import DataError
from sixfold.core.units import counted
from sixfold.parts.table import BoolArray, IntArray
from sixfold.prepare.text.near_duplicates import near_duplicates
from sixfold.recipe.schema import Denoise
from sixfold.recipe.text_filters import TextFilters

# Control characters but tab and line ends, halves of pairs, private use, noncharacters, and the one that
# stands for what could not be decoded.
BROKEN: Final = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffd-\uffff]"
)
SYMBOL: Final = re.compile(r"[^\w\s]|_")


class KeptTexts(NamedTuple):
    """`rows`: int64, sorted, of the texts that stay; `notes`: a sentence for each reason."""

    rows: IntArray
    notes: tuple[str, ...]


def kept_texts(texts: Sequence[str], denoise: Denoise) -> KeptTexts:
    """In this order: broken texts, length, symbols, exact duplicates, near duplicates; a text counts for
    the first reason that it has. Raises DataError where none is left.
    """
    keep, notes = np.ones(len(texts), dtype=np.bool_), list[str]()
    for what, found in _reasons(denoise):
        rows = np.flatnonzero(keep)
        gone = rows[found([texts[row] for row in rows.tolist()])]
        keep[gone] = False
        if len(gone):
            share = f"{len(gone) / len(texts):.1%}"
            notes.append(f"{counted(len(gone), 'training text')} left out ({share}): {what}.")
    if len(texts) and not keep.any():
        raise DataError(
            "prepare.denoise.texts",
            "training texts that stay",
            f"none of {len(texts):,}",
            "Widen its limits.",
        )
    return KeptTexts(np.flatnonzero(keep).astype(np.int64), tuple(notes))


Filter = Callable[[Sequence[str]], BoolArray]
"""Which of some texts are left out, [texts]."""


def _reasons(denoise: Denoise) -> list[tuple[str, Filter]]:
    filters = denoise.texts or TextFilters()
    found: list[tuple[str, Filter]] = []
    if filters.bad_unicode is not None:
        limit = filters.bad_unicode
        found.append(("broken characters", _above(BROKEN, limit)))
    if filters.least:
        least = filters.least
        found.append((f"shorter than {least:,} characters", _each(lambda text: len(text) < least)))
    if filters.most is not None:
        most = filters.most
        found.append((f"longer than {most:,} characters", _each(lambda text: len(text) > most)))
    if filters.symbols is not None:
        share = filters.symbols
        found.append((f"more than {share:.0%} symbols", _above(SYMBOL, share)))
    if denoise.duplicates == "drop":
        found.append(("the same as an earlier one", _repeated))
    if filters.near_duplicates == "drop":
        found.append(("nearly the same as an earlier one", _nearly_repeated))
    return found


def _each(test: Callable[[str], bool]) -> Filter:
    return lambda texts: np.array([test(text) for text in texts], dtype=np.bool_)


def _above(kind: re.Pattern[str], share: float) -> Filter:
    """Texts of which more than `share` of the characters match."""
    return _each(lambda text: len(kind.findall(text)) > share * len(text))


def _repeated(texts: Sequence[str]) -> BoolArray:
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(text, n) != n for n, text in enumerate(texts)], dtype=np.bool_)


def _nearly_repeated(texts: Sequence[str]) -> BoolArray:
    gone = np.ones(len(texts), dtype=np.bool_)
    if len(texts):
        _, first = np.unique(near_duplicates(texts), return_index=True)
        gone[first] = False
    return gone
