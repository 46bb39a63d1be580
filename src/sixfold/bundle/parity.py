"""The proof that the graph answers as the trained pipeline did: stored rows, stored answers, asked
again.

`parity.jsonl.gz`: one JSON object a column, as values that are alike pack well:
`{"column": name, "values": [text of every row]}`, then `{"output": "label", "values": [text]}` and
`{"output": name, "columns": [[numbers], …]}`. Numbers are answers to nine digits after the point;
of values, to nine digits of what tells them apart: the tolerance is ten thousand times as wide.
Rows are text, as one would find them in a CSV, and are asked in every form (`forms`), so that the
front end is part of what is proved.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.forms import forms
from sixfold.bundle.frontend import shorten
from sixfold.bundle.predictor import Predictor
from sixfold.core import json_limits
from sixfold.core.errors import BundleError
from sixfold.recipe.signature import Signature

TOLERANCE: Final = (
    1e-5  # of probabilities and decisions: absolute; of values: relative to their spread
)
SINGLE: Final = (
    2.0**-21
)  # what single precision may lose of a value's own size (2^-24, and sums of it); guessed
CENTERED: Final = (
    2.0**12
)  # times the spread: targets beyond it are learned less an offset, which is added in double
MOST_ROWS: Final = 2_000  # that a file may hold; a run stores 1,024 at most
# Cells (of raw columns and of answers) that a file may hold: 50 MB as Python's texts, and seconds
# to ask.
MOST_CELLS: Final = 500_000
STORED_CELLS: Final = (
    400_000  # that a run stores at most: 74 rows of 5,000 columns, fewer of wider tables
)
MOST_BYTES: Final = 24 << 20  # unpacked, 50 a cell; a run stores half of it at most
# Cells that hold a file (or a long text) pack badly: a run stores so many bytes of them, or so few
# rows. Guessed: 150 small images, and a bundle stays as small as its model.
LONG_CELL: Final = 256  # characters
LONG_BYTES: Final = 64 << 10
LEAST_ROWS: Final = 32
BLOCK: Final = 64 << 10  # bytes that are unpacked at a time
NUMBER_BYTES: Final = 25  # of an answer as text, at most
DIGITS: Final = 9  # that answers are stored with
ALONE: Final = 8  # rows that are also asked one by one: a batch of one may take another path
FORM_CELLS: Final = 100_000  # asked in the forms other than text: rows of up to 100 columns, all; 1 µs each, a file more than all
PLAIN_TEXTS: Final = ("label", "text")  # outputs of a text a row, which are compared as they are
RERUN: Final = "The exported graph disagrees with the trained pipeline: report it with the recipe; nothing was written."


@dataclass(frozen=True)
class Parity:
    """`rows`: column → text. `expected`: output → the pipeline's answers, `label` [rows], others
    [rows, columns]. `real`: so many rows, the first ones, are of the training table as they are
    (what was read from a file does not say it: 0).
    """

    rows: Sequence[Mapping[str, str]]
    expected: Mapping[str, npt.NDArray[Any]]
    real: int = 0

    def fitting(self) -> Parity:
        """Itself, or some of its rows: as many as `unpack` takes, no more than STORED_CELLS, and of
        long cells no more than LONG_BYTES.
        """
        some = self._few_long_cells()
        cells = (
            len(some.rows[0]) + sum(array[:1].size for array in some.expected.values())
            if some.rows
            else 1
        )
        rows, size = min(len(some.rows), max(1, STORED_CELLS // max(1, cells))), 0
        for number, row in enumerate(some.rows[:rows]):
            size += sum(map(_json_bytes, row.values())) + NUMBER_BYTES * cells
            if number and size > MOST_BYTES // 2:
                rows = number
                break
        return some._taken(np.arange(rows))

    def _few_long_cells(self) -> Parity:
        """Rows from all over, as the first ones are real and later ones mixed."""
        cells = (text for row in self.rows for text in row.values())
        long, count = sum(len(text) for text in cells if len(text) > LONG_CELL), len(self.rows)
        rows = max(LEAST_ROWS, count * LONG_BYTES // max(1, long))
        return self if rows >= count else self._taken(np.linspace(0, count - 1, rows).astype(int))

    def _taken(self, rows: npt.NDArray[np.int64]) -> Parity:
        return Parity(
            [self.rows[at] for at in rows.tolist()],
            {name: array[rows] for name, array in self.expected.items()},
            int((rows < self.real).sum()),
        )

    def packed(self) -> bytes:
        """The content of parity.jsonl.gz; the same rows give the same bytes."""
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
            for line in self._lines():
                file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        return buffer.getvalue()

    def _lines(self) -> Iterator[dict[str, Any]]:
        for name in self.rows[0] if self.rows else ():
            yield {"column": name, "values": [row[name] for row in self.rows]}
        for name, array in self.expected.items():
            if name in PLAIN_TEXTS:
                yield {"output": name, "values": np.asarray(array).reshape(-1).tolist()}
            else:
                digits = f".{_digits(array)}g" if name == "value" else f".{DIGITS}f"
                columns = np.asarray(array, dtype=np.float64).reshape(len(self.rows), -1).T.tolist()
                yield {
                    "output": name,
                    "columns": [[float(format(cell, digits)) for cell in each] for each in columns],
                }


def _digits(values: npt.NDArray[Any]) -> int:
    """Digits in all of which DIGITS tell the values apart: near 1e9 with a spread of 1 the first
    nine are the same.
    """
    largest, spread = (
        float(np.abs(values).max(initial=0.0)),
        float(_spread(values).max(initial=0.0)),
    )
    return (
        DIGITS + max(0, math.ceil(math.log10(largest / spread)))
        if spread > 0 and largest > 0
        else DIGITS
    )


def _spread(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[columns] mean distance from the median."""
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return np.asarray(np.abs(rows - np.median(rows, axis=0)).mean(axis=0), dtype=np.float64)


def _json_bytes(text: str) -> int:
    """Of a text as JSON, at most: half a character of those beyond ASCII takes six."""
    return 3 + len(text) * (2 if text.isascii() and text.isprintable() else 12)


def unpack(content: bytes, where: str, signature: Signature, rows: int = 0) -> Parity:
    """Read what `packed` wrote, or what it wrote before: one object a row. Raises BundleError.

    The rows are of `signature`, and `rows` in number (0: any); what would be more is not read to
    its end.
    """
    try:
        lines = _ParityLines(content, signature, rows)
        first = next(lines.values, None)
        if first is None:
            raise ValueError("no line")
        values = itertools.chain([first], lines.values)
        found = (
            _of_rows(values)
            if "row" in first
            else _of_columns(values, {each.name for each in signature.inputs})
        )
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, RecursionError) as error:
        problem = shorten(str(error)) if str(error) else type(error).__name__
        raise BundleError(where, "stored rows with answers", problem, "Run again.") from None
    if rows and len(found.rows) != rows:
        raise BundleError(
            where,
            f"{rows:,} stored rows, as the receipt says",
            f"{len(found.rows):,}",
            "Run again.",
        )
    return found


class _ParityLines:
    """The lines of a packed file, one after the other, each looked at before it is read. All of
    them raise ValueError.
    """

    def __init__(self, content: bytes, signature: Signature, rows: int) -> None:
        answers = sum(len(output.columns) for output in signature.outputs)
        columns = len(signature.inputs) + answers
        self.rows = min(rows or MOST_ROWS, max(1, MOST_CELLS // max(1, columns)))
        self.count = max(columns, self.rows)
        # An output's line holds a list for each of its columns; a line of one row holds a value a
        # column.
        cells = max(self.rows * max(1, answers), columns)
        self.limits = json_limits.JsonLimits(MOST_BYTES, values=cells + 2 * columns + 16, depth=4)
        self.values = self._values(content)

    def _values(self, content: bytes) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines(content)):
            if number >= self.count:
                raise ValueError(f"more than {self.count:,} lines")
            if found := json_limits.violation(line, self.limits):
                raise ValueError(f"line {number + 1}: {found[1]} where {found[0]} are allowed")
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(f"line {number + 1}: no mapping")
            yield value

    def _lines(self, content: bytes) -> Iterator[bytes]:
        rest: list[bytes] = []
        for block in self._unpacked(content):
            *ended, last = block.split(b"\n") if b"\n" in block else (block,)
            for line in ended:
                yield b"".join((*rest, line))
                rest = []
            rest.append(last)
        if tail := b"".join(rest):
            yield tail

    def _unpacked(self, content: bytes) -> Iterator[bytes]:
        """Block by block: never more in memory than one, whatever a few bytes unpack to."""
        unpacker, size = zlib.decompressobj(16 + zlib.MAX_WBITS), 0
        left = content
        while not unpacker.eof:
            block = unpacker.decompress(left, BLOCK)
            left = unpacker.unconsumed_tail
            size += len(block)
            if size > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES:,} bytes when unpacked")
            if not block and not left and not unpacker.eof:
                raise ValueError("packed bytes that end too soon")
            yield block
        if unpacker.unused_data:
            raise ValueError("more bytes behind the packed ones")


def _of_columns(lines: Iterator[dict[str, Any]], names: set[str]) -> Parity:
    columns: dict[str, list[str]] = {}
    expected: dict[str, npt.NDArray[Any]] = {}
    for line in lines:
        if "column" in line:
            columns[_new(line["column"], columns)] = _texts(line["values"])
            continue
        name = _new(line["output"], expected)
        expected[name] = (
            np.array(_texts(line["values"]), dtype=object)
            if "values" in line
            else _numbers(line["columns"]).T
        )
    if columns.keys() != names:
        raise ValueError("other columns than the signature has")
    if len({*map(len, columns.values()), *map(len, expected.values())}) > 1:
        raise ValueError("columns of several lengths")
    return Parity(
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        expected,
    )


def _of_rows(lines: Iterator[dict[str, Any]]) -> Parity:
    """`{"row": {column: text}, "expected": {output: text or numbers}}`, a line a row: as bundles
    were written at first.
    """
    rows: list[dict[str, str]] = []
    found: dict[str, list[Any]] = {}
    for line in lines:
        _texts(list(line["row"].values()))
        rows.append(line["row"])
        for name, value in line["expected"].items():
            found.setdefault(name, []).append(value)
    if any(len(values) != len(rows) for values in found.values()):
        raise ValueError("rows with other answers than the first one")
    return Parity(
        rows,
        {
            name: np.array(_texts(v), dtype=object) if name in PLAIN_TEXTS else _numbers(v)
            for name, v in found.items()
        },
    )


def _new(name: Any, known: Mapping[str, Any]) -> str:
    if not isinstance(name, str) or name in known:
        raise ValueError("a name that is no text, or a name twice")
    return name


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("values that are no list of texts")
    return values


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    """A list of lists of numbers as an array."""
    if not isinstance(values, list) or not all(isinstance(each, list) for each in values):
        raise ValueError("answers that are no lists of numbers")
    if not all(isinstance(cell, float | int) for each in values for cell in each):
        raise ValueError("an answer that is no number")
    return np.array(values, dtype=np.float64)


def check_parity(predictor: Predictor, parity: Parity, where: str = "model.onnx") -> float:
    """Ask the graph for the stored rows in every form: labels equal, numbers within 1e-5. Returns
    the largest difference.

    A few rows are asked alone too; not where activations are quantized dynamically, by the range of
    the whole batch: there a row's answer depends on the rows asked with it.

    Raises BundleError with the row and the output that differ most.
    """
    if not parity.rows:
        raise BundleError(
            where, "at least one stored row", "none", "Store rows of the training table."
        )
    try:
        return _asked(predictor, parity, where)
    except BundleError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        csv.Error,
    ) as error:  # rows of a stranger
        raise BundleError(
            where, "stored rows that the model takes", shorten(str(error)), RERUN
        ) from None


def _asked(predictor: Predictor, parity: Parity, where: str) -> float:
    """The largest difference over all forms."""
    allowed = {name: _allowed(name, array) for name, array in parity.expected.items()}
    worst = 0.0
    cells = FORM_CELLS if predictor.file_columns else len(parity.rows[0])
    some = parity.rows[: max(ALONE, FORM_CELLS // cells)]
    for form, rows in [("text", parity.rows), *forms(predictor.signature, some)]:
        found, place = (
            predictor.predict(rows).outputs,
            where if form == "text" else f"{where}, asked with {form}",
        )
        if set(found) != set(parity.expected):
            raise BundleError(
                where, f"answers {sorted(parity.expected)}", f"{sorted(found)}", RERUN
            )
        count = slice(None if form == "text" else len(some))
        for name in sorted(found):
            stored = parity.expected[name][count]
            worst = max(worst, _compare(name, stored, allowed[name][count], found[name], place))
    for number in range(0 if predictor.runtime.depends_on_batch else min(ALONE, len(parity.rows))):
        alone = predictor.predict([parity.rows[number]]).outputs
        for name in sorted(alone):
            one = slice(number, number + 1)
            stored = parity.expected[name][one]
            worst = max(worst, _compare(name, stored, allowed[name][one], alone[name], where))
    return worst


def _allowed(name: str, expected: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[rows, columns] how far an answer may be from what is expected."""
    if name != "value":
        return np.full(expected.shape, TOLERANCE)
    values = np.asarray(expected, dtype=np.float64).reshape(len(expected), -1)
    spread = _spread(values)
    return TOLERANCE * (spread + np.abs(values - np.median(values, axis=0))) + SINGLE * np.where(
        spread > 0, np.minimum(np.abs(values), CENTERED * spread), np.abs(values)
    )


def _compare(
    name: str,
    expected: npt.NDArray[Any],
    allowed: npt.NDArray[np.float64],
    found: npt.NDArray[Any],
    where: str,
) -> float:
    """The largest difference. `allowed`: how far from what is expected an answer may be."""
    if expected.size != found.size:
        raise BundleError(where, f"{name} of shape {expected.shape}", f"{found.shape}", RERUN)
    if name in PLAIN_TEXTS:
        pairs = list(zip(map(str, expected.reshape(-1)), map(str, found.reshape(-1)), strict=True))
        wrong = [row for row, (one, other) in enumerate(pairs) if one != other]
        if wrong:
            one, other = pairs[wrong[0]]
            raise BundleError(
                f"{where}, stored row {wrong[0] + 1}",
                f"{name} {shorten(one)!r}",
                f"{shorten(other)!r} ({len(wrong)} rows differ)",
                RERUN,
            )
        return 0.0
    expected = expected.astype(np.float64).reshape(found.shape)
    difference = np.abs(expected - found)
    beyond = ~(difference <= allowed.reshape(found.shape))  # NaN is beyond
    if beyond.any():
        at = np.unravel_index(
            int(np.argmax(np.where(beyond, np.nan_to_num(difference, nan=np.inf), -1.0))),
            beyond.shape,
        )
        raise BundleError(
            f"{where}, stored row {int(at[0]) + 1}",
            f"{name} {expected[at]!r} within {allowed.reshape(found.shape)[at]:.2g}",
            f"{found[at]!r} ({int(beyond.any(axis=-1).sum())} rows differ)",
            RERUN,
        )
    return float(difference.max(initial=0.0))
