"""Ctrl-C at any moment ends the command with 130 and one line. Set up before anything else is
imported.

Everything on the disk survives a kill, so there is nothing that must be tidied up: an orderly end
is tried first, and where it is not possible (within an import, which would be left half done) or
takes too long, the process ends at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

CODE = 130  # as shells say it: 128 + SIGINT
MESSAGE = "interrupted: the same command continues where it was"
GRACE_S = 5  # for an orderly end: guessed; a solver's thread that cannot be stopped would hold the process for minutes


def guard() -> None:
    """From now on it ends the process at once. Where SIGINT is ignored (a job in the background) it
    stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
        sys.unraisablehook = _unraisable


def orderly() -> None:
    """From now on somebody catches KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is end:
        signal.signal(signal.SIGINT, _first)


def end(*_: object) -> None:
    """Now: no exception, no waiting for threads."""
    os.write(2, f"{MESSAGE}\n".encode())
    os._exit(CODE)


def settle() -> None:
    """What the command does is done: an interrupt while the interpreter ends raises nothing any
    more.
    """
    if signal.getsignal(signal.SIGINT) is _first:
        signal.signal(signal.SIGINT, end)


def _first(number: int, frame: object) -> None:
    """The first Ctrl-C raises KeyboardInterrupt; a second one, or GRACE_S seconds, ends the
    process.
    """
    signal.signal(signal.SIGINT, end)
    if any("importlib._bootstrap" in name for name in _files(frame)):
        end()
    signal.signal(signal.SIGALRM, end)
    signal.alarm(GRACE_S)
    raise KeyboardInterrupt


def _files(frame: object) -> Iterator[str]:
    """The files of a stack's functions, the innermost first."""
    while frame is not None:
        yield frame.f_code.co_filename  # type: ignore[attr-defined]
        frame = frame.f_back  # type: ignore[attr-defined]


def _unraisable(facts: sys.UnraisableHookArgs) -> None:
    """Where an exception cannot be raised (a callback from C, a finalizer) the interrupt would be
    lost, with a traceback.
    """
    if issubclass(facts.exc_type, KeyboardInterrupt):
        end()
    sys.__unraisablehook__(facts)
