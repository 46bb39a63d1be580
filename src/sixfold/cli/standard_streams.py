"""stdout and stderr as every command writes them: what would act on a terminal is shown, not done;
and where they cannot be written any more (a full disk behind them, a reader that has gone) that is
said in our words.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from sixfold.core.errors import SystemFault
from sixfold.core.visible import visible

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ReaderGone(Exception):
    """Whoever read stdout has closed it (`| head -1`): there is no one left to write for."""


def guard() -> None:
    """Make `sys.stdout` raise SystemFault or ReaderGone where it cannot be written, and
    `sys.stderr` drop what it cannot.

    Both show control characters as escapes.

    Streams that something else has put in their place (a test, a notebook) stay as they are.
    """
    sys.stdout = _guarded(sys.stdout, sys.__stdout__, _Output)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__, _Log)


def _guarded(stream: TextIO | None, original: TextIO | None, raw: type[io.FileIO]) -> TextIO:
    if stream is None:  # closed when the process began
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    file = io.BufferedWriter(raw(stream.fileno(), "wb", closefd=False))
    return _Visible(file, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


@contextmanager
def exact() -> Iterator[TextIO]:
    """Inside, data is written to `sys.stdout` as it is, for the program that reads it; on a
    terminal it is shown as ever.
    """
    stream = sys.stdout
    if not isinstance(stream, _Visible) or stream.isatty():
        yield stream
        return
    stream.exact = True
    try:
        yield stream
    finally:
        stream.exact = False


def acting(stream: TextIO) -> TextIO:
    """`stream` for a program that moves the cursor itself, and has made visible what it was
    told.
    """
    return cast(TextIO, _Acting(stream)) if isinstance(stream, _Visible) else stream


class _Visible(io.TextIOWrapper):
    """Text in which no control character acts: names of columns, classes and files are data of
    strangers.
    """

    exact = False

    def write(self, text: str) -> int:
        """All of `text`."""
        super().write(text if self.exact else visible(text))
        return len(text)


class _Acting:
    """A stream whose text is not looked at."""

    def __init__(self, stream: _Visible) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """All of `text`, as it is."""
        return io.TextIOWrapper.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(io.FileIO):
    """Raises in our own words, once; what is written afterwards goes nowhere, so that the end of
    the process is quiet.
    """

    broken = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """As much of `data` as the system takes. Raises SystemFault or ReaderGone."""
        if self.broken:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self.broken = True
            raise _reason(error) from None


class _Log(io.FileIO):
    """Never raises: a run of hours does not end because nobody reads its progress."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """As much of `data` as the system takes, or all of it to nowhere."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _reason(error: OSError) -> Exception:
    if error.errno == errno.EPIPE:
        return ReaderGone()
    expected = "free disk space" if error.errno in ROOM else "an output that can be written"
    remedy = "Free some space, or write it elsewhere: what the command has finished is kept."
    return SystemFault("standard output", expected, error.strerror or str(error), remedy)
