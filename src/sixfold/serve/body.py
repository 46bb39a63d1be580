"""The body of POST /predict: JSON rows, JSON columns, CSV or a form → what the bundle's front end
takes.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np
from starlette.types import ASGIApp

from sixfold.bundle.explain.told import METHODS, AskedMethod
from sixfold.bundle.frontend import (
    Feeds,
    RawRows,
    csv_rows,
    longest_record,
    most_columns,
    shorten,
    shown,
)
from sixfold.bundle.headerless import Fields
from sixfold.bundle.load import Bundle
from sixfold.bundle.predictions import Predictions
from sixfold.core.errors import RowError
from sixfold.serve.errors import JsonAnswer, Refusal, bad_request, to_json
from sixfold.serve.inference import Question
from sixfold.serve.json_rows import DEEP, JsonRows, longest_row, no_json
from sixfold.serve.limits import LARGE_BODY, Headers
from sixfold.serve.multipart import FORM, Form

FORMS = '{"rows": [{column: value}]}, {"columns": {column: [values]}}, or a list of rows'
JSON_TYPES = ("", "application/json")
EXPLAIN_KEY: Final = "explain"
# How a body ends that asks to explain its rows, and how many bytes of the end are looked at.
EXPLAINED_ROWS: Final = re.compile(rb'\]\s*,\s*"explain"\s*:\s*[^\s{}\[\],]+\s*\}\s*\Z')
LONGEST_END: Final = 256
CHUNKED: Final = 1 << 20  # bytes looked at in one go
CHUNK: Final = 512  # rows of a large body, and of a large answer, that are objects of Python's at the same time
FEW_VALUES: Final = 100_000  # values of a large body that are never too many
MOST_VALUES: Final = (
    1_000_000  # values of a body that is columns or tensors: all are held at once; guessed
)


class Reader:
    """Reads the bodies for one bundle: those of at most LARGE_BODY bytes at once, larger ones piece
    by piece.
    """

    def __init__(self, bundle: Bundle, max_rows: int) -> None:
        self._front_end, self._max_rows = bundle.predictor.front_end, max_rows
        self._names = {column.name for column in bundle.signature.inputs}
        self._separator, self._fields = (
            bundle.recipe.data.separator or ",",
            Fields.of(bundle.signature),
        )
        self._longest_row = longest_row(bundle.signature)
        self._columns, self._form = most_columns(bundle.signature), Form(bundle.signature)

    def read(self, content: bytes | bytearray, headers: Headers) -> Question:
        """What is asked. Raises Refusal 400, 413 or 415, RowError."""
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == FORM:
            columns = self._form.columns(content, content_type)
            _drop(content)
            return self._counted(columns, explain=self._form_asks(columns))
        if len(content) > LARGE_BODY:
            return self._read_large(content, kind)
        if kind in JSON_TYPES:
            return self._counted(*_asked(read_json(content)))
        return self._counted(parse(content, kind, self._separator, self._fields, self._columns))

    def _form_asks(self, columns: dict[str, list[Any]]) -> AskedMethod | None:
        """By which method answers are to be explained: a field `explain` of a form, which is taken out,
        where no column has this name. Raises RowError.
        """
        if EXPLAIN_KEY in self._names or EXPLAIN_KEY not in columns:
            return None
        given = columns.pop(EXPLAIN_KEY)
        text = given[0].decode("latin-1") if isinstance(given[0], bytes) else str(given[0])
        if len(given) > 1:
            raise RowError(EXPLAIN_KEY, "one value", f"{len(given):,}", "Send it once.")
        return _method({"true": True, "false": False}.get(text, text))

    def _counted(self, rows: RawRows, explain: AskedMethod | None = None) -> Question:
        number = count(rows)
        check_count(number, self._max_rows)
        return Question(rows, number, answer, explain=explain)

    def _read_large(self, content: bytes | bytearray, kind: str) -> Question:
        if kind == "text/csv":
            question = self._in_chunks(self._csv(content))
        elif kind not in JSON_TYPES:
            raise _no_such_type(kind)
        elif (rows := self._listed(content)) is not None:
            question = self._in_chunks(rows)
            rows.close()
        else:
            check_values(content, self._max_rows, self._columns)
            text = _text(content)
            _drop(
                content
            )  # neither it and its values are held at the same time, nor, above, it and the answer
            return self._counted(*_asked(_json_of(text)))
        _drop(content)
        return question

    def _listed(self, content: bytes | bytearray) -> JsonRows | None:
        """Rows that can be read one after the other; None of columns, and of what is to be explained."""
        if EXPLAINED_ROWS.search(content[-LONGEST_END:]):
            return None
        rows = JsonRows(content, _scan, self._longest_row)
        if rows.is_list:
            return rows
        rows.close()
        return None

    def _csv(self, content: bytes | bytearray) -> Iterator[dict[str, str]]:
        text = io.TextIOWrapper(io.BufferedReader(_Content(content)), "utf-8", newline="")
        longest = longest_record(self._columns)
        lines = iter(lambda: text.readline(longest + 1), "")
        return csv_rows(lines, self._separator, "the body", self._fields, self._columns)

    def _in_chunks(self, rows: Iterator[Any]) -> Question:
        parts: list[Feeds] = []
        number = 0
        try:
            while chunk := list(itertools.islice(rows, CHUNK)):
                number += len(chunk)
                check_count(number, self._max_rows, "more")
                parts.append(self._front_end.feeds(chunk, "refuse", number - len(chunk) + 1))
        except UnicodeDecodeError as error:
            raise _no_utf8(error) from None
        check_count(number, self._max_rows)
        feeds = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Question((), number, answer, feeds)


def _drop(content: bytes | bytearray) -> None:
    """A large body is no longer needed, though others still name it."""
    if isinstance(content, bytearray):
        with suppress(BufferError):  # somebody still reads it
            content.clear()


class _Content(io.RawIOBase):
    """A body as a file, without a copy of it."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._rest = memoryview(content)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def answer(predictions: Predictions) -> ASGIApp:
    """A record a row. Many are written piece by piece, so that few are objects of Python's at the
    same time.
    """
    if len(predictions) <= CHUNK:
        return JsonAnswer(to_json({"predictions": predictions.records()}).encode())
    pieces = []
    for start in range(0, len(predictions), CHUNK):
        outputs = {
            name: array[start : start + CHUNK] for name, array in predictions.outputs.items()
        }
        pieces.append(
            to_json(replace(predictions, outputs=outputs, feeds={}).records())[1:-1].encode()
        )
    return JsonAnswer(b"".join([b'{"predictions":[', b",".join(pieces), b"]}"]))


def check_values(content: bytes | bytearray | memoryview, max_rows: int, columns: int) -> None:
    """No more values than rows and columns allow, by the number of commas, before any of them is
    read. Raises Refusal 413.
    """
    most = min(MOST_VALUES, max(FEW_VALUES, max_rows * columns))
    found = sum(
        bytes(content[start : start + CHUNKED]).count(b",")
        for start in range(0, len(content), CHUNKED)
    )
    if found > most:
        raise Refusal(
            413,
            "the body",
            f"at most {most:,} values",
            f"{found:,}",
            "Send rows, or several requests.",
        )


def parse(
    content: bytes | bytearray,
    kind: str,
    separator: str,
    fields: Fields | None = None,
    columns: int | None = None,
) -> RawRows:
    """Rows or columns of JSON or CSV; `columns`: at most so many of CSV. Raises Refusal (400, 415)
    or RowError.
    """
    if kind in JSON_TYPES:
        return _rows_of(read_json(content))
    if kind == "text/csv":
        return list(
            csv_rows(
                io.StringIO(_text(content), newline=""), separator, "the body", fields, columns
            )
        )
    raise _no_such_type(kind)


def _no_such_type(kind: str) -> Refusal:
    allowed = f"application/json, text/csv or {FORM}"
    return Refusal(415, "Content-Type", allowed, f"'{shorten(kind)}'", "Set the header.")


def read_json(content: bytes | bytearray | memoryview) -> Any:
    """The JSON value of a body, by the letter: no NaN, no key twice. Raises Refusal 400."""
    return _json_of(_text(content))


def _json_of(text: str) -> Any:
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        raise no_json(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise no_json(DEEP) from None
    except ValueError as error:  # what the two hooks raise, and numbers of thousands of digits
        raise no_json(str(error)) from None


def count(rows: RawRows) -> int:
    """The number of rows, as far as it can be said before they are looked at."""
    if isinstance(rows, Mapping):
        return max((len(values) for values in rows.values() if isinstance(values, list)), default=0)
    return len(rows)


def check_count(rows: int, most: int, found: str = "") -> None:
    """At least one row, at most `most`. `found`: where the number is not known. Raises RowError or
    Refusal 413.
    """
    if rows == 0:
        raise RowError("the body", "at least one row", "none", f"Send {FORMS}.")
    if rows > most:
        raise Refusal(
            413,
            "the body",
            f"at most {most:,} rows",
            found or f"{rows:,}",
            "Send them in several requests.",
        )


def _asked(value: Any) -> tuple[RawRows, AskedMethod | None]:
    """Rows, and by which method their answers are to be explained. Raises RowError."""
    if not isinstance(value, dict) or EXPLAIN_KEY not in value:
        return _rows_of(value), None
    explain = _method(value.pop(EXPLAIN_KEY))
    return _rows_of(value), explain


def _method(value: Any) -> AskedMethod | None:
    """Of `explain` in a body; true is `auto`, false none. Raises RowError."""
    if isinstance(value, bool):
        return "auto" if value else None
    found = next((method for method in METHODS if method == value), None)
    if found is None:
        expected = f"true or false, or one of {', '.join(METHODS)}"
        raise RowError(EXPLAIN_KEY, expected, shown(value), "Send true.")
    return found


def _rows_of(value: Any) -> RawRows:
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and len(value) == 1:
        rows, columns = value.get("rows"), value.get("columns")
        if isinstance(rows, list) or isinstance(columns, dict):
            return rows if rows is not None else columns
    found = f"keys {shown(list(value))}" if isinstance(value, dict) else shown(value)
    raise RowError("the body", FORMS, found, "Put a single row into a list: [row].")


def _text(content: bytes | bytearray | memoryview) -> str:
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        raise _no_utf8(error) from None


def _no_utf8(error: UnicodeDecodeError) -> Refusal:
    return bad_request(
        "the body", "UTF-8", f"{error.reason} at byte {error.start}", "Encode it as UTF-8."
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{shorten(twice)}' twice")
    return mapping


_decoder: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once)
_decode: Final = _decoder.decode
_scan: Final = _decoder.raw_decode
