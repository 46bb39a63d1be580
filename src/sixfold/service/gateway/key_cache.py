"""Whose key it is, without the database for each request.

Remembered for a second, and forgotten at once when keys change here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.keys import digest_of
from sixfold.service.domain.people import Principal
from sixfold.service.use_cases import people
from sixfold.service.use_cases.service import Service

LASTS_S: Final = 1.0  # how late another server's revocation is known here
MOST: Final = 10_000


@dataclass
class KeyCache:
    """For one server process."""

    service: Service
    _known: dict[str, tuple[Principal, float]] = field(default_factory=dict)
    _changes: int = 0

    def remembered(self, key: str) -> Principal | None:
        """The principal, if it was looked up within the last second."""
        if self._changes != self.service.key_changes.count:
            self._changes = self.service.key_changes.count
            self._known.clear()
        found = self._known.get(digest_of(key))
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def look_up(self, key: str) -> Principal:
        """In a thread. What is read while keys change is not remembered. Raises Unauthenticated."""
        before = self.service.key_changes.count
        who = people.authenticate(self.service, key)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[digest_of(key)] = who, time.monotonic() + LASTS_S
        if before != self.service.key_changes.count:
            self._known.pop(digest_of(key), None)
        return who
