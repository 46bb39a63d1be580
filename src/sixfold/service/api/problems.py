"""Errors over HTTP: problem documents (RFC 9457) on Sixfold's own routes, OpenAI's shape under `/v1`."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sixfold.core.errors import SixfoldError
from sixfold.serve.errors import Refusal
from sixfold.service.domain.errors import InvalidRequest, ServiceError

log = logging.getLogger(__name__)

MEDIA: Final = "application/problem+json"
MOST_SHOWN: Final = 80  # characters of what was sent
OPENAI: Final = "/v1/"
OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
PARTS: Final = ("where", "expected", "found", "remedy")
TEXT: Final = {"type": "string"}
PROBLEM: Final = {  # RFC 9457, as `problem_body` makes it
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", *PARTS],
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "code", *PARTS), TEXT),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "instance": {"type": ["string", "null"], "description": "The request's id."},
    },
}
PROBLEM_EXAMPLE: Final = {
    "type": "urn:sixfold:not_found",
    "title": "Not Found",
    "status": 404,
    "detail": "the job: expected the id of a job of yours; found 'job-0'. List your jobs.",
    "instance": "req-5f2c6a0b8d1e4c7f9a3b5d60",
    "code": "not_found",
    "where": "the job",
    "expected": "the id of a job of yours",
    "found": "'job-0'",
    "remedy": "List your jobs.",
}
OPENAI_ERROR: Final = {  # as `openai_body` makes it
    "title": "OpenAIError",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
OPENAI_EXAMPLE: Final = {
    "error": {
        "message": "the Authorization header: expected Bearer and a key; found none.",
        "type": "authentication_error",
        "param": "the Authorization header",
        "code": "invalid_api_key",
    }
}


def install(app: FastAPI) -> None:
    """Every error that a route raises ends here."""
    app.add_exception_handler(SixfoldError, _sixfold)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def documented(prefix: str) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: what routes below `prefix` answer when they refuse, or when a part of the service is away."""
    content: dict[str, Any] = {MEDIA: {"schema": PROBLEM, "example": PROBLEM_EXAMPLE}}
    if prefix.startswith(OPENAI):
        content = {"application/json": {"schema": OPENAI_ERROR, "example": OPENAI_EXAMPLE}}
    away = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "4XX": {"description": "Refused: what was expected, what was found.", "content": content},
        503: {"description": "Ask again later.", "content": content, "headers": away},
    }


def answer(request: Request, error: SixfoldError) -> JSONResponse:
    """The error's answer, in the shape of the route that was asked."""
    status = error.status if isinstance(error, ServiceError | Refusal) else 400
    code = error.code if isinstance(error, ServiceError) else InvalidRequest.code
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    retry_after = error.retry_after_s if isinstance(error, ServiceError) else None
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if is_openai(request):
        if status in (409, 429) and retry_after is None:
            headers["x-should-retry"] = "false"  # the stock client would ask twice more, in vain
        return JSONResponse(openai_body(error, status, code), status, headers)
    return JSONResponse(problem_body(error, status, code, request), status, headers, MEDIA)


def shown(value: object) -> str:
    """Of what was sent, however deep it is.

    >>> shown("a" * 100) == repr("a" * 100)[:80], shown([[[[[[[[1]]]]]]]])
    (True, '[[[[[[[...]]]]]]]')
    """
    return (reprlib.repr(value) if isinstance(value, dict | list) else repr(value))[:MOST_SHOWN]


def is_openai(request: Request) -> bool:
    """Whether the route is one of OpenAI's."""
    return request.url.path.startswith(OPENAI)


def request_id_of(request: Request) -> str | None:
    """Given by the front door."""
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found


def problem_body(error: SixfoldError, status: int, code: str, request: Request) -> dict[str, Any]:
    """RFC 9457, with the four parts as members of its own."""
    return {
        "type": f"urn:sixfold:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "instance": request_id_of(request),
        "code": code,
        **{name: getattr(error, name) for name in PARTS},
    }


def openai_body(error: SixfoldError, status: int, code: str) -> dict[str, Any]:
    """The shape that the stock client reads."""
    kind = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": str(error), "type": kind, "param": error.where, "code": code}}


async def _sixfold(request: Request, error: Exception) -> JSONResponse:
    return answer(request, error if isinstance(error, SixfoldError) else _unknown())


async def _validation(request: Request, error: Exception) -> JSONResponse:
    first: Mapping[str, Any] = (
        error.errors()[0] if isinstance(error, RequestValidationError) else {}
    )
    where = ".".join(str(part) for part in first.get("loc", ("the request",)))
    found = shown(first.get("input"))
    return answer(
        request,
        InvalidRequest(
            where,
            str(first.get("msg", "a valid request")),
            found,
            "Send it as the OpenAPI document says.",
        ),
    )


async def _http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    phrase = HTTPStatus(status).phrase
    made = SixfoldError(
        request.url.path, "a route and a method that are there", phrase, "See /docs."
    )
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if is_openai(request):
        return JSONResponse(openai_body(made, status, code), status, headers)
    return JSONResponse(problem_body(made, status, code, request), status, headers, MEDIA)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours: its traceback is in the log under the request's id, and nothing of it in the answer."""
    log.error("a mistake of the server", exc_info=error)
    made, code = _unknown(), "internal_error"
    if is_openai(request):
        return JSONResponse(openai_body(made, 500, code), 500)
    return JSONResponse(problem_body(made, 500, code, request), 500, None, MEDIA)


def _unknown() -> SixfoldError:
    return SixfoldError("the server", "an answer", "a mistake of its own", "Look at its log.")
