"""A file of rows as it lies on the disk: plain, .gz, or .zip with one member. Opened as bytes, never unpacked."""

from __future__ import annotations

import contextlib
import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from sixfold.core.errors import DataError
from sixfold.core.paths import system_fault
from sixfold.core.units import show_bytes

BOMB_BYTES: Final = 256 << 20  # what may be unpacked at any ratio; guessed
BOMB_RATIO: Final = 200  # unpacked to packed beyond that; guessed: tables here reach 10 to 30, deflate's limit is 1,032
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
SIGNATURES: Final = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
}


class Watched(io.RawIOBase):
    """Bytes passing through: stops what unpacks to far more than its file; `watch` is shown every block."""

    def __init__(self, inner: IO[bytes] | gzip.GzipFile, path: Path, packed: bool) -> None:
        self.inner, self.path, self.packed = inner, path, packed
        self.watch: Callable[[bytes], None] | None = None
        self._bytes = 0
        self._limit = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """Yes: what is asked before anything is read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes into `buffer`; how many they are."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises DataError when the file unpacks to too much."""
        data = self.inner.read(size)
        self._bytes += len(data)
        if self.packed and self._bytes > self._limit:
            raise _bomb(self.path, f"more than {show_bytes(self._limit)}")
        if self.watch is not None:
            self.watch(data)
        return data


@dataclass(frozen=True)
class DataFile:
    """A path that holds one table. `extension` looks through .gz and .zip: `a.csv.gz` is "csv"."""

    path: Path

    def check(self) -> None:
        """Raises DataError when there is no such file, it is a folder, or it is empty."""
        if self.path.is_dir():
            raise DataError(str(self.path), "a file", "a folder", "Give the file inside it.")
        if not self.path.is_file():
            folder = self.path.parent
            near = sorted(p.name for p in folder.glob("*") if p.is_file())[:10] if folder.is_dir() else []
            beside = f"Beside it: {', '.join(near)}." if near else f"The folder {folder} is empty or absent."
            raise DataError(str(self.path), "a file", "no file of this name", f"Check the path. {beside}")
        if self.path.stat().st_size == 0:
            raise DataError(str(self.path), "a table with a header and rows", "an empty file", "Check the export.")

    @property
    def extension(self) -> str:
        """Lower case, without the dot; '' when the name has none. Raises DataError for a zip that is refused."""
        suffix = self.path.suffix.lower()
        if suffix == ".gz":
            return Path(self.path.stem).suffix.lower()[1:]
        if suffix == ".zip":
            with self._zip() as archive:
                return PurePosixPath(self._member(archive).filename).suffix.lower()[1:]
        return suffix[1:]

    @contextlib.contextmanager
    def open(self) -> Iterator[Watched]:
        """The table's bytes. Raises DataError when the compression is damaged, SystemFault when it cannot be read."""
        suffix = self.path.suffix.lower()
        try:
            if suffix == ".gz":
                with gzip.open(self.path, "rb") as inner:
                    yield Watched(inner, self.path, packed=True)
            elif suffix == ".zip":
                with self._zip() as archive, archive.open(self._member(archive)) as inner:
                    yield Watched(inner, self.path, packed=True)
            else:
                with self.path.open("rb") as plain:
                    yield Watched(plain, self.path, packed=False)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            kind = "gzip" if suffix == ".gz" else "zip"
            raise DataError(
                str(self.path), f"a whole {kind} file", f"damage ({error})", "Copy or download the file again."
            ) from None
        except PermissionError as error:
            raise system_fault(self.path, error) from None

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes] | gzip.GzipFile]:
        """The same for readers that jump about; what is packed is unpacked in memory."""
        with self.open() as stream:
            yield io.BytesIO(stream.read()) if stream.packed else stream.inner

    def disguise(self, stream: Watched) -> str:
        """What the first bytes say this is ("gzip", "Parquet"), or ''."""
        start = stream.read(4)
        return next((name for mark, name in SIGNATURES.items() if start.startswith(mark)), "")

    @contextlib.contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        try:
            archive = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise DataError(
                str(self.path), "a whole zip file", f"damage ({error})", "Copy or download the file again."
            ) from None
        with archive:
            yield archive

    def _member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        """The one file in the archive, checked. What macOS adds in __MACOSX/ and folders do not count."""
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if len(members) != 1:
            names = ", ".join(m.filename for m in members[:5]) or "none"
            raise DataError(
                str(self.path), "a zip with exactly one file in it", f"{len(members)} files ({names})",
                "Unpack it and give the file that is meant.",
            )  # fmt: skip
        member = members[0]
        name = PurePosixPath(member.filename.replace("\\", "/"))
        problems = (
            (name.is_absolute() or ".." in name.parts, "a name that leads out of the archive"),
            (stat.S_ISLNK(member.external_attr >> 16), "a link"),
            (bool(member.flag_bits & 1), "an encrypted file"),
            (member.compress_type not in METHODS, f"compression method {member.compress_type}"),
        )
        for refused, what in problems:
            if refused:
                raise DataError(
                    f"{self.path}, {member.filename}", "a plain file in the zip", what, "Pack the file again."
                )
        if member.file_size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size):
            raise _bomb(self.path, show_bytes(member.file_size))
        return member


def _bomb(path: Path, size: str) -> DataError:
    return DataError(
        str(path), f"a file that unpacks to at most {BOMB_RATIO} times its size", size,
        "If the file is meant to be so, unpack it first.",
    )  # fmt: skip
