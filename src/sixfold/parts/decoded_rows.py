"""Images and recordings on disk, each decoded once to a row of numbers in one file of the run.

Never all in memory: what is read is read from the file at its place, so that the process holds a
batch and no more.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, DataError
from sixfold.core.units import counted, show_bytes
from sixfold.parts.file_cells import content
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import IntArray

NAMED: Final = 5  # unusable files that a message names
AT_ONCE: Final = 64  # files between two writes


class UnusableFile(NamedTuple):
    """An image or a recording that could not be used, and why."""

    row: int
    reason: DataError


@dataclass(frozen=True)
class DecodedRows(ABC):
    """Rows of numbers in one file, one for each image or recording; `rows` says which of them this
    is a view of.

    `digests`: the SHA-256 of every encoded file, in their order.
    """

    path: Path
    digests: tuple[bytes, ...]
    rows: IntArray

    noun: ClassVar[str]
    dtype: ClassVar[np.dtype[Any]]

    @property
    @abstractmethod
    def cells(self) -> int:
        """Numbers of a row."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, rows=self.rows[rows])

    def read(self, rows: IntArray) -> npt.NDArray[Any]:
        """[len(rows), cells] of rows of this view, in the order asked for. Raises DataError where
        the file is shorter than it was written.
        """
        found, size = (
            np.empty((len(rows), self.cells), self.dtype),
            self.dtype.itemsize * self.cells,
        )
        with self.path.open("rb", buffering=0) as file:
            for at, place in enumerate(self.rows[rows].tolist()):
                if os.preadv(file.fileno(), [found[at].data], place * size) != size:
                    expected = f"{len(self.digests):,} cached {self.noun}s"
                    remedy = "Delete the run folder and run again."
                    raise DataError(str(self.path), expected, "a shorter file", remedy)
        return found


R = TypeVar("R", bound=DecodedRows)
R_co = TypeVar("R_co", bound=DecodedRows, covariant=True)


@dataclass(frozen=True)
class RowFeatures(StoredFeatures, Generic[R]):
    """Decoded rows as features [rows, cells] that stay on disk: a slice or an array of rows is read
    when it is asked for.
    """

    cache: R

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.cache), self.cache.cells

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return self.cache.dtype

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, rows: slice | IntArray) -> npt.NDArray[Any]:
        """[rows, cells]."""
        return self.cache.read(np.arange(len(self))[rows])

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, cache=self.cache.take(rows))

    def toarray(self) -> npt.NDArray[np.float32]:
        """All of them, in memory, for who can do no other."""
        return self[:].astype(np.float32)


class Decoder(Protocol[R_co]):
    """Makes rows of one kind of encoded files; equal ones make equal rows."""

    @property
    def ending(self) -> str:
        """`.pixels`: of the names of files of rows."""

    @property
    def row_bytes(self) -> int:
        """Of a row."""

    def describe(self) -> str:
        """`images of 224 × 224, color`: what all files become."""

    def identity(self) -> Any:
        """What rows depend on besides the files, as JSON."""

    def decoding(self) -> Callable[[bytes, str], npt.NDArray[Any]]:
        """Makes the row of an encoded file, by its name in messages; several threads may call it.
        What it makes raises DataError.
        """

    def opened(self, path: Path, digests: tuple[bytes, ...], rows: IntArray) -> R_co:
        """A file that was filled."""

    def remedy(self, share: float) -> str:
        """What makes rows so small that the file has `share` of its bytes."""

    def refused(self, faults: Sequence[UnusableFile]) -> DataError:
        """Of one or more."""


def fill(
    names: Sequence[str], decoder: Decoder[R], path: Path, most_bytes: int | None = None
) -> tuple[R, tuple[UnusableFile, ...]]:
    """Decode every file once, on all cores, into the file `path`: the rows of those that could be
    used, and the others with their reasons. `most_bytes`: of disk, None for any.

    Raises DataError where none can be used, BudgetError where the file would be too large.
    """
    _check_disk(len(names), decoder, most_bytes)
    decode, digests, faults = decoder.decoding(), list[bytes](), list[UnusableFile]()

    def made(row: int) -> tuple[bytes, bytes] | DataError:
        """Digest and row, or why there are none."""
        try:
            encoded = content(names[row])
            return hashlib.sha256(encoded).digest(), decode(encoded, names[row]).tobytes()
        except DataError as error:
            return error

    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file, ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(names), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(names)))
            for row, one in zip(rows, threads.map(made, rows), strict=True):
                if isinstance(one, DataError):
                    faults.append(UnusableFile(row, one))
                    continue
                digests.append(one[0])
                file.write(one[1])
    if not digests:
        aside.unlink()
        raise decoder.refused(faults)
    aside.replace(path)
    return decoder.opened(path, tuple(digests), np.arange(len(digests))), tuple(faults)


def describe_faults(faults: Sequence[UnusableFile], files: int, noun: str) -> str:
    """What was skipped, for the user: how many, and the first of them by name."""
    named = "; ".join(f"{fault.reason.where}: {fault.reason.found}" for fault in faults[:NAMED])
    more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    are = "is" if len(faults) == 1 else "are"
    return f"{len(faults):,} of {counted(files, noun)} cannot be used and {are} skipped ({named}{more})."


def refused(faults: Sequence[UnusableFile], noun: str) -> DataError:
    """The first by name, the next few too, and that they can be skipped."""
    first = faults[0].reason
    remedy = f"{first.remedy} Or skip such {noun}s: data.read: {{unreadable: skip}}."
    others = ", ".join(fault.reason.where for fault in faults[1:NAMED])
    found = f"{first.found}; others, too: {others}" if len(faults) > 1 else first.found
    return DataError(first.where, first.expected, found, remedy)


def _check_disk(rows: int, decoder: Decoder[R], most_bytes: int | None) -> None:
    needed = rows * decoder.row_bytes
    if most_bytes is not None and needed > most_bytes:
        room = f"room for {rows:,} {decoder.describe()} ({show_bytes(needed)})"
        remedy = f"Raise budget.disk, or {decoder.remedy(most_bytes / needed)}."
        raise BudgetError("budget.disk", room, show_bytes(most_bytes), remedy)
