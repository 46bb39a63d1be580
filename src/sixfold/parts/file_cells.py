"""Files that stand in cells of a Parquet file, as bytes (encoded images, say): each has a name, by
which it is read alone.

A Parquet file gives no single cell, so a column is written once, batch by batch, into one file of
bytes, which is read in places. What is held is a page of the file, decoded, and a batch: how large its pages are, whoever
wrote it has decided.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from sixfold.core import archive
from sixfold.core.errors import BudgetError, DataError
from sixfold.core.units import show_bytes
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.table import IntArray

STEP_BYTES: Final = 16 << 20  # of a column decoded at once
BUFFER_BYTES: Final = (
    1 << 20
)  # of the file: else, or with its `pre_buffer`, pyarrow reads a whole column of a row group
NO_CELL: Final = -1  # length of an empty cell
FIELD: Final = "bytes"  # of a structure that holds a file, as Hugging Face's data sets write them
_NAME = re.compile(
    r"(?P<path>.+), column '(?P<column>.*)', row (?P<row>\d{1,3}(?:,\d{3})*)", re.DOTALL
)


class FileCells(pa.ExtensionType):  # type: ignore[misc]
    """The type of a source's column of such files: their names."""

    def __init__(self) -> None:
        super().__init__(pa.string(), "sixfold.file_cells")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""  # there is nothing to say of it

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Self:
        return cls()

    def __str__(self) -> str:
        return "bytes"


def holds_files(kind: pa.DataType) -> bool:
    """Whether a column of a Parquet file holds bytes: as they are, or in the structure of a data
    set of Hugging Face.
    """
    if pa.types.is_struct(kind):
        place = kind.get_field_index(FIELD)
        return place >= 0 and holds_files(kind.field(place).type)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def names(path: Path, column: str, rows: int) -> pa.ChunkedArray:
    """The column of a source: a name for each row, whether the cell is empty or not."""
    held = pa.array([name_of(path, column, row) for row in range(rows)], pa.string())
    return pa.chunked_array([pa.ExtensionArray.from_storage(FileCells(), held)])


def name_of(path: Path, column: str, row: int) -> str:
    """ "photos.parquet, column 'photo', row 17": rows are counted from 0, and shown from 1."""
    return f"{path.absolute()}, column '{column}', row {row + 1:,}"


def content(name: str) -> bytes:
    """What a file holds: one with a path, or one in a cell. Raises DataError with its name where it
    cannot be read.
    """
    found = _NAME.fullmatch(name)
    try:
        if found is None:
            return Path(name).read_bytes()
        return _unpacked(Path(found["path"]), found["column"]).content(
            int(found["row"].replace(",", "")) - 1, name
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            name, "a file that can be read", reason, "Check path and permissions."
        ) from None


def ending_of(name: str) -> str:
    """`.png`; of a file in a cell that of the file that holds it."""
    found = _NAME.fullmatch(name)
    return Path(found["path"] if found else name).suffix.lower()


def state_of(name: str) -> tuple[str, int, int]:
    """Name, size and time of change of the file, or of the one that holds it: another state where
    it may have changed.
    """
    found = _NAME.fullmatch(name)
    try:
        held = Path(found["path"] if found else name).stat()
    except OSError:
        return name, -1, -1
    return name, held.st_size, held.st_mtime_ns


@dataclass(frozen=True)
class _Unpacked:
    """A column's cells one behind the other in a file of bytes; `places`: int64 [rows, 2], start
    and length.
    """

    path: Path
    places: IntArray

    def content(self, row: int, name: str) -> bytes:
        start, length = (int(number) for number in self.places[row])
        if length == NO_CELL:
            raise DataError(name, "the bytes of a file", "an empty cell", "Leave the row out.")
        with self.path.open("rb", buffering=0) as file:
            found = os.pread(file.fileno(), length, start)
        if len(found) != length:
            raise DataError(
                str(self.path), f"{length:,} bytes at {start:,}", "a shorter file", "Run again."
            )
        return found


_LOCK: Final = threading.Lock()
_HELD: Final[dict[Path, _Unpacked]] = {}


def _unpacked(path: Path, column: str) -> _Unpacked:
    """Written now, or before, perhaps by another process of the run. Raises DataError, BudgetError,
    OSError.
    """
    held = path.stat()
    key = hashlib.sha256(
        f"{path}\n{held.st_size}\n{held.st_mtime_ns}\n{column}".encode()
    ).hexdigest()[:16]
    with _LOCK:
        return _written(path, column, SCRATCH.folder() / key)


def _written(path: Path, column: str, target: Path) -> _Unpacked:
    if target in _HELD and _HELD[target].path.exists():
        return _HELD[target]
    data, index = target.with_suffix(".cells"), target.with_suffix(".npy")
    if not index.exists():
        aside = target.with_suffix(f".{os.getpid()}.tmp")
        try:
            places = _write(path, column, aside)
            aside.replace(data)
            with aside.open("wb") as file:
                np.save(file, places, allow_pickle=False)
            aside.replace(index)
        finally:
            aside.unlink(missing_ok=True)
    found = _HELD[target] = _Unpacked(data, np.load(index, allow_pickle=False))
    return found


def _write(path: Path, column: str, target: Path) -> IntArray:
    """All cells of a column into a file; a batch in memory at once. Raises DataError,
    BudgetError.
    """
    places: list[tuple[int, int]] = []
    end = 0
    with target.open("wb") as file:
        for cell in _cells(path, column):
            places.append((end, NO_CELL if cell is None else len(cell)))
            if cell is not None:
                file.write(cell)
                end += len(cell)
            _check_disk(end, column)
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _cells(path: Path, column: str) -> Iterator[bytes | None]:
    try:
        with (
            archive.seekable(path) as stream,
            pa.parquet.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
        ):
            leaf = (
                f"{column}.{FIELD}"
                if pa.types.is_struct(file.schema_arrow.field(column).type)
                else column
            )
            step = rows_at_once(file.metadata, leaf)
            for batch in file.iter_batches(batch_size=step, columns=[leaf]):
                yield from _bytes_of(batch.column(column))
    except (pa.ArrowException, KeyError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0][:120]
        raise DataError(str(path), "a Parquet file", first, "Write the file again.") from None


def _bytes_of(cells: pa.Array) -> Iterator[bytes | None]:
    for cell in cells:
        value: Any = cell.as_py()
        yield value.get(FIELD) if isinstance(value, dict) else value


def rows_at_once(facts: Any, leaf: str) -> int:
    """Of a column of a Parquet file, so that about STEP_BYTES are decoded."""
    at = next((at for at in range(facts.num_columns) if facts.schema.column(at).path == leaf), None)
    if at is None or not facts.num_rows:
        return 1
    held = sum(
        facts.row_group(group).column(at).total_uncompressed_size
        for group in range(facts.num_row_groups)
    )
    return int(max(1, min(1024, STEP_BYTES * facts.num_rows // max(1, held))))


def _check_disk(used: int, column: str) -> None:
    most = SCRATCH.most_bytes
    if most is not None and used > most:
        raise BudgetError(
            "budget.disk",
            f"at most {show_bytes(most)}",
            f"more than that for the files in column '{column}', which are unpacked",
            "Raise budget.disk, or give the files as paths.",
        )
