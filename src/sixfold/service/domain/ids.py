"""Ids and names. Ids are made by the server, sort by the time they were made, and cannot be guessed."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from sixfold.service.domain.errors import InvalidRequest

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ALPHABET: Final = (
    "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: sorts as the numbers do
)
TIME_DIGITS: Final = 9  # of milliseconds: until the year 3084
RANDOM_DIGITS: Final = 16  # 80 bits


def new_id(kind: str) -> str:
    """`job-01hzx…`: the kind, the time in milliseconds and 80 random bits.

    >>> new_id("job").startswith("job-")
    True
    """
    return f"{kind}-{_digits(time.time_ns() // 1_000_000, TIME_DIGITS)}{_digits(secrets.randbits(80), RANDOM_DIGITS)}"


def _digits(number: int, count: int) -> str:
    return "".join(ALPHABET[number >> 5 * at & 31] for at in reversed(range(count)))


def checked_name(name: str, where: str) -> str:
    """The name, if it is one. Raises InvalidRequest."""
    if NAME.fullmatch(name):
        return name
    raise InvalidRequest(
        where,
        "1 to 63 of a-z, 0-9 and -, a letter or digit first",
        repr(name[:80]),
        "Choose such a name.",
    )


def name_like(text: str) -> str:
    """The name that is most like a text.

    >>> name_like("Breast_cancer (2)")
    'breast-cancer-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-") or "unnamed"
