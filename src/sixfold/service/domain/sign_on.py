"""Signing on with an account of elsewhere: OpenID Connect's authorization code flow, as far as it is ours.

https://openid.net/specs/openid-connect-core-1_0.html, and RFC 7636 for the code verifier.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sixfold.service.domain.errors import Unauthenticated
from sixfold.service.domain.people import Scope

MOST_SUBJECT: Final = 255  # characters: section 2 of the specification
PERSON: Final = r"^[^\x00-\x1f\x7f]{1,128}$"  # what an identity is written with
ISSUER: Final = r"^https?://[!-~]{1,500}$"
SUBJECT: Final = rf"^[ -~]{{1,{MOST_SUBJECT}}}$"


@dataclass(frozen=True)
class AccountIdentity:
    """Whom a provider vouches for. `subject`: the provider's own id of the person, unique with `issuer`."""

    issuer: str
    subject: str
    name: str
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """As `User.subject` has it. An address holds no space."""
        return f"{self.issuer} {self.subject}"


@dataclass(frozen=True)
class SignOnAttempt:
    """One browser's. `secret`: in a cookie that no other browser has; all else is made from it, so that an answer that belongs
    to another browser, or an ID token that was made for another attempt, does not fit.
    """

    secret: str

    @property
    def state(self) -> str:
        """Comes back with the answer."""
        return self._made("state")

    @property
    def nonce(self) -> str:
        """Stands in the ID token."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """Who has the code must know it, too, to get the token."""
        return self._made("verifier")

    def must_match(self, state: str) -> None:
        """Raises Unauthenticated."""
        if not self.secret or not hmac.compare_digest(self.state.encode(), state.encode()):
            raise refused("the state that this browser began with", "another one, or none")

    def _made(self, what: str) -> str:
        made = hmac.new(self.secret.encode(), what.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


@dataclass(frozen=True)
class SignOnRules:
    """Who comes in. `tenant_claim`: the claim that names the tenant; None: all belong to the first one. `scopes`: of people whom
    nobody has made known; None: they are refused.
    """

    tenant_claim: str | None = None
    scopes: frozenset[Scope] | None = None


def refused(expected: str, found: str, remedy: str = "Sign in again.") -> Unauthenticated:
    """A sign-on that opens nothing."""
    return Unauthenticated("the sign-on", expected, found, remedy)
