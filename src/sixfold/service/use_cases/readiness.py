"""Whether the service can do its work: who asks often is told what was found a moment ago, as nobody needs a key to ask."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.errors import SixfoldError
from sixfold.service.use_cases.service import Service

KEPT_S: Final = 2.0
PROBE: Final = b"written by /readyz"


@dataclass
class Readiness:
    """Of one process."""

    monotonic: Callable[[], float] = time.monotonic
    _looked_at: float = float("-inf")
    _found: Mapping[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wrong(self, service: Service) -> Mapping[str, str]:
        """What does not work, and why; empty where everything does."""
        with self._lock:
            if self.monotonic() - self._looked_at > KEPT_S:
                self._found = _looked(service)
                self._looked_at = self.monotonic()
            return self._found


def _looked(service: Service) -> dict[str, str]:
    """The store is written to: a full disk and one that nobody may write to are read as before."""
    looks: dict[str, Callable[[], object]] = {
        "database": service.database.check,
        "artifacts": lambda: service.artifacts.put(io.BytesIO(PROBE)),
    }
    found = {}
    for name, look in looks.items():
        try:
            look()
        except SixfoldError as error:
            found[name] = str(error)
    return found
