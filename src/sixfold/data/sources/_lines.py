"""Where the records of a text file begin: read again, slowly, only when a message has to name a line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sixfold.core.errors import DataError
from sixfold.data.file import DataFile
from sixfold.parts.table import IntArray

BLOCK = 1 << 20  # bytes read at once


class Record(NamedTuple):
    """One record of a text file: the line it begins in, its number of fields, whether its quotes are closed."""

    line: int
    fields: int
    closed: bool


def records(lines: Iterable[str], separator: str) -> Iterator[Record]:
    """Every record that is not an empty line, the header included; quotes as pyarrow.csv reads them."""
    start, fields, inside = 0, 0, False
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix("\n")
        if not inside:
            if not line:
                continue
            start, fields = number, 1
        if '"' in line:
            added, inside = _scan(line, separator, inside)
            fields += added
        elif not inside:
            fields += line.count(separator)
        if not inside:
            yield Record(start, fields, True)
    if inside:
        yield Record(start, fields, False)


def _scan(line: str, separator: str, inside: bool) -> tuple[int, bool]:
    """Separators outside of quotes, and whether the line ends inside of them."""
    count, position, at_start = 0, 0, not inside
    while True:
        if at_start and line.startswith('"', position):
            inside, position = True, position + 1
        at_start = False
        while inside:
            end = line.find('"', position)
            if end < 0:
                return count, True
            inside = line.startswith('"', end + 1)  # two quotes are one of the text
            position = end + (2 if inside else 1)
        following = line.find(separator, position)
        if following < 0:
            return count, False
        count, position, at_start = count + 1, following + 1, True


def text_lines(file: DataFile) -> Iterator[str]:
    r"""Lines, each ending in \n whatever the file has; bytes that are not UTF-8 become surrogates."""
    with file.open() as stream:
        yield from io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", errors="surrogateescape")


class Places:
    """Row → "line 17". The file is read again at the first question, and remembered."""

    def __init__(self, starts: Callable[[], Iterable[int]]) -> None:
        self.starts = starts
        self._lines: IntArray | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            self._lines = np.fromiter(self.starts(), dtype=np.int64)
        return f"line {self._lines[row]:,}"


def check_utf8(file: DataFile) -> None:
    """Raises DataError with line and byte of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, offset, pending = 1, 0, 0
    with file.open() as stream:
        while True:
            block = stream.read(BLOCK)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                line += error.object[: error.start].count(b"\n")
                byte = error.object[error.start]
                raise DataError(
                    f"{file.path}, line {line:,}, byte {at:,}", "UTF-8 text", f"the byte 0x{byte:02X}",
                    "Save the file as UTF-8, for example with `iconv -f latin1 -t utf-8`.",
                ) from None  # fmt: skip
            if not block:
                return
            pending = len(decoder.getstate()[0])
            offset += len(block)
            line += block.count(b"\n")
