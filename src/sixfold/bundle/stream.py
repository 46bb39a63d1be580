"""Predicting large files in bounded memory: CSV, JSONL (.gz and .zip too); Parquet with the extra
`train`, Excel with `excel`.
"""

from __future__ import annotations

import base64
import csv
import importlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from sixfold.bundle.file_values import with_paths
from sixfold.bundle.frontend import LONGEST_LINE, csv_rows, shown
from sixfold.bundle.headerless import Fields
from sixfold.bundle.load import Bundle
from sixfold.bundle.predictions import Predictions
from sixfold.core import archive, encoding, strict_json, workbook
from sixfold.core.errors import DataError, RowError, SixfoldError, SystemFault, did_you_mean
from sixfold.core.paths import sync_folder, system_fault
from sixfold.recipe.table_files import TableFile

CHUNK: Final = 4096  # rows in memory at once; measured: no faster above
CHUNK_FILES: Final = 64  # where a value is a file: an image of 224 × 224 takes 1.2 MB as doubles
BATCH_BYTES: Final = 16 << 20  # of Parquet decoded at once
BUFFER_BYTES: Final = (
    1 << 20
)  # of its file: else, or with its `pre_buffer`, pyarrow reads a whole row group
KINDS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
Watch = Callable[[Predictions], None]
Write = Callable[
    [Mapping[str, list[Any]], Predictions], None
]  # columns that are kept, and the answers


@dataclass(frozen=True)
class Source:
    """A file of rows: its kind, how the recipe reads such files, and the columns of a model without
    a header.
    """

    path: Path
    kind: str
    data: TableFile
    fields: Fields | None = None

    @classmethod
    def of(cls, path: Path, data: TableFile | None = None, fields: Fields | None = None) -> Source:
        """The source of a file by its name, read as `data` says of the training file. Raises
        DataError.
        """
        if not path.is_file():
            raise DataError(str(path), "a file", "no file of this name", "Check the path.")
        suffix = archive.suffix(path)
        if suffix not in KINDS:
            raise DataError(
                str(path),
                f"a file ending in {', '.join(KINDS)} (.gz, .zip)",
                repr(suffix),
                "Convert the file.",
            )
        data = data or TableFile(source=path.name)
        separator = data.separator or ("\t" if suffix == ".tsv" else ",")
        return cls(path, KINDS[suffix], data.model_copy(update={"separator": separator}), fields)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Row after row. Raises RowError, DataError or SystemFault."""
        if self.kind in ("parquet", "xlsx"):
            yield from _parquet_rows(self.path) if self.kind == "parquet" else self._excel_rows()
            return
        where, said = str(self.path), self.data.read.encoding
        try:
            with encoding.opened(self.path, said) as stream:
                lines = _lines(
                    io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
                )
                if self.kind == "csv":
                    yield from csv_rows(lines, self.data.separator or ",", where, self.fields)
                else:
                    yield from _json_rows(lines, where)
        except UnicodeDecodeError as error:
            encoding.check_text(self.path, said)
            raise DataError(where, "UTF-8 text", error.reason, "Save the file as UTF-8.") from None

    def _excel_rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the recipe's sheet, if the file has it, else of the first; their cells are
        typed.
        """
        names: list[str] | None = None
        for number, cells in workbook.rows(self.path, self.data.sheet):
            where = f"{self.path}, row {number:,}"
            if names is None:
                names = ["" if cell is None else str(cell).strip() for cell in cells]
                while names and not names[-1]:
                    names.pop()
                if self.fields is None:
                    continue
                names, is_header = self.fields.of_line(names, where)
                if is_header:
                    continue
            yield {name: cells[i] if i < len(cells) else None for i, name in enumerate(names)}


def predict_file(
    bundle: Bundle, source: Path, target: Path, watch: Watch | None = None, keep: Sequence[str] = ()
) -> int:
    """Predict every row of `source` into `target` (.csv or .jsonl), which appears when it is whole.
    Returns the rows.

    The file is read as the recipe says: separator, header, encoding, sheet. `watch` is given the
    answers, chunk by chunk; `keep`: columns of the file that are passed through, before the
    predictions. Raises a SixfoldError.
    """
    kind = KINDS.get(target.suffix.lower())
    if kind not in ("csv", "jsonl"):
        raise DataError(
            str(target),
            "a file ending in .csv or .jsonl",
            repr(target.suffix),
            "Choose another name.",
        )
    _check_target(source, target)
    with _whole_file(target) as sink:
        return predict_stream(bundle, source, sink, kind, watch, keep)


def predict_stream(
    bundle: Bundle,
    source: Path,
    sink: TextIO,
    kind: str,
    watch: Watch | None = None,
    keep: Sequence[str] = (),
) -> int:
    """Predict every row of `source` into an open text, as `csv` or `jsonl`. Returns the rows."""
    write = _csv_writer(sink) if kind == "csv" else _json_writer(sink)
    kept = _Kept(keep, str(source))
    file = Source.of(source, bundle.recipe.data, Fields.of(bundle.signature))
    rows, done, seen = file.rows(), 0, set[str]()
    optional = frozenset(column.name for column in bundle.signature.inputs if column.optional)
    size = CHUNK_FILES if bundle.predictor.file_columns else CHUNK
    while chunk := list(itertools.islice(rows, size)):
        if file.kind == "jsonl":
            _fill(chunk, optional, seen)
        front_end = bundle.predictor.front_end
        try:
            feeds = front_end.feeds(
                with_paths(chunk, bundle.predictor.file_columns, source.parent), first_row=done + 1
            )
            predictions = bundle.predictor.run(feeds, done + 1)
        except RowError as error:
            raise RowError(
                f"{source}, {error.where}", error.expected, error.found, error.remedy
            ) from None
        write(kept.columns(chunk), predictions)
        if watch is not None:
            watch(predictions)
        done += len(chunk)
    if done == 0:
        raise DataError(str(source), "at least one row", "none", "Check the file.")
    return done


def _fill(rows: Sequence[dict[str, Any]], optional: frozenset[str], seen: set[str]) -> None:
    """A key that is absent is a missing value, as in training; if the file has it at all, so that a
    misspelled one is told.
    """
    seen.update(*(optional.intersection(row) for row in rows))
    for row in rows:
        for name in seen.difference(row):
            row[name] = None


def _lines(file: TextIO) -> Iterator[str]:
    """Lines, each cut just beyond the bound, so that a file without line ends is never read
    whole.
    """
    while line := file.readline(LONGEST_LINE + 1):
        yield line


def _json_rows(lines: Iterable[str], where: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RowError(
                f"{where}, line {number}", "a JSON object", str(error)[:80], "One row a line."
            ) from None
        if not isinstance(row, dict):
            raise RowError(
                f"{where}, line {number}", "a JSON object", shown(row), "One row a line."
            )
        yield row


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        parquet: Any = importlib.import_module(
            "pyarrow.parquet"
        )  # an extra: asked for only when there is such a file
    except ImportError:
        raise SystemFault(
            str(path),
            "pyarrow, to read Parquet",
            "no such package",
            "Install the extra: pip install 'sixfold[train]'; or convert the file to CSV.",
        ) from None
    try:
        with (
            archive.seekable(path) as stream,
            parquet.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
        ):
            for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
                yield from map(_with_file_bytes, batch.to_pylist())
    except (ValueError, OSError) as error:  # pyarrow's errors are among these
        if isinstance(error, SixfoldError):
            raise
        raise DataError(
            str(path), "a Parquet file", str(error).splitlines()[0], "Write the file again."
        ) from None


def _rows_at_once(facts: Any) -> int:
    """Of a Parquet file: few where they are large."""
    held = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    return int(max(1, min(CHUNK, BATCH_BYTES * facts.num_rows // max(1, held))))


def _with_file_bytes(row: dict[str, Any]) -> dict[str, Any]:
    """A file as Hugging Face's data sets write it, {bytes, path}, is its bytes."""
    for name, value in row.items():
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            row[name] = value["bytes"]
    return row


def _check_target(source: Path, target: Path) -> None:
    """The answers never replace the rows that are asked, by whatever name. Raises DataError."""
    for path in (target, target.with_name(target.name + ".tmp")):
        if path.exists() and source.exists() and path.samefile(source):
            raise DataError(
                str(target),
                "another file than the one that is read",
                f"the same as {source}",
                "Choose another name for --out.",
            )


class _Kept:
    """Columns of the input that are passed through, by the names that they get: `input_NAME` where
    an answer has the name.
    """

    def __init__(self, names: Sequence[str], where: str) -> None:
        self.names, self.where = tuple(dict.fromkeys(names)), where
        self._checked = False

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """Name → the value of each row; a key that a row of JSON lacks is None. Raises DataError
        for a name that no row has.
        """
        if not self._checked:
            known = dict.fromkeys(name for row in rows for name in row)
            for name in self.names:
                if name not in known:
                    raise DataError(
                        f"{self.where}, --keep",
                        "a column of the file",
                        f"'{name}'",
                        did_you_mean(name, map(str, known)),
                    )
            self._checked = True
        return {name: [_passed(row.get(name)) for row in rows] for name in self.names}


def _passed(value: Any) -> Any:
    """A value as JSON and CSV hold it: moments are text, and so are files, as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _with(kept: Mapping[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """The kept columns by names that no answer has. Raises DataError where there is none."""
    taken = set(taken)
    named = {f"input_{name}" if name in taken else name: value for name, value in kept.items()}
    if len(named) < len(kept) or taken & set(named):
        twice = next(name for name in kept if name in taken)
        raise DataError(
            "--keep",
            "columns that are named unlike the answers",
            f"'{twice}' and 'input_{twice}'",
            "Rename the column.",
        )
    return named


def _csv_writer(sink: TextIO) -> Write:
    writer = csv.writer(sink, lineterminator="\n")
    header_due = [True]

    def write(kept: Mapping[str, list[Any]], predictions: Predictions) -> None:
        answers = predictions.columns()
        texts = {name: [_as_text(value) for value in values] for name, values in kept.items()}
        columns = {**_with(texts, answers), **answers}
        if header_due.pop() if header_due else False:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))

    return write


def _as_text(value: Any) -> Any:
    """In a CSV: true and false as JSON writes them, NaN as nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value != value else value


def _json_writer(sink: TextIO) -> Write:
    def write(kept: Mapping[str, list[Any]], predictions: Predictions) -> None:
        records = predictions.records()
        columns = _with(kept, records[0] if records else ())
        for number, record in enumerate(records):
            before = {
                name: None if (value := values[number]) != value else value
                for name, values in columns.items()
            }
            sink.write(strict_json.text({**before, **record}) + "\n")

    return write


@contextmanager
def _whole_file(target: Path) -> Iterator[TextIO]:
    """A text that takes its name only when everything was written; nothing stays behind when it was
    not.
    """
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
