"""JSON that every reader takes: NaN and the infinities, which JSON does not have, are null."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def text(value: Any, indent: int | None = None) -> str:
    """One document; with `indent` on many lines. What JSON does not know is its `str`."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False, default=str)
    except ValueError:  # looking for it first would take longer than the writing
        return json.dumps(finite(value), indent=indent, allow_nan=False, default=str)


def finite(value: Any) -> Any:
    """The same value with null in the place of every number that is not finite."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value
