"""What an uploaded file looks like: its format, its columns and its first rows, read from its start alone.

A look, not the reader: the types of columns and the rows that count are told by the plan of the job.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

START_BYTES: Final = 64 << 10
ROWS: Final = 5
COLUMNS: Final = 50
CELL: Final = 80  # characters
DELIMITERS: Final = ",;\t|"
BINARY: Final = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "Excel or zip",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "RIFF",
}


@dataclass(frozen=True)
class FilePreview:
    """`columns` and `rows` are empty where the format is not looked into."""

    format: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more_columns: int = 0


def look(source: BinaryIO) -> FilePreview:
    """Of an open file, from where it stands."""
    start = source.read(START_BYTES)
    packed = start[:2] == b"\x1f\x8b"
    if packed:
        start = _unpacked(start)
    for mark, name in BINARY.items():
        if start.startswith(mark):
            return FilePreview(name)
    text = start.decode("utf-8-sig", "replace")
    if "\x00" in text:
        return FilePreview("binary")
    lines = text.splitlines()
    whole = lines if len(start) < START_BYTES or text.endswith("\n") else lines[:-1]
    found = _json_lines(whole) or _table(whole)
    return replace(found, format=f"{found.format}, gzip") if packed else found


def _unpacked(start: bytes) -> bytes:
    """As much as the packed start holds, and no more than a start: a small file may unpack to a large one."""
    block = b""
    with suppress(EOFError, OSError, ValueError), gzip.open(io.BytesIO(start)) as file:
        while len(block) < START_BYTES and (new := file.read1(START_BYTES - len(block))):
            block += new
    return block


def _json_lines(lines: Sequence[str]) -> FilePreview | None:
    rows: list[dict[str, object]] = []
    for line in [each for each in lines if each.strip()][:ROWS]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        rows.append(value)
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = tuple(
        tuple(
            _cell(json.dumps(row[name], ensure_ascii=False)) if name in row else ""
            for name in names[:COLUMNS]
        )
        for row in rows
    )
    return _preview("JSON lines", names, cells)


def _table(lines: Sequence[str]) -> FilePreview:
    if not lines:
        return FilePreview("empty")
    delimiter = max(DELIMITERS, key=lines[0].count)
    try:
        read = list(csv.reader(lines[: 20 * (ROWS + 1)], delimiter=delimiter))
    except csv.Error:
        return FilePreview("text")
    found = [row for row in read if row]
    if not found:
        return FilePreview("empty")
    name = {",": "CSV", "\t": "TSV"}.get(delimiter, f"CSV, separator {delimiter}")
    rows = tuple(tuple(_cell(cell) for cell in row[:COLUMNS]) for row in found[1 : ROWS + 1])
    return _preview(name, found[0], rows)


def _preview(name: str, columns: Sequence[str], rows: tuple[tuple[str, ...], ...]) -> FilePreview:
    shown = tuple(_cell(column) for column in columns[:COLUMNS])
    return FilePreview(name, shown, rows, max(0, len(columns) - COLUMNS))


def _cell(text: str) -> str:
    return text if len(text) <= CELL else f"{text[:CELL]}…"
