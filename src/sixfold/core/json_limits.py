"""What a JSON text of a stranger may be, looked at before a reader builds anything of it: size,
depth, count, long numbers.

A reader makes objects of ten to a hundred times the text's bytes, so what it is given is bounded
first. The look itself takes linear time and two copies of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Possessive, so that nothing is tried twice: linear whatever the text is. A string without an end
# goes to the end.
STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
WHOLE: Final = re.compile(
    rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"){1,65536}+', re.DOTALL
)  # that ends outside of a string
AT_ONCE: Final = (
    1 << 20
)  # bytes whose strings are taken out in one go: `sub` holds 90 bytes a string
LONGEST_NUMBER: Final = 40  # characters: a double takes 24 at most, a whole number of 64 bits 20
LONG_NUMBER: Final = re.compile(rb"[-+.0-9eE]{%d}" % (LONGEST_NUMBER + 1))
NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b"[]{},"))
ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


@dataclass(frozen=True)
class JsonLimits:
    """Of one text: `size_bytes`, `values` (items of lists and of mappings), `depth` (lists and
    mappings in each other).
    """

    size_bytes: int
    values: int
    depth: int = 16


def violation(content: bytes, limits: JsonLimits) -> tuple[str, str] | None:
    """What was expected and what came instead; None for a text that a reader may be given. Whether
    it is JSON the reader says.
    """
    if len(content) > limits.size_bytes:
        return f"at most {limits.size_bytes:,} bytes", f"{len(content):,}"
    bare = _without_strings(content)
    if (long := LONG_NUMBER.search(bare)) is not None:
        return f"numbers of at most {LONGEST_NUMBER} characters", f"{long.group()[:12].decode()}…"
    structure = bare.translate(None, NOT_STRUCTURE)
    # Every value but the first of its list or mapping has a comma before it.
    count = structure.count(b",") + structure.count(b"[") + structure.count(b"{")
    if count > limits.values:
        return f"at most {limits.values:,} values", f"{count:,}"
    depth = _depth(structure.translate(ONE_KIND, b","), limits.depth)
    return None if depth <= limits.depth else (f"at most {limits.depth} levels", "more")


def _without_strings(content: bytes) -> bytes:
    if len(content) <= AT_ONCE:
        return STRINGS.sub(b"", content)
    parts: list[bytes] = []
    place = 0
    while (found := WHOLE.match(content, place)) is not None:
        parts.append(STRINGS.sub(b"", found.group()))
        place = found.end()
    return b"".join(parts)


def _depth(nesting: bytes, most: int) -> int:
    """The deepest level of these brackets, or `most + 1` as soon as it is passed."""
    for level in range(most + 1):
        if not nesting:
            return level
        nesting = nesting.replace(b"[]", b"")  # takes the innermost level away
    return most + 1
