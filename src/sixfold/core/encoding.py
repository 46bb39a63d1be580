"""Text in any encoding as UTF-8, block by block; and where a byte stands that is no text. Standard
library only.
"""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sixfold.core import archive
from sixfold.core.archive import WatchedFile
from sixfold.core.errors import DataError, RecipeError
from sixfold.core.memory import MemoryLimit

BLOCK: Final = 1 << 20  # bytes read at once
UTF8: Final = "utf-8"
BYTE_ORDER: Final = (  # the longer ones first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
USUAL: Final = "cp1252 (Windows in much of Europe), latin-1, utf-16, cp932, gb18030"


def check_codec(name: str) -> None:
    """Raises RecipeError where Python has no such encoding of text."""
    try:
        b"ab".decode(name, "replace")
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        raise RecipeError(
            "data.read.encoding",
            "the name of an encoding of text, as Python knows it",
            repr(name),
            f"Usual: {USUAL}.",
        ) from None


def encoding_of(path: Path, notes: str | None) -> str:
    """By the byte order mark at the file's start, which leaves no doubt; else as it was said; else
    UTF-8.
    """
    with archive.opened(path) as stream:
        start = stream.read(4)
    marked = next((name for mark, name in BYTE_ORDER if start.startswith(mark)), None)
    return marked or codecs.lookup(notes or UTF8).name


@contextlib.contextmanager
def opened(
    path: Path, notes: str | None = None, memory: MemoryLimit | None = None
) -> Iterator[WatchedFile]:
    """The bytes of a table's text in UTF-8, whatever the file is encoded in. A file in UTF-8 passes
    as it is, unchecked.

    Raises DataError with line and byte of what is no text in another encoding, and what
    `archive.opened` raises.
    """
    encoding = encoding_of(path, notes)
    with archive.opened(path, memory) as stream:
        if encoding == UTF8:
            yield stream
        else:
            yield WatchedFile(
                io.BufferedReader(_Transcoded(stream, path, encoding)), path, packed=False
            )


class _Transcoded(io.RawIOBase):
    """A stream of bytes in `encoding`, read as UTF-8."""

    def __init__(self, inner: WatchedFile, path: Path, encoding: str) -> None:
        self.inner, self.path, self.encoding = inner, path, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._place = _Place()

    def readable(self) -> bool:
        """Yes: what is asked before anything is read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes into `buffer`; how many they are. Raises DataError."""
        while not self._ready:
            block = self.inner.read(BLOCK)
            text = self._decoded(block)
            self._ready = text.encode()
            if not block:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decoded(self, block: bytes) -> str:
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = self._place.bytes - self._place.pending + error.start
            line = self._place.lines + error.object[: error.start].count(b"\n")
            raise no_text(
                self.path, BadByte(line, at, error.object[error.start]), self.encoding
            ) from None
        self._place.lines += text.count("\n")
        self._place.bytes += len(block)
        self._place.pending = len(self._decoder.getstate()[0])
        return text


class _Place:
    """How far a file was read: the line, the bytes, and those of them that are no whole letter
    yet.
    """

    def __init__(self) -> None:
        self.lines, self.bytes, self.pending = 1, 0, 0


def check_text(path: Path, notes: str | None = None) -> None:
    """Raises DataError with line and byte of the first byte that is no text in the file's
    encoding.
    """
    encoding = encoding_of(path, notes)
    with archive.opened(path) as stream:
        checked = _Transcoded(stream, path, encoding)
        buffer = bytearray(BLOCK)
        while checked.readinto(buffer):
            pass


@dataclass(frozen=True)
class BadByte:
    """A byte that is no text: its line from 1 on, its offset in the file, its value."""

    line: int
    offset: int
    value: int


def no_text(path: Path, byte: BadByte, encoding: str) -> DataError:
    """What to say of a byte that is no text in `encoding`."""
    remedy = (
        "Say data.read: {encoding: cp1252}, or what else it is written in; or save the file as UTF-8."
        if encoding == UTF8
        else "Correct data.read.encoding, or leave it out and save the file as UTF-8."
    )
    name = "UTF-8" if encoding == UTF8 else encoding
    where = f"{path}, line {byte.line:,}, byte {byte.offset:,}"
    return DataError(where, f"{name} text", f"the byte 0x{byte.value:02X}", remedy)
