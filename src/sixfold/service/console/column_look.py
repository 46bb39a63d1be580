"""Which kind a column seems to be of, by some of its cells: the rules for single values are those of training."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sixfold.core import values

LONG: Final = 40  # characters, on average: a text
WORDS: Final = 4  # a cell, on average: a text
DISTINCT: Final = 0.95  # of the cells differ: an identifier, where the name says so
LEAST: Final = 5  # cells, before they are called an identifier
MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_IMAGE: Final = re.compile(r".+\.(png|jpe?g|webp|gif|bmp|tiff?)", re.IGNORECASE)
_AUDIO: Final = re.compile(r".+\.(wav|flac|mp3|ogg|oga)", re.IGNORECASE)
_ID: Final = re.compile(r"(.*[^a-z])?(id|ids|uuid|guid|key|index)", re.IGNORECASE)


def kind_of(name: str, cells: Sequence[str]) -> str:
    """number, boolean, date, audio, image, text, identifier or category; empty, where no cell has a value.

    >>> kind_of("age", ["31", "", "45.5"]), kind_of("paid", ["yes", "no"]), kind_of("on", ["2026-01-05"])
    ('number', 'boolean', 'date')
    """
    known = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
    if not known:
        return "empty"
    distinct = set(known)
    if (
        len(known) >= LEAST
        and len(distinct) > DISTINCT * len(known)
        and _ID.fullmatch(name.strip())
    ):
        return "identifier"
    for kind, reads in READERS.items():
        if all(reads(cell) for cell in distinct):
            return kind
    long = sum(map(len, known)) > LONG * len(known)
    wordy = sum(len(cell.split()) for cell in known) > WORDS * len(known)
    return "text" if long or wordy else "category"


def kind_of_json(cells: Sequence[Any]) -> str:
    """The same of values of JSON; `nested` of lists and objects."""
    known = [cell for cell in cells if cell is not None]
    if any(isinstance(cell, list | dict) for cell in known):
        return "nested"
    return kind_of("", [values.spell(cell) or "" for cell in known])


def is_number(text: str) -> bool:
    """Whether training reads one."""
    return values.number(text.strip()) is not None


def _is_boolean(text: str) -> bool:
    return not is_number(text) and values.boolean(text.lower()) is not None


READERS: Final[dict[str, Callable[[str], bool]]] = {
    "number": is_number,
    "boolean": _is_boolean,
    "date": lambda text: values.date(text) is not None,
    "audio": lambda text: _AUDIO.fullmatch(text) is not None,
    "image": lambda text: _IMAGE.fullmatch(text) is not None,
}
