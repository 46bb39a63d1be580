"""Who vouches for people."""

from __future__ import annotations

from typing import Protocol

from sixfold.service.domain.sign_on import AccountIdentity, SignOnAttempt


class IdentityProvider(Protocol):
    """`back`: our own address, to which it sends the browser."""

    def sign_on_url(self, attempt: SignOnAttempt, back: str) -> str:
        """Where the browser goes. Raises Unavailable."""

    def identity(self, attempt: SignOnAttempt, code: str, back: str) -> AccountIdentity:
        """Of a code that it gave the browser; everything about it is verified. Raises Unauthenticated, Unavailable."""

    def sign_out_url(self) -> str | None:
        """Where its own session ends; None where it has no such page, or is away."""
