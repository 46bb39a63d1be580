"""Names of columns: from the first row, from the recipe, or made up; and a first row that looks
like one of values.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Final

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.data.source import check_names

SAMPLE: Final = 200  # rows below the first that are compared with it
COLUMNS: Final = 200  # that are looked at
SHARE: Final = (
    0.5  # of the first row's fields are like the values below them: hardly names; guessed
)
SHOWN: Final = 3  # fields in a message


def names_of(first: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """Of a file without a header: the recipe's names, one a field, or column_1, column_2, … Raises
    DataError.
    """
    if not names:
        return [f"column_{number}" for number in range(1, len(first) + 1)]
    if len(names) != len(first):
        raise DataError(
            where,
            f"{len(names):,} fields, one for each of data.names",
            f"{len(first):,} fields",
            "Name every column in data.names, in the order of the file, or leave data.names out.",
        )
    check_names(list(names), "data.names")
    return list(names)


def check_header(names: list[str], rows: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    """Every column has a name of its own; a warning where the names look like values. Raises
    DataError.
    """
    doubt = looks_like_data(names, rows)
    try:
        check_names(names, where)
    except DataError as error:
        remedy = f"{error.remedy} {_remedy()}" if doubt else error.remedy
        raise DataError(error.where, error.expected, error.found, remedy) from None
    if not doubt:
        return ()
    shown = ", ".join(repr(name) for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return (
        f"{where}: the first line ({shown}) looks like a row of values, and is read as the names of the columns. {_remedy()}",
    )


def looks_like_data(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a file is like those below it: numbers above numbers, words that are
    values of their column.

    Years, or numbers counted up (as pandas writes when no one has named the columns), are names.
    """
    names = names[:COLUMNS]
    columns = [[row[i].strip() for row in rows if i < len(row)] for i in range(len(names))]
    numbers = [values.number(name.strip()) for name in names]
    known = [number for number in numbers if number is not None]
    steps = {later - earlier for earlier, later in itertools.pairwise(known)}
    counted = (
        len(known) > 1
        and len(steps) == 1
        and steps != {0.0}
        and all(number == int(number) for number in known)
    )
    alike = 0
    for name, number, column in zip(names, numbers, columns, strict=True):
        above_numbers = 2 * sum(values.number(cell) is not None for cell in column) > len(column)
        if number is not None:
            alike += above_numbers and not counted
        elif name.strip() in column:
            alike += 1
        elif above_numbers and not _is_unknown(name):
            return False  # a word above numbers is the name of their column
    return bool(columns) and alike >= SHARE * len(names)


def _is_unknown(text: str) -> bool:
    """What stands for a value that is not known rather than for a name: ?, -, NA."""
    return not any(letter.isalnum() for letter in text) or text.strip().lower() in (
        "na",
        "n/a",
        "nan",
        "null",
        "none",
    )


def _remedy() -> str:
    example = json.dumps(["age", "income"])
    return (
        "If the file has no header, say data.header: false (the columns are column_1, column_2, …), and their names, where you "
        f"know them, in data.names: {example}."
    )
