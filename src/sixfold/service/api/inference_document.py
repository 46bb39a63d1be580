"""The application's OpenAPI document, with the routes that the front door answers before it: requests to models. What a
deployment takes in full, its own document says: `/models/NAME/openapi.json`.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from sixfold.serve.multipart import FORM
from sixfold.serve.transcription_request import FIELDS, PATH, REQUIRED
from sixfold.service.api import problems

JsonSchema = dict[str, Any]
NAME: Final = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
ANY_OBJECT: Final[JsonSchema] = {"type": "object"}
TEXT: Final = {"type": "string"}
PREDICT: Final = {"rows": [{"sepal length (cm)": 5.1, "petal width (cm)": 0.2}]}
TALK: Final = {"model": "story", "messages": [{"role": "user", "content": "What is a fold?"}]}
REPLICA_ERROR: Final = {  # as the thin server writes it
    "title": "ReplicaError",
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "properties": dict.fromkeys(problems.PARTS, TEXT)}},
}


class ServiceApi(FastAPI):
    """The application."""

    def openapi(self) -> dict[str, Any]:
        """Its own routes, and those of the front door."""
        found = super().openapi()
        found["paths"] |= PATHS
        return found


def _named(example: dict[str, Any], **more: JsonSchema) -> JsonSchema:
    """A body under /v1: what stands here is needed, and further parameters are taken."""
    properties = {"model": {**TEXT, "description": "A deployment, ft:…, NAME or NAME@alias."}}
    schema = {"type": "object", "required": ["model", *more], "properties": properties | more}
    return {"application/json": {"schema": schema, "example": example}}


def _rows(example: dict[str, Any]) -> JsonSchema:
    return {"application/json": {"schema": ANY_OBJECT, "example": example}}


def _operation(path: str, text: str, body: JsonSchema | None, *streams: str) -> JsonSchema:
    """`body`: by its media type; None: the route takes none. `streams`: further types of the answer."""
    prefix = "/v1/" if path.startswith("/v1/") else "/models/"
    answers = {"application/json": {"schema": ANY_OBJECT}, **{one: {} for one in streams}}
    refused = {str(code): dict(one) for code, one in problems.documented(prefix).items()}
    if prefix == "/models/":
        for one in refused.values():  # the gateway's, and the replica's own
            theirs = {"application/json": {"schema": REPLICA_ERROR}}
            one["content"] = {**one["content"], **theirs}
    found: JsonSchema = {
        "tags": ["models that answer"],
        "summary": text,
        "operationId": path.strip("/").replace("/", "_").replace("{name}", "name"),
        "responses": {"200": {"description": "The answer.", "content": answers}, **refused},
    }
    if "{name}" in path:
        found["parameters"] = [NAME]
    if body is not None:
        found["requestBody"] = {"required": True, "content": body}
    return found


def _transcription() -> JsonSchema:
    fields = {name: {**TEXT, "description": about} for name, about in FIELDS.items()}
    fields["file"] = {**fields["file"], "format": "binary"}
    schema = {"type": "object", "required": list(REQUIRED), "properties": fields}
    return {FORM: {"schema": schema}}


_STREAM: Final = "text/event-stream"
_PROMPT: Final = {"anyOf": [TEXT, {"type": "array"}]}
PATHS: Final[dict[str, JsonSchema]] = {
    path: {method: _operation(path, text, body, *streams)}
    for method, path, text, body, streams in (
        ("post", "/models/{name}/predict", "Answers to rows", _rows(PREDICT), ()),
        (
            "post",
            "/models/{name}/recommend",
            "The best items of a recommender",
            _rows({"user": "u7", "k": 3}),
            (),
        ),
        ("get", "/models/{name}/signature", "Columns, types and outputs", None, ()),
        (
            "post",
            "/v1/chat/completions",
            "Chat, whole or as a stream",
            _named(TALK, messages={"type": "array", "items": ANY_OBJECT}),
            (_STREAM,),
        ),
        (
            "post",
            "/v1/completions",
            "The text that follows, whole or as a stream",
            _named({"model": "story", "prompt": "Once", "max_tokens": 40}, prompt=_PROMPT),
            (_STREAM,),
        ),
        (
            "post",
            "/v1/embeddings",
            "Vectors of texts",
            _named({"model": "story", "input": ["One text.", "Another."]}, input=_PROMPT),
            (),
        ),
        ("post", PATH, "What is said in a recording", _transcription(), ("text/plain",)),
    )
}
