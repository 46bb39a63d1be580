"""Whose key it is, without the database for each request.

Remembered for a second, and forgotten at once when keys change here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from sixfold.service.domain.keys import digest_of
from sixfold.service.domain.people import Principal
from sixfold.service.gateway.look_ups import LookUps
from sixfold.service.use_cases import people
from sixfold.service.use_cases.service import Service


@dataclass
class KeyCache:
    """For one server process, by the keys' digests."""

    service: Service
    _principals: LookUps[Principal] = field(default_factory=LookUps)
    _changes: int = 0

    async def principal(self, key: str) -> Principal:
        """Who asks with it. Raises Unauthenticated."""
        if self._changes != self.service.key_changes.count:
            self._changes = self.service.key_changes.count
            self._principals.forget()
        return await self._principals.get(
            digest_of(key), partial(people.authenticate, self.service, key)
        )
