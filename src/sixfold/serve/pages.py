"""Pages without any outside resource: to try the model by hand, by what it answers, and one that shows the OpenAPI
document.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sixfold.bundle.audio_inputs import AudioEncoder
from sixfold.bundle.explain.told import has_pieces, is_explained, ways
from sixfold.bundle.load import Bundle
from sixfold.bundle.modality_reader import Shown, reader_of
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.bundle.runtime import EncodesInputs, Transcribes
from sixfold.core.units import size_bytes
from sixfold.recipe.audio import LONGEST_S
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.serving import Serve
from sixfold.recipe.signature import Input, Signature
from sixfold.serve.openapi import example, example_row

# The pages' own style and script are inline; nothing else is loaded, from anywhere.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
MOST_LEVELS: Final = 50  # offered in a field
MOST_FIELDS: Final = 200  # of the form; wider tables are sent as JSON or CSV
LEAST_RATE: Final = 8_000  # samples a second at which every browser can record

_pages = Environment(
    loader=PackageLoader("sixfold.serve", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_pages.policies["json.dumps_kwargs"] = {}  # columns in the order of the signature


def page_of(template: str, **values: Any) -> str:
    """A page from its template."""
    return _pages.get_template(template).render(values)


def try_page(bundle: Bundle, settings: Serve) -> str:
    """A form with a field a column, filled with medians and most frequent values; images and texts
    first, and empty.
    """
    columns = bundle.signature.inputs
    microphones = _microphones(bundle)
    fields = [
        {**_field(column), "microphone": microphones.get(column.name)}
        for column in columns[:MOST_FIELDS]
    ]
    large = [field for field in fields if field["field"] != "line"]
    return _pages.get_template("try.html.jinja").render(
        bundle=bundle,
        large=large,
        fields=[field for field in fields if field["field"] == "line"],
        rest=len(columns) - len(fields),
        row=_unsent(columns[MOST_FIELDS:]),
        file_noun=next((field["noun"] for field in large if field["field"] == "file"), ""),
        most_bytes=size_bytes(settings.max_body),
        command=_command(bundle.signature),
        explains=is_explained(bundle.explainer),
        has_pieces=has_pieces(bundle.explainer),
        ways=ways(bundle.explainer),
    )


def recommend_page(bundle: Bundle, model: RecommenderRuntime) -> str:
    """A form for a user, what they did since, or an item, and the items that are answered."""
    return page_of(
        "recommend.html.jinja",
        bundle=bundle,
        users=list(islice(model.users, MOST_LEVELS)),
        items=model.items[:MOST_LEVELS],
        user_count=len(model.users),
        item_count=len(model.items),
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
        command=_command(bundle.signature),
        example=example,
    )


def _field(column: Input) -> dict[str, Any]:
    hints = {
        "number": _range(column),
        "boolean": "true or false",
        "date": "date, UTC",
        "category": f"{len(column.levels):,} known values",
    }
    shown = _shown(column)
    value = example(column) if shown is None or shown.field == "line" else ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if column.type == "number" and column.read is not None and column.median is not None:
        text = column.text_of(column.median)  # the page sends texts
    return {
        "name": column.name,
        "type": column.type,
        "levels": column.levels[:MOST_LEVELS],
        "value": text,
        "hint": hints[column.type] if shown is None else shown.hint,
        "field": "line" if shown is None else shown.field,
        "accept": "" if shown is None else shown.accept,
        "noun": "" if shown is None else shown.noun,
    }


def _microphones(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Of columns of recordings: samples a second, seconds at most, and whether what is said is shown while it is
    said.
    """
    runtime = bundle.predictor.runtime
    if isinstance(runtime, Transcribes):
        model, column = runtime.transcriber(), bundle.signature.inputs[0].name
        return {column: _microphone(model.rate, model.longest_s, live=True)}
    if not isinstance(runtime, EncodesInputs):
        return {}
    encoders = [each.encoder for each in runtime.encoders]
    return {
        each.column: _microphone(each.described.rate, LONGEST_S)
        for each in encoders
        if isinstance(each, AudioEncoder)
    }


def _microphone(rate: int, longest_s: float, live: bool = False) -> dict[str, Any]:
    return {"rate": max(LEAST_RATE, rate), "longest": longest_s, "live": live}


def _shown(column: Input) -> Shown | None:
    """What its reader says; None for a plain value."""
    return None if column.type in PLAIN_KINDS else reader_of(column.type).shown


def _is_file(column: Input) -> bool:
    return column.type not in PLAIN_KINDS and reader_of(column.type).in_files


def _range(column: Input) -> str:
    if column.minimum is None or column.maximum is None:
        return "number"
    return f"{column.minimum:g} to {column.maximum:g}"


def _unsent(columns: Sequence[Input]) -> dict[str, Any]:
    """Usual values of the columns that have no field."""
    return {column.name: example(column) for column in columns}


def _command(signature: Signature) -> str:
    """A curl command that works when pasted into a shell; with files, once their names are put
    in.
    """
    names = "".join(column.name for column in signature.inputs)
    if any(map(_is_file, signature.inputs)) and "=" not in names:  # there curl ends a field's name
        return " ".join(["curl -s ADDRESS/predict", *map(_form_option, signature.inputs)])
    body = json.dumps({"rows": [example_row(signature)]}, ensure_ascii=False)
    return f"curl -s ADDRESS/predict -H 'Content-Type: application/json' -d {_quoted(body)}"


def _form_option(column: Input) -> str:
    """curl's option for one field of a form."""
    if _is_file(column):
        return f"--form {_quoted(f'{column.name}=@{reader_of(column.type).shown.in_csv}')}"
    value = example(column)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"--form-string {_quoted(f'{column.name}={text}')}"


def _quoted(text: str) -> str:
    """One word of a shell."""
    inside = text.replace("'", "'\\''")
    return f"'{inside}'"
