"""Bytes as letters, so that pieces of them can stand in JSON: a byte that is a printable character of Latin-1
is that one, the others follow from U+0100 on (as in the vocabulary of GPT-2, Radford and others, 2019).
"""

from __future__ import annotations

from typing import Final

_PRINTED: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS: Final = tuple(byte for byte in range(256) if byte not in _PRINTED)
BYTES: Final[dict[str, int]] = {
    **{chr(byte): byte for byte in _PRINTED},
    **{chr(0x100 + place): byte for place, byte in enumerate(_OTHERS)},
}
