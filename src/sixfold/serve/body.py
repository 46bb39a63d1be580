"""The body of POST /predict: JSON rows, JSON columns or CSV → what the bundle's front end takes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sixfold.bundle.frontend import RawRows, csv_rows, shorten, shown
from sixfold.bundle.headerless import Fields
from sixfold.core.errors import RowError
from sixfold.serve.errors import Refusal, bad_request

FORMS = '{"rows": [{column: value}]}, {"columns": {column: [values]}}, or a list of rows'
JSON_TYPES = ("", "application/json")


def parse(content: bytes, content_type: str, separator: str, fields: Fields | None = None) -> RawRows:
    """Rows or columns of a body. Raises Refusal (400, 415) or RowError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in JSON_TYPES:
        return _rows_of(read_json(content))
    if kind == "text/csv":
        return list(csv_rows(io.StringIO(_text(content), newline=""), separator, "the body", fields))
    raise Refusal(415, "Content-Type", "application/json or text/csv", f"'{shorten(kind)}'", "Set the header.")


def read_json(content: bytes) -> Any:
    """The JSON value of a body, by the letter: no NaN, no key twice. Raises Refusal 400."""
    text = _text(content)
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        found = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        found = "too many brackets inside each other"
    except ValueError as error:  # what the two hooks raise, and numbers of thousands of digits
        found = str(error).split(";")[0]
    raise bad_request("the body", "JSON", found, "Send null for a missing value.")


def count(rows: RawRows) -> int:
    """The number of rows, as far as it can be said before they are looked at."""
    if isinstance(rows, Mapping):
        return max((len(values) for values in rows.values() if isinstance(values, list)), default=0)
    return len(rows)


def check_count(rows: int, most: int) -> None:
    """At least one row, at most `most`. Raises RowError or Refusal 413."""
    if rows == 0:
        raise RowError("the body", "at least one row", "none", f"Send {FORMS}.")
    if rows > most:
        raise Refusal(413, "the body", f"at most {most:,} rows", f"{rows:,}", "Send them in several requests.")


def _rows_of(value: Any) -> RawRows:
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and len(value) == 1:
        rows, columns = value.get("rows"), value.get("columns")
        if isinstance(rows, list) or isinstance(columns, dict):
            return rows if rows is not None else columns
    found = f"keys {shown(list(value))}" if isinstance(value, dict) else shown(value)
    raise RowError("the body", FORMS, found, "Put a single row into a list: [row].")


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request("the body", "UTF-8", f"{error.reason} at byte {error.start}", "Encode it as UTF-8.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{shorten(twice)}' twice")
    return mapping


_decode: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once).decode
