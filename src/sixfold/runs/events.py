"""events.jsonl: one fact a line, each line with its own checksum. A damaged line is passed over,
and told.

Standard library and pydantic's writer only: `sixfold inspect` reads it without the packages that
train.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from sixfold.core import strict_json
from sixfold.core.errors import SystemFault
from sixfold.core.paths import system_fault

Event = dict[str, Any]

NAME: Final = "events.jsonl"
LONGEST: Final = (
    16 << 20
)  # bytes of a line that is looked at; guessed: an epoch event of 2,000 losses has 100,000
SHOWN: Final = 5  # line numbers in a message
_BEFORE, _AFTER = b',"crc":"', b'"}'  # around the checksum, at the end of every line
_TAIL: Final = len(_BEFORE) + 8 + len(_AFTER)


def line(event: Event) -> bytes:
    """JSON, `crc` (CRC-32 of the object without it), and a line's end. pydantic's writer takes 0.6
    µs where Python's takes 11: telling every epoch of a tiny network took a fifth of the training's
    time (`bench/events.py`).
    """
    try:
        body = to_json(event, inf_nan_mode="null")
    except PydanticSerializationError:  # half a character, as in a file's name that is no text
        body = strict_json.text(event).encode()
    return b"%b%b%08x%b\n" % (body[:-1], _BEFORE, zlib.crc32(body), _AFTER)


def parsed(data: bytes) -> Event | None:
    """The event of a line without its end; None where one bit or more is not as it was written."""
    before, digits, after = data[-_TAIL:-10], data[-10:-2], data[-2:]
    body = data[:-_TAIL] + b"}"
    if before != _BEFORE or after != _AFTER or digits != b"%08x" % zlib.crc32(body):
        return None
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def numbered(path: Path) -> Iterator[tuple[int, Event | None]]:
    """Number and event of every line, the oldest first; None for a line that is damaged. No file:
    no lines.

    Raises SystemFault where it cannot be read.
    """
    try:
        if not path.exists():
            return
        with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
            number = 0
            while data := file.readline(LONGEST):
                number += 1
                whole = data.endswith(b"\n")
                while not whole and (
                    more := file.readline(LONGEST)
                ):  # too long for an event: damage
                    whole, data = more.endswith(b"\n"), b""
                yield number, parsed(data[:-1] if data.endswith(b"\n") else data)
    except OSError as error:
        raise system_fault(path, error) from error


def damage(path: Path, lines: list[int]) -> str:
    """What to say of damaged lines; '' where there are none."""
    if not lines:
        return ""
    shown = ", ".join(f"{number:,}" for number in lines[:SHOWN])
    more = f" and {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    word, verb = ("line", "is") if len(lines) == 1 else ("lines", "are")
    return f"{path}, {word} {shown}{more}: {verb} damaged and passed over; what was told there is not known any more"


def opened(path: Path) -> FileIO:
    """The file to append to, made if it is not there; half a line, which a kill left at its end, is
    cut off.

    Raises OSError, or SystemFault for what is no plain file.
    """
    handle = _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    file = FileIO(handle, "ab")
    _cut(handle)
    return file


def _opened(path: Path, flags: int) -> int:
    """A plain file: no link is followed, and a pipe is not waited for."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        plain = "a folder" if path.is_dir() else "something else"
        found = "a symbolic link" if path.is_symlink() else plain
        raise SystemFault(
            str(path),
            "a plain file of events",
            found,
            "Move it away and run the same command again.",
        )
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise SystemFault(
            str(path), "a plain file of events", "something else", "Move it away and run again."
        )
    return handle


def _cut(handle: int) -> None:
    """Everything after the last line's end."""
    end = size = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - LONGEST)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
