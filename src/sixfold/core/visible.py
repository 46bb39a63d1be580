"""Text of strangers (names of columns, classes, files) as it may stand on a terminal: what would
act on it is shown instead.
"""

from __future__ import annotations

import re
from typing import Final

# Control characters but tab and newline (C0, DEL, C1), marks that turn or hide the text around
# them, line ends of Unicode, half characters of names that are no UTF-8.
ACTING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
LINE_ENDS: Final = {"\n": "\\n", "\t": "\\t"}


def visible(text: str) -> str:
    """The same text with what acts on a terminal as an escape; newlines and tabs stay.

    >>> visible("red\\x1b[31m")
    'red\\\\x1b[31m'
    """
    return ACTING.sub(_escape, text)


def one_line(text: str) -> str:
    """The same with newlines and tabs as escapes, too: a name cannot look like a line of its own.

    >>> one_line("a\\nok  verified")
    'a\\\\nok  verified'
    """
    for character, shown in LINE_ENDS.items():
        text = text.replace(character, shown)
    return visible(text)


def _escape(found: re.Match[str]) -> str:
    return escaped(found.group())


def escaped(character: str) -> str:
    """A character by its number, as Python, JSON's escapes and YAML write it.

    >>> escaped("\\x07"), escaped("\\u200b")
    ('\\\\x07', '\\\\u200b')
    """
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
