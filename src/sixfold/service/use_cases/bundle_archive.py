"""A zip file of a stranger, unpacked into a folder that nothing of it can leave.

Everything is looked at before a byte is unpacked: the end record, the central directory, and every local header, which must
say the same and lie one behind the other. Only what a bundle needs is allowed; the rest is refused, never mended.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sixfold.bundle.manifest import PLAIN_NAME
from sixfold.core.paths import safe_join
from sixfold.service.domain.errors import QuotaExceeded, Unprocessable

MOST_FILES: Final = 64  # a bundle has at most twenty
MOST_DIRECTORY: Final = 64 << 10  # bytes of the central directory: a kibibyte a file
MOST_RATIO: Final = 200  # JSON packs to a twentieth; guessed. Below SMALL nothing is a bomb
SMALL: Final = 1 << 20
CHUNK: Final = 1 << 20
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ALLOWED_FLAGS: Final = 0x0800 | 0x0008 | 0x0006  # UTF-8, sizes behind the data, deflate's level
SIZES_BEHIND: Final = 0x0008
END: Final = struct.Struct("<4s4H2LH")
LOCATOR: Final = struct.Struct("<4sLQL")
END_64: Final = struct.Struct("<4sQ2H2L4Q")
LOCAL: Final = struct.Struct("<4s5H3L2H")
FULL_16: Final = 0xFFFF  # "look into the other record"
FULL_32: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class DirectoryPlace:
    """Where the central directory lies in the file, and how many entries it has."""

    offset: int
    size: int
    entries: int


def unpack(source: BinaryIO, folder: Path, most_bytes: int) -> int:
    """The files of the archive in `folder`; how many bytes. Raises Unprocessable, QuotaExceeded before more than `most_bytes`
    are written.
    """
    place = _directory(source)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _check_entries(entries, place, most_bytes)
            _check_places(source, entries, place)
            files = [entry for entry in entries if not entry.is_dir()]
            return sum(_write(archive, entry, folder) for entry in files)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise refused("a whole zip file", str(error)[:200] or type(error).__name__) from None
    except (ValueError, struct.error) as error:
        if isinstance(error, Unprocessable | QuotaExceeded):
            raise
        raise refused("a zip file", type(error).__name__) from None


def refused(expected: str, found: str) -> Unprocessable:
    """Of the archive."""
    return Unprocessable(
        "the body", expected, found, "Send a zip of the bundle's files: sixfold models --upload."
    )


def _directory(source: BinaryIO) -> DirectoryPlace:
    """From the end record, which must be the last of the file. Bounded before zipfile reads a directory at once."""
    size = source.seek(0, 2)
    tail = _at(source, max(0, size - END.size - LOCATOR.size), END.size + LOCATOR.size)
    if len(tail) < END.size:
        raise refused("a zip file", f"{size} bytes")
    mark, disk, first, here, entries, length, offset, comment = END.unpack(tail[-END.size :])
    if mark != b"PK\x05\x06" or comment:
        raise refused("a zip file without a comment", "another end of the file")
    end, locator = size - END.size, tail[: -END.size]
    if locator.startswith(b"PK\x06\x07") and len(locator) == LOCATOR.size:
        end -= LOCATOR.size + END_64.size
        found = _large(source, end, locator)
        said = DirectoryPlace(offset, length, entries)
        if not _agrees(said, found):
            raise refused("one end of the archive", "two that differ")
    else:
        found = DirectoryPlace(offset, length, entries)
    if disk or first or here != entries:
        raise refused("an archive in one part", "one of several parts")
    if found.entries > MOST_FILES or found.size > MOST_DIRECTORY:
        raise refused(f"at most {MOST_FILES} files", f"{found.entries:,}")
    if not found.entries or found.offset + found.size != end:
        raise refused("a directory right before the end of the file", "something else there")
    return found


def _large(source: BinaryIO, at: int, locator: bytes) -> DirectoryPlace:
    """The record of archives above 4 GiB, which stands right before its locator."""
    _, disk, where, disks = LOCATOR.unpack(locator)
    record = _at(source, max(0, at), END_64.size)
    if where != at or disk or disks > 1 or len(record) < END_64.size:
        raise refused("a zip64 record before its locator", "none")
    mark, rest, _, _, one, other, here, entries, length, offset = END_64.unpack(record)
    if mark != b"PK\x06\x06" or rest != END_64.size - 12 or one or other or here != entries:
        raise refused("a zip64 record of one part", "another")
    return DirectoryPlace(offset, length, entries)


def _agrees(said: DirectoryPlace, found: DirectoryPlace) -> bool:
    return (
        said.entries in (found.entries, FULL_16)
        and said.size in (found.size, FULL_32)
        and said.offset in (found.offset, FULL_32)
    )


def _check_entries(entries: list[zipfile.ZipInfo], place: DirectoryPlace, most_bytes: int) -> None:
    if len(entries) != place.entries:
        raise refused(f"{place.entries} entries, as the end says", f"{len(entries)}")
    seen: set[str] = set()
    for entry in entries:
        _check_name(entry)
        _check_kind(entry)
        if entry.filename in seen:
            raise refused("each name once", f"{entry.filename!r} twice")
        seen.add(entry.filename)
        if entry.file_size > max(SMALL, MOST_RATIO * entry.compress_size):
            found = f"{entry.compress_size:,} bytes that say {entry.file_size:,}"
            raise refused(f"files packed to 1/{MOST_RATIO} at most", found)
    total = sum(entry.file_size for entry in entries)
    if total > most_bytes:
        raise QuotaExceeded(
            "the body", f"at most {most_bytes:,} bytes", f"{total:,}", "Send a smaller bundle."
        )


def _check_name(entry: zipfile.ZipInfo) -> None:
    """What zipfile would cut or change is no plain name either."""
    name = entry.orig_filename.removesuffix("/") if entry.is_dir() else entry.orig_filename
    if entry.filename != entry.orig_filename or not PLAIN_NAME.fullmatch(name):
        raise refused("plain names, in one folder at most", repr(entry.orig_filename[:80]))


def _check_kind(entry: zipfile.ZipInfo) -> None:
    """A file or a folder, neither encrypted nor packed in a rare way."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        raise refused("plain files", f"{entry.filename!r}, a link or a device")
    if entry.is_dir() and entry.file_size:
        raise refused("folders without content", repr(entry.filename))
    if entry.flag_bits & ~ALLOWED_FLAGS:
        raise refused("entries that are not encrypted", repr(entry.filename))
    if entry.compress_type not in METHODS:
        raise refused("stored or deflated entries", f"method {entry.compress_type}")


def _check_places(source: BinaryIO, entries: list[zipfile.ZipInfo], place: DirectoryPlace) -> None:
    """Each entry's own header says what the directory says, and no two share a byte; nothing stands before the first."""
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end or (end == 0 and entry.header_offset != 0):
            raise refused("entries one behind the other", repr(entry.filename))
        header = _at(source, entry.header_offset, LOCAL.size)
        if len(header) < LOCAL.size:
            raise refused("a header for each entry", repr(entry.filename))
        mark, _, flags, method, _, _, crc, packed, size, name, extra = LOCAL.unpack(header)
        same = (flags, method) == (entry.flag_bits, entry.compress_type)
        if mark != b"PK\x03\x04" or not same or not _same_sizes(entry, [crc, packed, size]):
            raise refused("headers that agree with the directory", repr(entry.filename))
        end = entry.header_offset + LOCAL.size + name + extra + entry.compress_size
        if end > place.offset:
            raise refused("entries before the directory", repr(entry.filename))


def _same_sizes(entry: zipfile.ZipInfo, local: Sequence[int]) -> bool:
    """CRC, packed and plain bytes. A local header may leave them to what is behind the data, or to its zip64 part."""
    told = (entry.CRC, entry.compress_size, entry.file_size)
    if entry.flag_bits & SIZES_BEHIND:
        return all(here in (0, FULL_32, there) for here, there in zip(local, told, strict=True))
    sizes = zip(local[1:], told[1:], strict=True)
    return local[0] == told[0] and all(here in (FULL_32, there) for here, there in sizes)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> int:
    """Never more bytes than the entry says; zipfile compares the CRC at its end."""
    target = safe_join(folder, entry.filename)
    target.parent.mkdir(exist_ok=True)
    size = 0
    with archive.open(entry) as packed, target.open("xb") as file:
        while block := packed.read(CHUNK):
            size += len(block)
            if size > entry.file_size:
                raise refused(f"{entry.file_size} bytes in {entry.filename}", "more")
            file.write(block)
    if size != entry.file_size:
        raise refused(f"{entry.file_size} bytes in {entry.filename}", f"{size}")
    return size


def _at(source: BinaryIO, offset: int, size: int) -> bytes:
    source.seek(offset)
    return source.read(size)
