"""What every child process of the service gets: few variables of its environment, and no longer life than its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

PR_SET_PDEATHSIG: Final = 1
# A child sees nothing else of its parent's environment: keys and passwords are not among it.
KEPT: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
)
TELEMETRY: Final = "OTEL_"  # where a replica's traces go, and how
OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def child_environment(online: bool = False, traced: bool = False) -> dict[str, str]:
    """`online`: whether it may ask hubs for checkpoints. `traced`: whether it sends its traces as this process does."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    if traced:
        kept |= {name: value for name, value in os.environ.items() if name.startswith(TELEMETRY)}
    return kept | ({} if online else OFFLINE)


def dies_with_its_parent() -> None:
    """A parent that is killed takes it along: nobody else would end it. Linux."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


BEFORE_EXEC: Final[Callable[[], None] | None] = (
    dies_with_its_parent if sys.platform == "linux" else None
)
