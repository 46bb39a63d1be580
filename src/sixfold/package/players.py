"""Recordings of the report as data URIs, which are short."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Iterable

import numpy as np

from sixfold.bundle.audio import decode, middle
from sixfold.package.data_uris import DataUris, shown_files
from sixfold.parts.table import Table
from sixfold.recipe.report import ExampleList

LONGEST_S = 5.0  # of a recording, its middle
RATE = 16_000  # samples a second, at most


def players(table: Table, lists: Iterable[ExampleList]) -> DataUris:
    """Of the recordings that the lists show, as MP3, as many as a page can bear."""
    return shown_files(table, lists, "audio", player)


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
