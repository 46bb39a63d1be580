"""Rows of a table back as the text that one would find in a CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sixfold.core import values
from sixfold.core.marks import NumberFormat
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.table import Column, Table
from sixfold.recipe.reading import ReadFile


def text_rows(
    table: Table, names: Sequence[str], read: ReadFile | None = None
) -> list[dict[str, str]]:
    """A mapping of column to text a row; '' is missing. Read again by `core.values`, they give the
    same bits.

    `read`: the recipe's; numbers are written with the decimal mark that it names.
    """
    formats = {name: (read.format_of(name) if read else None) or NumberFormat() for name in names}
    columns = {name: _texts(table.columns[name], formats[name].show) for name in names}
    return [{name: cells[row] for name, cells in columns.items()} for row in range(table.rows)]


def _texts(column: Column, number: Callable[[float], str]) -> Sequence[str]:
    if is_modality(column.kind):
        return modality_of(column.kind).as_text(column)
    if column.kind in ("category", "identifier"):
        return column.strings()
    write = {"number": number, "boolean": _boolean, "date": values.show_date}[column.kind]
    return [
        "" if gone else write(float(value))
        for value, gone in zip(column.values, column.missing(), strict=True)
    ]


def _boolean(value: float) -> str:
    return "true" if value else "false"
