"""The proof that the graph answers as the trained pipeline did: stored rows, stored answers, asked again.

`parity.jsonl.gz`: one JSON object a column, as values that are alike pack well: `{"column": name, "values": [text of every
row]}`, then `{"output": "label", "values": [text]}` and `{"output": name, "columns": [[numbers], …]}`. Numbers are answers to
nine digits after the point; of values, to nine digits of what tells them apart: the tolerance is ten thousand times as wide.
Rows are text, as one would find them in a CSV, and are asked in every form (`forms`), so that the front end is part of what is
proved.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.forms import forms
from sixfold.bundle.predictor import Predictor
from sixfold.core.errors import BundleError

TOLERANCE: Final = 1e-5  # of probabilities and decisions: absolute; of values: relative to their spread
SINGLE: Final = 2.0**-21  # what single precision may lose of a value's own size (2^-24, and sums of it); guessed
CENTERED: Final = 2.0**12  # times the spread: targets beyond it are learned less an offset, which is added in double
MOST_BYTES: Final = 1 << 30  # unpacked; guessed, far above 1,000 rows of 10,000 columns
DIGITS: Final = 9  # that answers are stored with
ALONE: Final = 8  # rows that are also asked one by one: a batch of one may take another path
FORM_CELLS: Final = (
    100_000  # that are asked in the forms other than text: all rows of up to 100 columns; each takes 1 µs
)
RERUN: Final = "The exported graph disagrees with the trained pipeline: report it with the recipe; nothing was written."


@dataclass(frozen=True)
class Parity:
    """`rows`: column → text. `expected`: output → the pipeline's answers, `label` [rows], others [rows, columns]."""

    rows: Sequence[Mapping[str, str]]
    expected: Mapping[str, npt.NDArray[Any]]

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
            if name == "label":
                yield {"output": name, "values": np.asarray(array).reshape(-1).tolist()}
            else:
                digits = f".{_digits(array)}g" if name == "value" else f".{DIGITS}f"
                columns = np.asarray(array, dtype=np.float64).reshape(len(self.rows), -1).T.tolist()
                yield {"output": name, "columns": [[float(format(cell, digits)) for cell in each] for each in columns]}


def _digits(values: npt.NDArray[Any]) -> int:
    """Digits in all of which DIGITS tell the values apart: near 1e9 with a spread of 1 the first nine are the same."""
    largest, spread = float(np.abs(values).max(initial=0.0)), float(_spread(values).max(initial=0.0))
    return DIGITS + max(0, math.ceil(math.log10(largest / spread))) if spread > 0 and largest > 0 else DIGITS


def _spread(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[columns] mean distance from the median."""
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return np.asarray(np.abs(rows - np.median(rows, axis=0)).mean(axis=0), dtype=np.float64)


def unpack(content: bytes, where: str) -> Parity:
    """Read what `packed` wrote, or what it wrote before: one object a row. Raises BundleError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes when unpacked")
        lines = [json.loads(line) for line in text.splitlines()]
        return _of_rows(lines) if "row" in lines[0] else _of_columns(lines)
    except (ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as error:
        raise BundleError(where, "stored rows with answers", str(error) or type(error).__name__, "Run again.") from None


def _of_columns(lines: Sequence[dict[str, Any]]) -> Parity:
    columns = {line["column"]: line["values"] for line in lines if "column" in line}
    cells = zip(*columns.values(), strict=True)
    expected = {
        line["output"]: np.array(line["values"]) if "values" in line else np.array(line["columns"], dtype=np.float64).T
        for line in lines
        if "column" not in line
    }
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    if any(len(array) != len(rows) for array in expected.values()):
        raise ValueError("columns of several lengths")
    return Parity(rows, expected)


def _of_rows(lines: Sequence[dict[str, Any]]) -> Parity:
    """`{"row": {column: text}, "expected": {output: text or numbers}}`, a line a row: as bundles were written at first."""
    names = lines[0]["expected"]
    return Parity(
        [line["row"] for line in lines], {name: np.array([line["expected"][name] for line in lines]) for name in names}
    )


def check_parity(predictor: Predictor, parity: Parity, where: str = "model.onnx") -> float:
    """Ask the graph for the stored rows in every form: labels equal, numbers within 1e-5. Returns the largest difference.

    A few rows are asked alone too; not where activations are quantised dynamically, by the range of the whole batch: there
    a row's answer depends on the rows asked with it.

    Raises BundleError with the row and the output that differ most.
    """
    if not parity.rows:
        raise BundleError(where, "at least one stored row", "none", "Store rows of the training table.")
    allowed = {name: _allowed(name, array) for name, array in parity.expected.items()}
    worst = 0.0
    some = parity.rows[: max(ALONE, FORM_CELLS // len(parity.rows[0]))]
    for form, rows in [("text", parity.rows), *forms(predictor.signature, some)]:
        found, place = predictor.predict(rows).outputs, where if form == "text" else f"{where}, asked with {form}"
        if set(found) != set(parity.expected):
            raise BundleError(where, f"answers {sorted(parity.expected)}", f"{sorted(found)}", RERUN)
        count = slice(None if form == "text" else len(some))
        for name in sorted(found):
            stored = parity.expected[name][count], allowed[name][count]
            worst = max(worst, _compare(name, stored, found[name], place))
    for number in range(0 if predictor.depends_on_batch else min(ALONE, len(parity.rows))):
        alone = predictor.predict([parity.rows[number]]).outputs
        for name in sorted(alone):
            one = slice(number, number + 1)
            worst = max(worst, _compare(name, (parity.expected[name][one], allowed[name][one]), alone[name], where))
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
    name: str, stored: tuple[npt.NDArray[Any], npt.NDArray[np.float64]], found: npt.NDArray[Any], where: str
) -> float:
    """The largest difference. `stored`: what is expected, and how far from it an answer may be."""
    expected, allowed = stored
    if expected.size != found.size:
        raise BundleError(where, f"{name} of shape {expected.shape}", f"{found.shape}", RERUN)
    if name == "label":
        wrong = np.flatnonzero(expected.reshape(-1).astype(str) != found.reshape(-1).astype(str))
        if len(wrong):
            row = int(wrong[0])
            raise BundleError(
                f"{where}, stored row {row + 1}", f"label {str(expected.reshape(-1)[row])!r}",
                f"{str(found.reshape(-1)[row])!r} ({len(wrong)} rows differ)", RERUN,
            )  # fmt: skip
        return 0.0
    expected = expected.astype(np.float64).reshape(found.shape)
    difference = np.abs(expected - found)
    beyond = ~(difference <= allowed.reshape(found.shape))  # NaN is beyond
    if beyond.any():
        at = np.unravel_index(
            int(np.argmax(np.where(beyond, np.nan_to_num(difference, nan=np.inf), -1.0))), beyond.shape
        )
        raise BundleError(
            f"{where}, stored row {int(at[0]) + 1}",
            f"{name} {expected[at]!r} within {allowed.reshape(found.shape)[at]:.2g}",
            f"{found[at]!r} ({int(beyond.any(axis=-1).sum())} rows differ)", RERUN,
        )  # fmt: skip
    return float(difference.max(initial=0.0))
