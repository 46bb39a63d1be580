"""Two pages without any outside resource: one to try the model by hand, one that shows the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sixfold.bundle.load import Bundle
from sixfold.bundle.modality_reader import reader_of
from sixfold.recipe.signature import Input
from sixfold.serve.openapi import example, example_row

# The pages' own style and script are inline; nothing else is loaded, from anywhere.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
MOST_LEVELS: Final = 50  # offered in a field
MOST_FIELDS: Final = 200  # of the form; wider tables are sent as JSON or CSV

_pages = Environment(
    loader=PackageLoader("sixfold.serve", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_pages.policies["json.dumps_kwargs"] = {}  # columns in the order of the signature


def try_page(bundle: Bundle) -> str:
    """A form with a field a column, filled with medians and most frequent values."""
    columns = bundle.signature.inputs
    row = example_row(bundle.signature)
    fields = [_field(column) for column in columns[:MOST_FIELDS]]
    return _pages.get_template("try.html.jinja").render(
        bundle=bundle, fields=fields, rest=len(columns) - len(fields), row=row, command=_command(row)
    )


def docs_page(bundle: Bundle, document: dict[str, Any]) -> str:
    """The OpenAPI document for people."""
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    row = document["components"]["schemas"]["Row"]["example"]
    return _pages.get_template("docs.html.jinja").render(
        bundle=bundle,
        document=document,
        operations=operations,
        columns=bundle.signature.inputs,
        row=row,
        command=_command(row),
        example=example,
    )


def _field(column: Input) -> dict[str, Any]:
    hints = {
        "number": _range(column),
        "boolean": "true or false",
        "date": "date, UTC",
        "category": f"{len(column.levels):,} known values",
    }
    value = example(column)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if column.type == "number" and column.read is not None and column.median is not None:
        text = column.text_of(column.median)  # the page sends texts
    return {
        "name": column.name,
        "type": column.type,
        "levels": column.levels[:MOST_LEVELS],
        "value": text,
        "hint": hints[column.type] if column.type in hints else reader_of(column.type).shown.hint,
    }


def _range(column: Input) -> str:
    if column.minimum is None or column.maximum is None:
        return "number"
    return f"{column.minimum:g} to {column.maximum:g}"


def _command(row: dict[str, Any]) -> str:
    """A curl command that works when pasted into a shell."""
    body = json.dumps({"rows": [row]}, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -s ADDRESS/predict -H 'Content-Type: application/json' -d '{body}'"
