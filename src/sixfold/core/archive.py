"""A file as it lies on the disk: plain, .gz, or .zip with one member. Opened as bytes, never
unpacked. Standard library only.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from sixfold.core.errors import DataError, SystemFault
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import show_bytes

BOMB_BYTES: Final = 256 << 20  # what may be unpacked at any ratio; guessed
BOMB_RATIO: Final = 200  # unpacked to packed beyond that; guessed: tables here reach 10 to 30, deflate's limit is 1,032
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

BLOCK: Final = 1 << 20  # bytes after which the memory is looked at
ENCRYPTED: Final = 0x41  # bits of a member's flags: with a password, or strongly


class WatchedFile(io.RawIOBase):
    """Bytes passing through: stops what unpacks to far more than its file, and where there is no
    `memory` left for what is made of them; `watch` is shown every block.
    """

    def __init__(
        self,
        inner: IO[bytes] | gzip.GzipFile,
        path: Path,
        packed: bool,
        memory: MemoryLimit | None = None,
    ) -> None:
        self.inner, self.path, self.packed, self.memory = inner, path, packed, memory
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
        """The next bytes. Raises DataError when the file is damaged, or unpacks to too much."""
        if (
            self.packed and size < 0
        ):  # all there is; one byte beyond the limit is enough to refuse it
            size = self._limit - self._bytes + 1
        try:
            data = self.inner.read(size)
        except (EOFError, zlib.error, lzma.LZMAError, OSError, zipfile.BadZipFile) as error:
            if not self.packed:
                raise
            raise damaged(self.path, error) from None
        if self.memory is not None and (self._bytes + len(data)) // BLOCK > self._bytes // BLOCK:
            self.memory.check(str(self.path))
        self._bytes += len(data)
        if self.packed and self._bytes > self._limit:
            raise _bomb(self.path, f"more than {show_bytes(self._limit)}")
        if self.watch is not None:
            self.watch(data)
        return data


def suffix(path: Path) -> str:
    """Lower case, with the dot, of the table itself: of `a.csv.gz` it is ".csv", of a zip that of
    its one file.

    Raises DataError for a zip that is refused.
    """
    if path.suffix.lower() == ".gz":
        return Path(path.stem).suffix.lower()
    if path.suffix.lower() == ".zip":
        with _zip(path) as archive:
            return PurePosixPath(_member(archive, path).filename).suffix.lower()
    return path.suffix.lower()


@contextlib.contextmanager
def opened(path: Path, memory: MemoryLimit | None = None) -> Iterator[WatchedFile]:
    """The bytes of the table. Raises DataError when the compression is damaged, SystemFault when it
    may not be read, and BudgetError where what is made of them takes more than `memory`.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".gz":
            with gzip.open(path, "rb") as inner:
                yield WatchedFile(inner, path, packed=True, memory=memory)
        elif kind == ".zip":
            with _zip(path) as archive, archive.open(_member(archive, path)) as inner:
                yield WatchedFile(inner, path, packed=True, memory=memory)
        else:
            with path.open("rb") as plain:
                yield WatchedFile(plain, path, packed=False, memory=memory)
    except zipfile.BadZipFile as error:
        raise damaged(path, error) from None
    except PermissionError as error:
        raise SystemFault(
            str(path),
            "a file that may be read",
            error.strerror or str(error),
            "Change its permissions.",
        ) from None


@contextlib.contextmanager
def seekable(path: Path, memory: MemoryLimit | None = None) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The same for readers that jump about; what is packed is unpacked in memory, block by
    block.
    """
    with opened(path, memory) as stream:
        if not stream.packed:
            yield stream.inner
            return
        unpacked = io.BytesIO()
        while block := stream.read(BLOCK):
            unpacked.write(block)
        unpacked.seek(0)
        yield unpacked


def damaged(path: Path, error: Exception) -> DataError:
    """What to say of a .gz or .zip that does not unpack."""
    kind = "gzip" if path.suffix.lower() == ".gz" else "zip"
    return DataError(
        str(path), f"a whole {kind} file", f"damage ({error})", "Copy or download the file again."
    )


@contextlib.contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise damaged(path, error) from None
    with archive:
        yield archive


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one file in the archive, checked. What macOS adds in __MACOSX/ and folders do not
    count.
    """
    members = [
        m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(m.filename for m in members[:5]) or "none"
        raise DataError(
            str(path),
            "a zip with exactly one file in it",
            f"{len(members)} files ({names})",
            "Unpack it and give the file that is meant.",
        )
    member = members[0]
    name = PurePosixPath(member.filename.replace("\\", "/"))
    problems = (
        (name.is_absolute() or ".." in name.parts, "a name that leads out of the archive"),
        (stat.S_ISLNK(member.external_attr >> 16), "a link"),
        (bool(member.flag_bits & ENCRYPTED), "an encrypted file"),
        (member.compress_type not in METHODS, f"compression method {member.compress_type}"),
    )
    for refused, what in problems:
        if refused:
            raise DataError(
                f"{path}, {member.filename}",
                "a plain file in the zip",
                what,
                "Pack the file again.",
            )
    if member.file_size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size):
        raise _bomb(path, show_bytes(member.file_size))
    return member


def _bomb(path: Path, size: str) -> DataError:
    return DataError(
        str(path),
        f"a file that unpacks to at most {BOMB_RATIO} times its size",
        size,
        "If the file is meant to be so, unpack it first.",
    )
