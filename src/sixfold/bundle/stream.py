"""Predicting large files in bounded memory: CSV, JSONL (.gz and .zip too); with the extra `train`, Parquet (packed: whole)."""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from sixfold.bundle.frontend import LONGEST_LINE, csv_rows, shown
from sixfold.bundle.load import Bundle
from sixfold.bundle.predictions import Predictions
from sixfold.core import archive, strict_json
from sixfold.core.errors import DataError, RowError, SixfoldError, SystemFault
from sixfold.core.paths import sync_folder, system_fault

CHUNK: Final = 4096  # rows in memory at once; measured: no faster above
KINDS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Source:
    """A file of rows: its kind, and for CSV the separator."""

    path: Path
    kind: str
    separator: str = ","

    @classmethod
    def of(cls, path: Path, separator: str | None = None) -> Source:
        """The source of a file by its name. Raises DataError."""
        if not path.is_file():
            raise DataError(str(path), "a file", "no file of this name", "Check the path.")
        suffix = archive.suffix(path)
        if suffix not in KINDS:
            raise DataError(
                str(path), f"a file ending in {', '.join(KINDS)} (.gz, .zip)", repr(suffix), "Convert the file."
            )
        return cls(path, KINDS[suffix], separator or ("\t" if suffix == ".tsv" else ","))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Row after row. Raises RowError, DataError or SystemFault."""
        if self.kind == "parquet":
            yield from _parquet_rows(self.path)
            return
        try:
            with archive.opened(self.path) as stream:
                lines = _lines(io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline=""))
                where = str(self.path)
                yield from csv_rows(lines, self.separator, where) if self.kind == "csv" else _json_rows(lines, where)
        except UnicodeDecodeError as error:
            raise DataError(str(self.path), "UTF-8 text", error.reason, "Save the file as UTF-8.") from None


def predict_file(bundle: Bundle, source: Path, target: Path, progress: Progress | None = None) -> int:
    """Predict every row of `source` into `target` (.csv or .jsonl), which appears when it is whole. Returns the rows.

    The separator of a CSV is the recipe's. `progress` is told the rows so far. Raises a SixfoldError.
    """
    kind = KINDS.get(target.suffix.lower())
    if kind not in ("csv", "jsonl"):
        raise DataError(str(target), "a file ending in .csv or .jsonl", repr(target.suffix), "Choose another name.")
    with _whole_file(target) as sink:
        return predict_stream(bundle, source, sink, kind, progress)


def predict_stream(bundle: Bundle, source: Path, sink: TextIO, kind: str, progress: Progress | None = None) -> int:
    """Predict every row of `source` into an open text, as `csv` or `jsonl`. Returns the rows."""
    write = _csv_writer(sink) if kind == "csv" else _json_writer(sink)
    file = Source.of(source, bundle.recipe.data.separator)
    rows, done, seen = file.rows(), 0, set[str]()
    optional = frozenset(column.name for column in bundle.signature.inputs if column.optional)
    while chunk := list(itertools.islice(rows, CHUNK)):
        if file.kind == "jsonl":
            _fill(chunk, optional, seen)
        front_end = bundle.predictor.front_end
        try:
            feeds = front_end.feeds(chunk, first_row=done + 1)
        except RowError as error:
            raise RowError(f"{source}, {error.where}", error.expected, error.found, error.remedy) from None
        write(bundle.predictor.run(feeds))
        done += len(chunk)
        if progress is not None:
            progress(done)
    if done == 0:
        raise DataError(str(source), "at least one row", "none", "Check the file.")
    return done


def _fill(rows: Sequence[dict[str, Any]], optional: frozenset[str], seen: set[str]) -> None:
    """A key that is absent is a missing value, as in training; if the file has it at all, so that a misspelt one is told."""
    seen.update(*(optional.intersection(row) for row in rows))
    for row in rows:
        for name in seen.difference(row):
            row[name] = None


def _lines(file: TextIO) -> Iterator[str]:
    """Lines, each cut just beyond the bound, so that a file without line ends is never read whole."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line


def _json_rows(lines: Iterable[str], where: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RowError(f"{where}, line {number}", "a JSON object", str(error)[:80], "One row a line.") from None
        if not isinstance(row, dict):
            raise RowError(f"{where}, line {number}", "a JSON object", shown(row), "One row a line.")
        yield row


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")  # an extra: asked for only when there is such a file
    except ImportError:
        raise SystemFault(
            str(path), "pyarrow, to read Parquet", "no such package",
            "Install the extra: pip install 'sixfold[train]'; or convert the file to CSV.",
        ) from None  # fmt: skip
    try:
        with archive.seekable(path) as stream, parquet.ParquetFile(stream) as file:
            for batch in file.iter_batches(batch_size=CHUNK):
                yield from batch.to_pylist()
    except (ValueError, OSError) as error:  # pyarrow's errors are among these
        if isinstance(error, SixfoldError):
            raise
        raise DataError(str(path), "a Parquet file", str(error).splitlines()[0], "Write the file again.") from None


def _csv_writer(sink: TextIO) -> Callable[[Predictions], None]:
    writer = csv.writer(sink, lineterminator="\n")
    header_due = [True]

    def write(predictions: Predictions) -> None:
        columns = predictions.columns()
        if header_due.pop() if header_due else False:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))

    return write


def _json_writer(sink: TextIO) -> Callable[[Predictions], None]:
    def write(predictions: Predictions) -> None:
        sink.writelines(strict_json.text(record) + "\n" for record in predictions.records())

    return write


@contextmanager
def _whole_file(target: Path) -> Iterator[TextIO]:
    """A text that takes its name only when everything was written; nothing stays behind when it was not."""
    aside = target.with_name(target.name + ".tmp")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise system_fault(target, error) from error
    finally:
        aside.unlink(missing_ok=True)
