"""Files of the report as data URIs, which together are no more than a page can bear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from sixfold.core.errors import DataError
from sixfold.parts.file_cells import content
from sixfold.parts.table import Table
from sixfold.recipe.report import ExampleList

MOST_BYTES: Final = 400_000  # of all data URIs of a kind in a page

DataUris = Mapping[tuple[int, str], str]  # row and column → data URI


def shown_files(
    table: Table, lists: Iterable[ExampleList], kind: str, uri_of: Callable[[bytes, str], str]
) -> DataUris:
    """Of the values of a kind that the lists show, until MOST_BYTES are used; a file that cannot be
    read has none. `uri_of`: of a file's content and name.
    """
    found: dict[tuple[int, str], str] = {}
    left = MOST_BYTES
    for row, column in _shown(lists, kind):
        uri = found.get((row, column)) or _of_row(table, row, column, uri_of)
        if uri and len(uri) <= left:
            found[row, column] = uri
            left -= len(uri)
    return found


def _shown(lists: Iterable[ExampleList], kind: str) -> Iterator[tuple[int, str]]:
    """As often as each is shown."""
    for each in lists:
        for example in each.examples:
            yield from (
                (example.row, value.column) for value in example.values if value.type == kind
            )


def _of_row(table: Table, row: int, column: str, uri_of: Callable[[bytes, str], str]) -> str:
    (name,) = table.columns[column].take(np.array([row])).strings()
    try:
        return uri_of(content(name), name)
    except DataError:
        return ""
