"""What an uploaded file looks like: its format, its columns and their kinds, its first rows, and what is odd about them, read
from its start alone; its lines are counted to the end.

A look, not the reader: what counts is what the plan of the job says, which reads all of it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from sixfold.service.console import column_look

START_BYTES: Final = 64 << 10
ROWS: Final = 5
COLUMNS: Final = 50
CELL: Final = 80  # characters
COUNTED: Final = 256 << 20  # bytes whose lines are counted
BLOCK: Final = 1 << 20
LOOKED_AT: Final = 1000  # rows, for the kinds of columns
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
    """`columns`, their `kinds` and `rows` are empty where the format is not looked into. `row_count`: None where it is not known,
    `exact`: whether it is that of the whole file and not of its lines. `problems`: keys of the catalog, each with its facts.
    """

    format: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more_columns: int = 0
    kinds: tuple[str, ...] = ()
    row_count: int | None = None
    exact: bool = False
    problems: tuple[FileProblem, ...] = ()


@dataclass(frozen=True)
class FileProblem:
    """`word`: of the catalog, `odd.…`."""

    word: str
    facts: Mapping[str, object] = field(default_factory=dict)


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
    cut = len(start) >= START_BYTES
    whole = lines if not cut or text.endswith("\n") else lines[:-1]
    found = _json_lines(whole) or _table(whole)
    if "\ufffd" in text[:-4]:  # a character that the start cuts is no mistake
        found = replace(found, problems=(*found.problems, FileProblem("not_utf8")))
    if packed:
        rows = None if cut else found.row_count
        return replace(found, format=f"{found.format}, gzip", row_count=rows, exact=not cut)
    if not cut or found.row_count is None:
        return replace(found, exact=True)
    return replace(found, row_count=_lines_in(source, start, found.format))


def _lines_in(source: BinaryIO, start: bytes, form: str) -> int | None:
    """Rows by the lines of the whole file; None of one that is too long to be counted while somebody waits."""
    count, read, last = start.count(b"\n"), len(start), start[-1:]
    while block := source.read(BLOCK):
        count, read, last = count + block.count(b"\n"), read + len(block), block[-1:]
        if read > COUNTED:
            return None
    count += last != b"\n"
    return count if form == "JSON lines" else count - 1


def _unpacked(start: bytes) -> bytes:
    """As much as the packed start holds, and no more than a start: a small file may unpack to a large one."""
    block = b""
    with suppress(EOFError, OSError, ValueError), gzip.open(io.BytesIO(start)) as file:
        while len(block) < START_BYTES and (new := file.read1(START_BYTES - len(block))):
            block += new
    return block


def _json_lines(lines: Sequence[str]) -> FilePreview | None:
    rows: list[dict[str, object]] = []
    filled = [each for each in lines if each.strip()]
    for line in filled[:ROWS]:
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
    found = _preview("JSON lines", names, cells)
    kinds = tuple(column_look.kind_of_json([row.get(name) for row in rows]) for name in names)
    return replace(found, kinds=kinds[:COLUMNS], row_count=len(filled))


def _table(lines: Sequence[str]) -> FilePreview:
    if not lines:
        return FilePreview("empty")
    delimiter = max(DELIMITERS, key=lines[0].count)
    try:
        read = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return FilePreview("text")
    found = [row for row in read if row]
    if not found:
        return FilePreview("empty")
    name = {",": "CSV", "\t": "TSV"}.get(delimiter, f"CSV, separator {delimiter}")
    header, body = found[0], found[1:]
    rows = tuple(tuple(_cell(cell) for cell in row[:COLUMNS]) for row in body[:ROWS])
    columns = [
        [row[at] for row in body[:LOOKED_AT] if at < len(row)]
        for at in range(min(len(header), COLUMNS))
    ]
    kinds = tuple(
        column_look.kind_of(title, cells) for title, cells in zip(header, columns, strict=False)
    )
    odd = tuple(_odd(header, body, kinds))
    return replace(_preview(name, header, rows), kinds=kinds, row_count=len(body), problems=odd)


def _odd(
    header: Sequence[str], body: Sequence[Sequence[str]], kinds: Sequence[str]
) -> Iterator[FileProblem]:
    """What a reader would stumble over."""
    names = [name.strip() for name in header]
    blank = names.count("")
    if blank:
        yield FileProblem("blank_names", {"n": blank})
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        yield FileProblem("same_names", {"names": _cell(", ".join(twice))})
    if len(body) and all(column_look.is_number(name) for name in names):
        yield FileProblem("no_header")
    uneven = [at for at, row in enumerate(body) if len(row) != len(header)]
    if uneven:
        yield FileProblem("uneven", {"n": len(uneven), "row": uneven[0] + 1})
    empty = [name for name, kind in zip(names, kinds, strict=False) if kind == "empty"]
    if body and empty:
        yield FileProblem("empty_columns", {"names": _cell(", ".join(empty))})
    if not body:
        yield FileProblem("no_rows")


def _preview(name: str, columns: Sequence[str], rows: tuple[tuple[str, ...], ...]) -> FilePreview:
    shown = tuple(_cell(column) for column in columns[:COLUMNS])
    return FilePreview(name, shown, rows, max(0, len(columns) - COLUMNS))


def _cell(text: str) -> str:
    return text if len(text) <= CELL else f"{text[:CELL]}…"
