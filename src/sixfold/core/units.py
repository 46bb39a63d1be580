"""Durations and sizes as people write them (`10m`, `4GiB`), and back."""

from __future__ import annotations

import re

from sixfold.core.errors import RecipeError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
LARGEST = 1e18  # an exabyte; 30 billion years
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)?\s*", re.ASCII)


def seconds(text: str | float) -> float:
    """Seconds of `10m`, `90s`, `1.5h`, or of a plain number of seconds. Raises RecipeError."""
    return _parse(text, _SECONDS, "a duration such as 90s, 10m or 2h")


def size_bytes(text: str | float) -> int:
    """Bytes of `4GiB`, `500MB`, or of a plain number of bytes. Raises RecipeError."""
    return int(_parse(text, _BYTES, "a size such as 500MB or 4GiB"))


def show_bytes(size: float) -> str:
    """Bytes for people: 1234567 → '1.2 MB'."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


def show_seconds(duration_s: float) -> str:
    """Seconds for people: 0.0012 → '1.20 ms', 75 → '1m 15s'."""
    if duration_s < 1:
        return f"{duration_s * 1000:.2f} ms"
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s"


def _parse(text: str | float, units: dict[str, float] | dict[str, int], expected: str) -> float:
    if isinstance(text, int | float):
        if 0 < text < LARGEST:
            return float(text)
        raise RecipeError("budget", expected, repr(text), "Give a positive amount.")
    match = _NUMBER.fullmatch(text)
    unit = match[2] or next(iter(u for u, f in units.items() if f == 1)) if match else ""
    amount = float(match[1]) * units[unit] if match is not None and unit in units else 0.0
    if not 0 < amount < LARGEST:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise RecipeError("budget", expected, repr(shown), f"Units: {', '.join(units)}.")
    return amount


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what it counts; `many`: the plural, where it is more than an s.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class is", "classes are")
    ('1 row', '1,200 rows', '2 classes are')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
