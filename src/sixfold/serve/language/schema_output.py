"""`response_format`: the JSON Schema that an answer must fit, looked at before the engine sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import jsonschema

from sixfold.serve.language.fields import RequestFields, invalid

MOST_BYTES: Final = 64 << 10  # of a schema; guessed
MOST_VALUES: Final = 5_000  # objects, lists and others in it; guessed
ANY_OBJECT: Final = '{"type":"object"}'
FORMATS: Final = "text, json_object or json_schema"


def schema_of(fields: RequestFields) -> str | None:
    """The schema as text; None: any text. Raises ParameterRefusal."""
    value = fields.take("response_format")
    if value is None:
        return None
    format_fields = RequestFields(value, "response_format")
    kind = format_fields.text("type")
    schema: str | None
    if kind == "json_schema":
        schema = _named_schema(format_fields)
    elif kind in ("text", "json_object"):
        schema = ANY_OBJECT if kind == "json_object" else None
    else:
        raise invalid("response_format.type", FORMATS, kind)
    format_fields.end()
    return schema


def _named_schema(format_fields: RequestFields) -> str:
    where = "response_format.json_schema"
    inner = RequestFields(format_fields.take("json_schema"), where)
    inner.text("name", "schema")
    inner.text("description", "")
    inner.flag("strict")
    schema = inner.take("schema")
    inner.end()
    where += ".schema"
    if not isinstance(schema, dict):
        raise invalid(where, "a JSON Schema: an object", schema)
    text = json.dumps(schema, separators=(",", ":"))
    if len(text) > MOST_BYTES:
        raise invalid(where, f"at most {MOST_BYTES:,} bytes", f"{len(text):,} bytes")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise invalid(where, "a valid JSON Schema", error.message[:200]) from None
    for number, reference in enumerate(_references(schema)):
        if number > MOST_VALUES or not _is_there(schema, reference):
            raise invalid(where, "references to its own parts (#/…)", reference[:100])
    return text


def _references(value: Any) -> Iterator[str]:
    """All `$ref`s, by a walk that is bounded."""
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen > MOST_VALUES:
            raise invalid("response_format", f"at most {MOST_VALUES:,} values", "more")
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            if isinstance(one.get("$ref"), str):
                yield one["$ref"]
        elif isinstance(one, list):
            waiting += one


def _is_there(schema: Any, reference: str) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    place = schema
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or key not in place:
            return False
        place = place[key]
    return True
