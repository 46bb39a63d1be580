"""API keys: `sf_`, 43 characters of base 62 (32 random bytes), 6 of their CRC-32.

Only the SHA-256 is stored; the key is shown once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

from sixfold.service.domain.people import Scope

PREFIX: Final = "sf_"
DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_LENGTH: Final = 43
CHECK_LENGTH: Final = 6
SHOWN: Final = 10  # characters of a key by which its owner knows it again


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. `shown`: its first characters. `expires_at`, `revoked_at`: seconds since 1970; None: never.
    `rotated_from`: the key that it was made from, by rotating it or by signing in to the console with it.
    """

    id: str
    tenant_id: str
    name: str
    hash: str
    shown: str
    scopes: frozenset[Scope]
    created_at: float
    user_id: str | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    rotated_from: str | None = None

    def valid(self, now: float) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def matches(self, digest: str) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.hash, digest)


def new_key() -> str:
    """A key that was never there before."""
    body = _base62(int.from_bytes(secrets.token_bytes(32)), BODY_LENGTH)
    return PREFIX + body + _check(body)


def well_formed(key: str) -> bool:
    """Whether its checksum is right: a typing error, or another vendor's key, costs no look into the database.

    >>> well_formed(new_key()), well_formed("sf_" + "0" * 49)
    (True, False)
    """
    body, check = key[len(PREFIX) : -CHECK_LENGTH], key[-CHECK_LENGTH:]
    return (
        key.startswith(PREFIX)
        and len(body) == BODY_LENGTH
        and key.isascii()
        and check == _check(body)
    )


def digest_of(key: str) -> str:
    """SHA-256 in hexadecimal digits: what is stored and looked up. 32 random bytes need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")), CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
