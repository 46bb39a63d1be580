"""The same rows in every form in which they may be sent: what the proof of a bundle asks for, one
form after the other.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sixfold.bundle.file_values import file_columns
from sixfold.bundle.frontend import LONGEST_LINE, RawRows, csv_rows
from sixfold.core import values
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import Input, Signature

TextRows = Sequence[Mapping[str, str]]


def forms(signature: Signature, rows: TextRows) -> Iterator[tuple[str, RawRows]]:
    """Name and rows of each form but text: CSV, JSON, Python's objects, columns of objects, columns
    as arrays.

    `rows`: text as one would find it in a CSV, '' for a missing value.
    """
    columns, missing = (
        {column.name: column for column in signature.inputs},
        {"", *signature.missing},
    )
    # A file may be longer than a line of text.
    if max(sum(map(len, row.values())) for row in rows) < LONGEST_LINE // 4 or not _files(
        signature
    ):
        yield "CSV", list(csv_rows(io.StringIO(_as_csv(rows), newline=""), ",", "the stored rows"))
    objects = [
        {
            name: None if row[name] in missing else _object(row[name], column)
            for name, column in columns.items()
        }
        for row in rows
    ]
    yield "JSON", json.loads(json.dumps(objects, default=_iso))
    yield "objects", objects
    by_column = {name: [row[name] for row in objects] for name in columns}
    yield "columns", by_column
    yield "arrays", {name: _array(cells, columns[name]) for name, cells in by_column.items()}


def _files(signature: Signature) -> bool:
    return bool(file_columns(signature))


def _as_csv(rows: TextRows) -> str:
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(
        sink, list(rows[0]), quoting=csv.QUOTE_ALL
    )  # a row of one empty cell is no empty line
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def _object(text: str, column: Input) -> Any:
    """The value that a text stands for, as an object of Python."""
    if column.type not in PLAIN_KINDS:
        return text
    if column.type == "category":
        plain = values.level_type([text]) == column.level_type
        return values.typed(text, column.level_type) if plain else text
    marks = column.read.format() if column.read is not None else None
    plain_text = text if marks is None else marks.plain(text) or text
    if column.type == "number":
        return _number(plain_text)
    read: dict[str, Callable[[str], Any]] = {"boolean": values.boolean, "date": _moment}
    return read[column.type](text)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 and text != "-0.0" else value


def _moment(text: str) -> dt.datetime:
    return values.EPOCH + dt.timedelta(seconds=values.moment(text) or 0.0)


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat()


def _array(cells: list[Any], column: Input) -> Any:
    """As pandas holds a column: numbers as float64 with NaN, anything else as objects."""
    if column.type == "number":
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return np.array([*cells, None], dtype=object)[:-1]
