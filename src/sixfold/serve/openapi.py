"""The OpenAPI document of a server, written from the bundle's signature: every column, its type and
an example.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import sixfold
from sixfold.bundle.explain.told import METHODS
from sixfold.bundle.load import Bundle
from sixfold.bundle.modality_reader import reader_of
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.serving import Serve
from sixfold.recipe.signature import Input, Signature
from sixfold.serve.limits import EXPLAIN_S
from sixfold.serve.multipart import FORM
from sixfold.serve.recommend_request import DEFAULT, KEYS
from sixfold.serve.tensors import DATATYPES
from sixfold.serve.transcription_request import FIELDS, REQUIRED
from sixfold.serve.transcription_request import PATH as TRANSCRIBE

JsonSchema = dict[str, Any]
EXPLAINED = (
    "Answer with `explanations`, too: how much every column adds to each answer, and which words, "
    "patches of an image or windows of a recording change it. true, or by which method, as `sixfold explain` "
    f"has it. What would take more than {EXPLAIN_S:g} s is refused (422), with how long it would take."
)
ERROR_STATUSES = {
    "400": "The body cannot be read.",
    "403": "The page that asks is not of this server.",
    "408": "The body came too slowly.",
    "413": "Too many bytes, or too many rows.",
    "415": "Neither JSON nor CSV nor a form, or compressed.",
    "421": "The Host is no name of this server.",
    "422": "A row or a column does not fit the signature; the error names it and the nearest known name.",
    "431": "The head is too long.",
    "503": "Too many requests at once; Retry-After says when to come again.",
}


def example(column: Input) -> Any:
    """A value as one would send it: the most frequent level, the median, true, a date."""
    if column.type == "category":
        return column.levels[0] if column.levels else "text"
    if column.type not in PLAIN_KINDS:
        return reader_of(column.type).shown.example
    if column.type == "boolean":
        return bool(column.median)
    if column.type == "date":
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=column.median or 0.0)
        return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    value = column.median or 0.0
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def example_row(signature: Signature) -> dict[str, Any]:
    """Every column with its example."""
    return {column.name: example(column) for column in signature.inputs}


def document(bundle: Bundle, settings: Serve) -> dict[str, Any]:
    """OpenAPI 3.1 as plain JSON values."""
    signature = bundle.signature
    about = f"{signature.task.capitalize()} of {', '.join(signature.target[:5])}: {bundle.receipt.candidate}."
    model = f"/v2/models/{bundle.name}"
    recommend = {"/recommend": {"post": _recommend()}} if signature.task == "recommendation" else {}
    transcribe = {TRANSCRIBE: {"post": _transcribe()}} if signature.task == "transcription" else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": bundle.name,
            "version": sixfold.__version__,
            "description": about,
        },
        "paths": {
            "/predict": {"post": _predict(signature, settings)},
            **recommend,
            **transcribe,
            "/signature": _get("Columns, types and outputs", _schema("Signature")),
            "/livez": _get("Whether the process runs"),
            "/readyz": _get(
                "Whether the next request will be answered; 503 when the queue is full"
            ),
            "/metrics": _get("Figures for Prometheus"),
            "/v2": _get("Open Inference Protocol: the server"),
            "/v2/health/live": _get("Open Inference Protocol: alive"),
            "/v2/health/ready": _get("Open Inference Protocol: ready"),
            model: _get("Open Inference Protocol: names, types and shapes of the tensors"),
            f"{model}/ready": _get("Open Inference Protocol: the model is ready"),
            f"{model}/infer": {"post": _infer(signature)},
        },
        "components": {
            "schemas": {
                "Row": row_schema(signature),
                "Error": _error_schema(),
                "Explanation": _explanation_schema(),
                "Signature": Signature.model_json_schema(
                    ref_template="#/components/schemas/Signature/$defs/{model}"
                ),
            }
        },
    }


def row_schema(signature: Signature) -> JsonSchema:
    """The JSON Schema of one row."""
    return {
        "type": "object",
        "required": [column.name for column in signature.inputs],
        "properties": {column.name: _column_schema(column) for column in signature.inputs},
        "example": example_row(signature),
    }


def _column_schema(column: Input) -> JsonSchema:
    types: dict[str, JsonSchema] = {
        "number": {"type": ["number", "null"]},
        "category": {"type": ["string", "null"]},
        "boolean": {"type": ["boolean", "null"]},
        "date": {"type": ["string", "null"], "format": "date-time"},
    }
    schema = dict(
        types[column.type] if column.type in types else reader_of(column.type).shown.schema
    )
    if column.levels:
        schema["examples"] = list(column.levels[:5])
        schema["description"] = f"{len(column.levels):,} known values; others are taken too."
    elif column.minimum is not None and column.maximum is not None and column.type == "number":
        schema["description"] = f"In training from {column.minimum:g} to {column.maximum:g}."
    return schema


def form_schema(signature: Signature) -> JsonSchema:
    """The JSON Schema of a form: of each column as many fields, or files, as there are rows."""
    properties: JsonSchema = {}
    for column in signature.inputs:
        field = {
            "type": "string",
            "description": f"A {column.type} as text; empty where it is missing.",
        }
        if column.type not in PLAIN_KINDS and reader_of(column.type).in_files:
            field = {"type": "string", "format": "binary", "description": "A file."}
        properties[column.name] = {"type": "array", "items": field, "minItems": 1}
    properties.setdefault("explain", _explain("string", "true", "false"))
    return {
        "type": "object",
        "required": [column.name for column in signature.inputs],
        "properties": properties,
    }


def _predict(signature: Signature, settings: Serve) -> dict[str, Any]:
    row = example_row(signature)
    rows: JsonSchema = {
        "type": "array",
        "items": _schema("Row"),
        "minItems": 1,
        "maxItems": settings.max_rows,
    }
    columns = {"type": "object", "additionalProperties": {"type": "array"}}
    explain = _explain(["boolean", "string"], True, False)
    forms = [
        {
            "type": "object",
            "required": [name],
            "properties": {name: schema, "explain": explain},
        }
        for name, schema in (("rows", rows), ("columns", columns))
    ]
    forms.append(rows)
    return {
        "summary": "Predict rows",
        "description": f"At most {settings.max_rows:,} rows and {settings.max_body} a request. CSV has a header. "
        "A form has a field a column, named as it; a field that comes n times is n rows, and images are files.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": forms}, "example": {"rows": [row]}},
                "text/csv": {"schema": {"type": "string"}},
                FORM: {"schema": form_schema(signature)},
            },
        },
        "responses": {"200": _answers()} | _errors(),
    }


def _explain(kind: str | list[str], *others: Any) -> JsonSchema:
    return {"type": kind, "enum": [*others, *METHODS], "description": EXPLAINED}


def _explanation_schema() -> JsonSchema:
    """Of one answer."""
    number, text = {"type": "number"}, {"type": "string"}
    columns = {"type": "object", "additionalProperties": number}
    properties = {
        "output": {
            **text,
            "description": "What is explained: a class, a value, the text that is heard.",
        },
        "scale": {**text, "description": "The unit of base and prediction."},
        "method": text,
        "base": {**number, "description": "The answer to nothing of the row."},
        "prediction": number,
        "contributions": {**columns, "description": "Column → what it adds."},
        "pieces": {
            "type": "object",
            "additionalProperties": _piece_schema(),
            "description": "Column → its words, patches, pixels or windows, with what each changes.",
        },
        "standard_error": {**columns, "description": "Where contributions are sampled."},
        "error": {**number, "description": "How far integrated gradients may be off, about."},
        "faithfulness": {
            **columns,
            "description": "Areas below the curves of deletion and insertion of this row, and in random orders.",
        },
    }
    return {
        "type": "object",
        "required": ["output", "base", "prediction"],
        "properties": properties,
    }


def _piece_schema() -> JsonSchema:
    """Of one column's value."""
    number, count = {"type": "number"}, {"type": "integer"}
    properties = {
        "kind": {"enum": ["text", "image", "audio", "spectrum", "value"]},
        "bands": {"type": "array", "description": "Of a spectrum: from and to of each, in Hz."},
        "words": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Of a text: text and change of each; of speech: word, start, end (seconds), changes.",
        },
        "height": {**count, "description": "Of an image: pixels that the model sees."},
        "width": count,
        "from": {
            **number,
            "description": "Of a recording: seconds, where the first window begins.",
        },
        "to": number,
        "changes": {
            "type": "array",
            "description": "Rows of patches from the top left, windows in their order, or those of each band.",
        },
        "change": {**number, "description": "Of a plain value."},
    }
    return {"type": "object", "required": ["kind"], "properties": properties}


def _answers() -> JsonSchema:
    """200 of /predict."""
    listed: JsonSchema = {
        "predictions": {"type": "array", "items": {"type": "object"}},
        "explanations": {"type": "array", "items": _schema("Explanation")},
    }
    schema = {"type": "object", "required": ["predictions"], "properties": listed}
    content = {"application/json": {"schema": schema}}
    return {
        "description": "One answer a row, in order; with `explain`, one explanation a row, too.",
        "content": content,
    }


def _recommend() -> dict[str, Any]:
    properties: JsonSchema = {key: {"description": text} for key, text in KEYS.items()}
    example = {"user": "u1", "items": [], "k": DEFAULT, "blocked": [], "because": True}
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {
        "summary": "The best items for a user, for a session, or like an item",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "responses": {
            "200": {
                "description": "`items`, the best first, each with its `score`; `basis`: user, session, similar, features or "
                "popularity; `unknown`: names that the model does not know."
            }
        }
        | _errors(),
    }


def _transcribe() -> dict[str, Any]:
    properties: JsonSchema = {
        key: {"type": "string", "description": text} for key, text in FIELDS.items()
    }
    properties["file"]["format"] = "binary"
    schema = {"type": "object", "required": list(REQUIRED), "properties": properties}
    return {
        "summary": "What is said in a recording, as OpenAI's clients ask for it",
        "requestBody": {"required": True, "content": {FORM: {"schema": schema}}},
        "responses": {"200": {"description": "`text`, or what response_format says."}} | _errors(),
    }


def _infer(signature: Signature) -> dict[str, Any]:
    return {
        "summary": "Open Inference Protocol: infer, in JSON or with the binary tensor extension",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _tensors_schema()},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": f"Tensors: {', '.join(output.name for output in signature.outputs)}."
            },
            **{status: {"description": text} for status, text in ERROR_STATUSES.items()},
        },
    }


def _tensors_schema() -> JsonSchema:
    """An inference request whose tensors are JSON."""
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {"enum": list(DATATYPES)},
            "data": {"type": "array"},
        },
    }
    properties = {"id": {"type": "string"}, "inputs": {"type": "array", "items": tensor}}
    return {"type": "object", "required": ["inputs"], "properties": properties}


def _errors() -> dict[str, Any]:
    content = {"application/json": {"schema": _schema("Error")}}
    return {
        status: {"description": text, "content": content} for status, text in ERROR_STATUSES.items()
    }


def _get(summary: str, schema: JsonSchema | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "OK"}
    if schema:
        answer["content"] = {"application/json": {"schema": schema}}
    return {"get": {"summary": summary, "responses": {"200": answer}}}


def _schema(name: str) -> JsonSchema:
    return {"$ref": f"#/components/schemas/{name}"}


def _error_schema() -> JsonSchema:
    parts = ("where", "expected", "found", "remedy")
    inner = {
        "type": "object",
        "required": list(parts),
        "properties": {part: {"type": "string"} for part in parts},
    }
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}
