"""Memory that was freed goes back to the system: glibc keeps it, in pieces that the next large body
may not fit into.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable


def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; None where there is another C library."""
    if sys.platform != "linux":
        return None
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found


_malloc_trim = _trim()


def give_back() -> None:
    """Takes a millisecond or so; after work on what is large."""
    if _malloc_trim is not None:
        _malloc_trim(0)
