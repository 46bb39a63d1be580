"""Texts in one file of the run, of which only places are in memory: a corpus need not fit into it."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.state import State

Places = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
DIGEST_BYTES: Final = 16  # of a text: two that differ have the same with probability 2^-128


@dataclass(frozen=True, eq=False)
class StoredTexts(State, Sequence[str]):
    """`file`: texts in UTF-8, one behind the other. `starts`, `lengths`: int64 [texts], in bytes;
    `digests`: uint64 [texts, 2]. A text is read when it is asked for, and not kept.
    """

    file: str
    starts: Places
    lengths: Places
    digests: Words

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> StoredTexts: ...
    def __getitem__(self, place: int | slice) -> str | StoredTexts:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return next(iter(self.take(np.array([place % len(self)]))))

    def __iter__(self) -> Iterator[str]:
        with Path(self.file).open("rb", buffering=0) as file:
            for start, length in zip(self.starts, self.lengths, strict=True):
                content = os.pread(file.fileno(), length, start)
                if len(content) != length:
                    found, remedy = "a shorter file", "Delete the run folder and run again."
                    raise DataError(self.file, f"{length:,} bytes at {start:,}", found, remedy)
                yield content.decode("utf-8", "surrogatepass")

    def take(self, rows: Places) -> StoredTexts:
        """The texts at `rows`, an empty one for a row of -1; reads nothing."""
        gone = rows < 0
        lengths = np.where(gone, 0, self.lengths[rows])
        return StoredTexts(self.file, self.starts[rows], lengths, self.digests[rows])

    def distinct(self) -> DistinctTexts:
        """Each text once, in the order of their first places; empty ones are none."""
        rows = np.flatnonzero(self.lengths)
        first_rows, numbers = distinct_rows(self.digests[rows])
        codes = np.full(len(self), -1, dtype=np.int32)
        codes[rows] = numbers
        return DistinctTexts(self.take(rows[first_rows]), codes)

    @property
    def digest(self) -> str:
        """SHA-256, of what stands for the texts."""
        return sha256(np.ascontiguousarray(self.digests).data).hexdigest()


class DistinctTexts(NamedTuple):
    """`codes`: int32 [texts], places in `levels`, -1 for an empty text."""

    levels: StoredTexts
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class DerivedTexts(Sequence[str]):
    """What `form` makes of each text, whenever it is asked for."""

    texts: Sequence[str]
    form: Callable[[str], str]

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> DerivedTexts: ...
    def __getitem__(self, place: int | slice) -> str | DerivedTexts:
        if isinstance(place, slice):
            return DerivedTexts(self.texts[place], self.form)
        return self.form(self.texts[place])

    def __iter__(self) -> Iterator[str]:
        return map(self.form, self.texts)


def store_texts(texts: Iterable[str]) -> StoredTexts:
    """Write them into a file of the scratch folder, whose name says what it holds: another process of
    the run writes the same. Raises BudgetError where the disk has no room.
    """
    lengths, digests = array("q"), bytearray()
    with tempfile.NamedTemporaryFile(dir=SCRATCH.folder(), suffix=".tmp", delete=False) as file:
        aside = Path(file.name)
        try:
            for text in texts:
                content = text.encode("utf-8", "surrogatepass")
                lengths.append(len(content))
                digests += digest_of(content)
                file.write(content)
                SCRATCH.check_disk(file.tell(), "room for all texts")
        except BaseException:
            aside.unlink()
            raise
    path = aside.with_name(f"texts-{sha256(digests).hexdigest()[:32]}.utf8")
    aside.replace(path)
    sizes = np.array(lengths, dtype=np.int64)
    words = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    return StoredTexts(str(path), np.cumsum(sizes) - sizes, sizes, words)


def few_at_once(texts: Iterable[str], count: int, characters: int) -> Iterator[list[str]]:
    """Texts in their order, up to `count` of them, or about so many characters."""
    found, size = list[str](), 0
    for text in texts:
        found.append(text)
        size += len(text)
        if len(found) == count or size >= characters:
            yield found
            found, size = [], 0
    if found:
        yield found


def digest_of(content: bytes) -> bytes:
    """DIGEST_BYTES that stand for a text."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def distinct_rows(digests: Words) -> tuple[Places, Places]:
    """The first row of each digest, in their order; and [rows] the number of each row's digest among
    these. `digests`: [rows, 2].
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of equal ones the first row first
    other = np.ones(len(order), dtype=np.bool_)
    other[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    first_rows = order[other]
    number = np.empty(len(first_rows), dtype=np.int64)
    number[np.argsort(first_rows)] = np.arange(len(first_rows))
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = number[np.cumsum(other) - 1]
    return np.sort(first_rows), numbers
