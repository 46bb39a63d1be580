"""Texts that a language model does not learn from: too short or long, mostly symbols, broken, or told
before; each reason is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError
from sixfold.core.units import counted
from sixfold.parts.stored_texts import DIGEST_BYTES, digest_of, distinct_rows
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
KEPT: Final = -1  # in place of a reason


class KeptTexts(NamedTuple):
    """`rows`: int64, sorted, of the texts that stay; `notes`: a sentence for each reason."""

    rows: IntArray
    notes: tuple[str, ...]


def kept_texts(texts: Sequence[str], denoise: Denoise) -> KeptTexts:
    """In this order: broken texts, length, symbols, exact duplicates, near duplicates; a text counts for
    the first reason that it has. Raises DataError where none is left.
    """
    found = _Reasons(np.full(len(texts), KEPT, dtype=np.int16), [])
    _judge(texts, found, _tests(denoise.texts or TextFilters()))
    if denoise.duplicates == "drop":
        found.leave_out("the same as an earlier one", _repeated(found.left(texts)))
    if denoise.texts is not None and denoise.texts.near_duplicates == "drop":
        found.leave_out("nearly the same as an earlier one", _nearly_repeated(found.left(texts)))
    rows = found.rows
    if len(texts) and not len(rows):
        raise DataError(
            "prepare.denoise.texts",
            "training texts that stay",
            f"none of {len(texts):,}",
            "Widen its limits.",
        )
    return KeptTexts(rows, found.notes())


@dataclass
class _Reasons:
    """`of_text`: int16 [texts] the place in `names` of the reason why each is left out, or KEPT."""

    of_text: npt.NDArray[np.int16]
    names: list[str]

    @property
    def rows(self) -> IntArray:
        """Of the texts that stay so far."""
        return np.flatnonzero(self.of_text == KEPT).astype(np.int64)

    def left(self, texts: Sequence[str]) -> Iterator[str]:
        """These texts."""
        return compress(texts, self.of_text == KEPT)

    def leave_out(self, name: str, gone: BoolArray) -> None:
        """Some of these, [texts that stay], for one more reason."""
        self.of_text[self.rows[gone]] = len(self.names)
        self.names.append(name)

    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason that a text has."""
        counts = np.bincount(self.of_text - KEPT, minlength=len(self.names) + 1)[1:].tolist()
        return tuple(
            f"{counted(count, 'training text')} left out ({count / len(self.of_text):.1%}): {name}."
            for name, count in zip(self.names, counts, strict=True)
            if count
        )


def _judge(texts: Sequence[str], found: _Reasons, tests: Sequence[_Test]) -> None:
    """Each text by itself; nothing is read where nothing is asked."""
    found.names += [test.name for test in tests]
    for row, text in enumerate(texts if tests else ()):
        found.of_text[row] = next((n for n, test in enumerate(tests) if test.fails(text)), KEPT)


class _Test(NamedTuple):
    """`fails`: whether a text is left out."""

    name: str
    fails: Callable[[str], bool]


def _tests(filters: TextFilters) -> list[_Test]:
    found = list[_Test]()
    if filters.bad_unicode is not None:
        found.append(_Test("broken characters", _above(BROKEN, filters.bad_unicode)))
    if filters.least:
        least = filters.least
        found.append(_Test(f"shorter than {least:,} characters", lambda text: len(text) < least))
    if filters.most is not None:
        most = filters.most
        found.append(_Test(f"longer than {most:,} characters", lambda text: len(text) > most))
    if filters.symbols is not None:
        share = filters.symbols
        found.append(_Test(f"more than {share:.0%} symbols", _above(SYMBOL, share)))
    return found


def _above(kind: re.Pattern[str], share: float) -> Callable[[str], bool]:
    """Texts of which more than `share` of the characters match."""

    def fails(text: str) -> bool:
        most = share * len(text)
        return any(count > most for count, _ in enumerate(kind.finditer(text), start=1))

    return fails


def _repeated(texts: Iterable[str]) -> BoolArray:
    digests = bytearray()
    for text in texts:
        digests += digest_of(text.encode("utf-8", "surrogatepass"))
    first_rows, _ = distinct_rows(np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2))
    gone = np.ones(len(digests) // DIGEST_BYTES, dtype=np.bool_)
    gone[first_rows] = False
    return gone


def _nearly_repeated(texts: Iterable[str]) -> BoolArray:
    groups = near_duplicates(texts)
    gone = np.ones(len(groups), dtype=np.bool_)
    gone[np.unique(groups, return_index=True)[1]] = False
    return gone
