"""A file of one table on the disk: what it is called, what it holds, and its bytes."""

from __future__ import annotations

import contextlib
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sixfold.core import archive, encoding
from sixfold.core.archive import WatchedFile
from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit

SIGNATURES: Final = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
}


@dataclass(frozen=True)
class DataFile:
    """A path that holds one table. `extension` looks through .gz and .zip: `a.csv.gz` is "csv".

    `encoding`: of its text, as the recipe says; None is UTF-8, if the file has no byte order mark
    that says otherwise. `memory`: what may be taken by what is made of it.
    """

    path: Path
    encoding: str | None = None
    memory: MemoryLimit | None = None

    def check(self) -> None:
        """Raises DataError when there is no such file, it is a folder, or it is empty."""
        if self.path.is_dir():
            raise DataError(str(self.path), "a file", "a folder", "Give the file inside it.")
        if not self.path.is_file():
            folder = self.path.parent
            near = (
                sorted(p.name for p in folder.glob("*") if p.is_file())[:10]
                if folder.is_dir()
                else []
            )
            beside = (
                f"Beside it: {', '.join(near)}."
                if near
                else f"The folder {folder} is empty or absent."
            )
            raise DataError(
                str(self.path), "a file", "no file of this name", f"Check the path. {beside}"
            )
        if self.path.stat().st_size == 0:
            raise DataError(
                str(self.path),
                "a table with a header and rows",
                "an empty file",
                "Check the export.",
            )

    @property
    def extension(self) -> str:
        """Lower case, without the dot; '' when the name has none. Raises DataError for a zip that
        is refused.
        """
        return archive.suffix(self.path)[1:]

    def open(self) -> contextlib.AbstractContextManager[WatchedFile]:
        """The table's bytes. Raises DataError when the compression is damaged, SystemFault when it
        cannot be read.
        """
        return archive.opened(self.path, self.memory)

    def text(self) -> contextlib.AbstractContextManager[WatchedFile]:
        """The table's text in UTF-8. Raises also DataError with line and byte of what is no text in
        its encoding.
        """
        return encoding.opened(self.path, self.encoding, self.memory)

    def check_text(self) -> None:
        """Raises DataError with line and byte of the first byte that is no text in the file's
        encoding.
        """
        encoding.check_text(self.path, self.encoding)

    def seekable(self) -> contextlib.AbstractContextManager[IO[bytes] | gzip.GzipFile]:
        """The same for readers that jump about; what is packed is unpacked in memory."""
        return archive.seekable(self.path, self.memory)

    def disguise(self, stream: WatchedFile) -> str:
        """What the first bytes say this is ("gzip", "Parquet"), or ''."""
        start = stream.read(4)
        return next((name for mark, name in SIGNATURES.items() if start.startswith(mark)), "")
