"""stdout and stderr that cannot be written any more: a full disk behind them, or a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from sixfold.core.errors import SystemFault

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ReaderGone(Exception):
    """Whoever read stdout has closed it (`| head -1`): there is no one left to write for."""


def guard() -> None:
    """Make `sys.stdout` raise SystemFault or ReaderGone where it cannot be written, and `sys.stderr` drop what it cannot.

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
    return io.TextIOWrapper(file, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


class _Output(io.FileIO):
    """Raises in our own words, once; what is written afterwards goes nowhere, so that the end of the process is quiet."""

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
