"""Which rows belong together by a part of a text, such as the speaker in a file's name."""

from __future__ import annotations

import re
from typing import Final

from sixfold.core.errors import RecipeError

LONGEST_PATTERN: Final = 200  # characters
LONGEST_LOOKED: Final = 1_000  # characters of a text that are looked at
GROUP: Final = "group"
_FOLDERS: Final = re.compile(r"[/\\]")


def checked_pattern(value: str | None) -> str | None:
    """As it is. Raises RecipeError for what is no regular expression with a part `group`."""
    if value is None:
        return value
    try:
        found = re.compile(value)
    except re.error as error:
        raise RecipeError(
            "data.group_pattern", "a regular expression", f"{value!r} ({error})", "Correct it."
        ) from None
    if GROUP not in found.groupindex:
        raise RecipeError(
            "data.group_pattern",
            "a part that is called group, as in '^[0-9]_(?P<group>[a-z]+)_'",
            f"{value!r}",
            "Put (?P<group>…) around what rows of a group have in common.",
        )
    return value


def group_in(text: str, pattern: str) -> str | None:
    """What the pattern finds in a text; of a path in the name of its file. None where it finds
    nothing.

    >>> group_in("digits/3_george_12.wav", "^[0-9]_(?P<group>[a-z]+)_")
    'george'
    """
    name = _FOLDERS.split(text[-LONGEST_LOOKED:])[-1]
    found = re.search(pattern, name)
    return found[GROUP] if found else None


def grouping_alone(group: str | None, pattern: str | None) -> str | None:
    """The column that groups the rows and is no feature: one with a pattern is a feature, too."""
    return group if pattern is None else None
