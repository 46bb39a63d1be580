"""A file as a raw value of a row (an image, a recording): bytes, base64, or, for callers on this
machine, its path.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sixfold.bundle.modality_reader import Cell, CellError, reader_of
from sixfold.core.errors import DataError, RowError
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import Signature

MOST_BYTES: Final = 64 << 20  # of a file; `bundle.images` refuses what is larger
LONGEST_PATH: Final = 4096


def file_columns(signature: Signature) -> tuple[str, ...]:
    """Names of the columns whose values are files."""
    return tuple(each.name for each in signature.inputs if in_files(each.type))


def with_paths(rows: Any, names: Sequence[str], folder: Path) -> Any:
    """Rows in which a text that names a file, in one of the columns `names`, is its path; relative
    ones start from `folder`.

    For callers on this machine alone: what comes over the network is never a path.
    """
    if not names:
        return rows
    if isinstance(rows, Mapping):
        return {
            name: [_path(v, folder) for v in cells] if name in names else cells
            for name, cells in rows.items()
        }
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    if isinstance(rows, str | bytes) or not isinstance(rows, Sequence):
        return rows
    return [_row_with_paths(row, names, folder) for row in rows]


def in_files(kind: str) -> bool:
    """Whether the values of a kind of column are files."""
    return kind not in PLAIN_KINDS and reader_of(kind).in_files


def _row_with_paths(row: Any, names: Sequence[str], folder: Path) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {**row, **{name: _path(row[name], folder) for name in names if name in row}}


def _path(value: Any, folder: Path) -> Any:
    """A path where the text names a file, or looks like a file's name; anything else as it is."""
    if not isinstance(value, str) or len(value) > LONGEST_PATH or "\0" in value:
        return value
    path = folder / value
    try:
        return path if path.is_file() else value
    except OSError:
        return value


def content_of(value: Any) -> bytes | None:
    """The content of the file that a raw value is: bytes, a path (never a text that names one), or
    base64; else None.

    Raises DataError for a file that cannot be read.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, str) and len(value) <= 2 * MOST_BYTES:
        text = value.partition(",")[2] if value.startswith("data:") else value
        try:
            return base64.b64decode(text.strip(), validate=True) or None
        except (binascii.Error, ValueError):
            return None
    return None


def file_cell(noun: str) -> Cell:
    """Reads a raw value as the content of its file; `noun`: `an image`, for messages."""

    def content(value: Any) -> bytes:
        try:
            found = content_of(value)
        except DataError as error:
            raise CellError(f"{noun} that can be read ({error.where}: {error.found})") from None
        if found is None:
            raise CellError(f"{noun}: its bytes, as base64 where it is text")
        return found

    return content


@contextmanager
def refused_rows() -> Iterator[None]:
    """Inside, a file that cannot be used is a fault of its row."""
    try:
        yield
    except DataError as error:
        raise RowError(error.where, error.expected, error.found, error.remedy) from None


def seeming(content: bytes) -> str:
    """What a file that is of no known format seems to be."""
    start = content[:64]
    if b"\0" not in start and all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        return "text"
    return f"bytes that begin with {start[:8].hex(' ')}"


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)  # `decode` refuses what is larger
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            str(path), "a file that can be read", reason, "Check path and permissions."
        ) from None
