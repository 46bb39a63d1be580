"""Recordings of the report as data URIs: short, and together no more than a page can bear."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Iterable, Iterator

import numpy as np

from sixfold.bundle.audio import decode, middle
from sixfold.core.errors import DataError
from sixfold.package.thumbnails import MOST_BYTES, Thumbnails
from sixfold.parts import file_cells
from sixfold.parts.table import Table
from sixfold.recipe.report import ExampleList

LONGEST_S = 5.0  # of a recording, its middle
RATE = 16_000  # samples a second, at most


def players(table: Table, lists: Iterable[ExampleList]) -> Thumbnails:
    """Of the recordings that the lists show, as MP3, until MOST_BYTES are used; one that cannot be
    read has none.
    """
    found: dict[tuple[int, str], str] = {}
    left = MOST_BYTES
    for row, column in _shown_recordings(lists):
        uri = found.get((row, column)) or _of_row(table, row, column)
        if uri and len(uri) <= left:
            found[row, column] = uri
            left -= len(uri)
    return found


def _shown_recordings(lists: Iterable[ExampleList]) -> Iterator[tuple[int, str]]:
    for each in lists:
        for example in each.examples:
            yield from (
                (example.row, value.column) for value in example.values if value.type == "audio"
            )


def _of_row(table: Table, row: int, column: str) -> str:
    (name,) = table.columns[column].take(np.array([row])).strings()
    try:
        return player(file_cells.content(name), name)
    except DataError:
        return ""


def player(content: bytes, name: str) -> str:
    """The data URI of a recording, its middle where it is long. Raises DataError for what is none."""
    samples, rate = decode(content, name)
    samples = middle(samples, round(LONGEST_S * rate))
    if rate not in (8_000, 11_025, RATE):  # of those that MP3 has, what is enough to listen to
        samples = importlib.import_module("soxr").resample(samples, rate, RATE)
        rate = RATE
    stream = io.BytesIO()
    written = importlib.import_module("soundfile").write
    written(stream, np.clip(samples, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:audio/mpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
