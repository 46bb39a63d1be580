"""Zip files that nobody should unpack, each with what is wrong with it."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

LINK, FIFO, DEVICE, SOCKET = 0o120777, 0o010644, 0o020644, 0o140644
NAMES = {
    "traversal": "../outside.txt",
    "traversal in the middle": "hf/../../outside.txt",
    "absolute": "/tmp/outside.txt",
    "two slashes": "//tmp/outside.txt",
    "drive": "C:/outside.txt",
    "drive relative": "C:outside.txt",
    "backslash": "..\\outside.txt",
    "share": "\\\\host\\share\\outside.txt",
    "dot": ".",
    "two dots": "..",
    "hidden": ".profile",
    "home": "~/outside.txt",
    "blank": " ",
    "line feed": "model\n.onnx",
    "control": "model\x1b[2J.onnx",
    "right to left": "model\u202exnno.txt",
    "fullwidth": "\uff4dodel.onnx",
    "fullwidth dots": "\uff0e\uff0e/outside.txt",
    "fullwidth slash": "..\u2215outside.txt",
    "combining": "mode\u0301l.onnx",
    "zero width": "model\u200b.onnx",
    "device": "CON",
    "device with a suffix": "hf/NUL.json",
    "stream": "model.onnx:evil",
    "upper case": "MODEL.ONNX",
    "deep": "a/b/c/d/e/model.onnx",
    "long": "m" * 300,
    "empty folder name": "hf//config.json",
    "variable": "$HOME/outside.txt",
}


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _with(good: dict[str, bytes], name: str, mode: int = 0, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, of_it in good.items():
            archive.writestr(each, of_it)
        entry = zipfile.ZipInfo(name)
        entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(entry, content)
    return out.getvalue()


def _directory(data: bytes) -> int:
    """Where the central directory begins."""
    return int(struct.unpack_from("<L", data, len(data) - 6)[0])


def _changed(data: bytes, at: int, form: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


def _nul(good: dict[str, bytes]) -> bytes:
    """zipfile would cut the name at the NUL."""
    return _with(good, "model.onnxX").replace(b"model.onnxX", b"model.onn\0X")


def _same_name(good: dict[str, bytes]) -> bytes:
    return _with(good, "modex.onnx").replace(b"modex.onnx", b"model.onnx")


def _bomb_by_ratio(good: dict[str, bytes]) -> bytes:
    return _with(good, "bomb.html", content=bytes(300 << 20))


def _bomb_by_count(_: dict[str, bytes]) -> bytes:
    return packed({f"f{number}": b"" for number in range(40_000)})


def _overlapping(good: dict[str, bytes]) -> bytes:
    """Two names for the same bytes: the second entry points at the first one's header."""
    data = _with(good, "modex.onnx")
    return _changed(data, _last_entry(data) + 42, "<L", 0)


def _last_entry(data: bytes) -> int:
    return data.rindex(b"PK\x01\x02")


def _first(data: bytes, offset: int, form: str, value: int) -> bytes:
    return _changed(data, _directory(data) + offset, form, value)


def _lies(offset: int, form: str, value: int) -> Callable[[dict[str, bytes]], bytes]:
    """In the directory's first entry."""
    return lambda good: _first(packed(good), offset, form, value)


def _lies_both(value: int) -> Callable[[dict[str, bytes]], bytes]:
    """The size of the first file, in the directory and in its own header."""

    def made(good: dict[str, bytes]) -> bytes:
        return _changed(_first(packed(good), 24, "<L", value), 22, "<L", value)

    return made


def _local(offset: int, form: str, value: int) -> Callable[[dict[str, bytes]], bytes]:
    """In the first file's own header alone."""
    return lambda good: _changed(packed(good), offset, form, value)


def _renamed_locally(good: dict[str, bytes]) -> bytes:
    data = bytearray(packed(good))
    data[30:33] = b"../"
    return bytes(data)


def _encrypted(good: dict[str, bytes]) -> bytes:
    data = packed(good)
    return _changed(_first(data, 8, "<H", 1), 6, "<H", 1)


def _end(offset: int, form: str, value: int) -> Callable[[dict[str, bytes]], bytes]:
    """In the end record."""

    def made(good: dict[str, bytes]) -> bytes:
        data = packed(good)
        return _changed(data, len(data) - 22 + offset, form, value)

    return made


def _two_ends(good: dict[str, bytes]) -> bytes:
    """A zip64 record that names another directory than the plain one."""
    data = packed(good)
    where = len(data) - 22
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 46, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, where, 1)
    return data[:where] + record + locator + data[where:]


BROKEN: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "symbolic link": lambda good: _with(good, "hf/link", LINK, b"/etc/passwd"),
    "symbolic link out of a folder": lambda good: _with(good, "hf", LINK, b"../../"),
    "named pipe": lambda good: _with(good, "pipe", FIFO),
    "device file": lambda good: _with(good, "null", DEVICE),
    "socket": lambda good: _with(good, "socket", SOCKET),
    "NUL in a name": _nul,
    "a name twice": _same_name,
    "bomb by ratio": _bomb_by_ratio,
    "bomb by count": _bomb_by_count,
    "overlapping entries": _overlapping,
    "encrypted": _encrypted,
    "size too small": _lies_both(3),
    "size too large": _lies_both(900),
    "size of 4 GiB": _lies_both(0xFFFFFFF0),
    "directory lies about the size": _lies(24, "<L", 5),
    "directory lies about the packed size": _lies(20, "<L", 5),
    "directory lies about the CRC": _lies(16, "<L", 5),
    "directory lies about the place": _lies(42, "<L", 7),
    "directory lies about the method": _lies(10, "<H", 0),
    "a rare method": lambda good: _changed(_first(packed(good), 10, "<H", 14), 8, "<H", 14),
    "own header lies about the size": _local(22, "<L", 1),
    "own header lies about the method": _local(8, "<H", 0),
    "own header has another name": _renamed_locally,
    "own header has a longer name": _local(26, "<H", 60_000),
    "end lies about the count": _end(10, "<H", 3),
    "end lies about the directory": _end(16, "<L", 10),
    "end of several parts": _end(4, "<H", 1),
    "directory without an end": _end(12, "<L", 0xFFFFFFF0),
    "two ends": _two_ends,
    "program before the archive": lambda good: b"#!/bin/sh\nrm -rf /\n" + packed(good),
    "comment behind the archive": lambda good: _end(20, "<H", 4)(good) + b"evil",
    "cut off": lambda good: packed(good)[:-30],
    "a tar": lambda _: b"outside.txt".ljust(257, b"\0") + b"ustar".ljust(255, b"\0") + bytes(1024),
}


def hostile(bundle: Path) -> Iterator[tuple[str, bytes]]:
    """What is wrong, and the archive: of a whole bundle and one thing more, so that nothing else is wrong."""
    good = {path.name: path.read_bytes() for path in sorted(bundle.iterdir())}
    for what, name in NAMES.items():
        yield f"name: {what}", _with(good, name)
    for what, made in BROKEN.items():
        yield what, made(good)
