"""Every refusal as the same JSON: {"error": {where, expected, found, remedy}}, with its HTTP
status; to clients of two protocols in the form that these have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sixfold.core.errors import RowError, SixfoldError

# By status, for programs that look at the code of an error in OpenAI's form.
CODES: Final = {404: "not_found", 413: "request_too_large", 429: "too_many_requests"}


class Refusal(SixfoldError):
    """A request that is not answered: its HTTP status, and the four parts of the error.

    `unread`: a part of its body was not read, so that the connection cannot go on.
    """

    unread = False

    def __init__(self, status: int, where: str, expected: str, found: str, remedy: str) -> None:
        super().__init__(where, expected, found, remedy)
        self.status = status

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.where, self.expected, self.found, self.remedy)


class ParameterRefusal(Refusal):
    """A refusal that names a parameter of the request, and a code that programs know."""

    def __init__(self, param: str, expected: str, found: str, remedy: str, code: str) -> None:
        super().__init__(400, param, expected, found, remedy)
        self.param, self.code = param, code

    def __reduce__(self) -> Any:
        return type(self), (self.param, self.expected, self.found, self.remedy, self.code)


def bad_request(where: str, expected: str, found: str, remedy: str) -> Refusal:
    """400: a body that cannot be read."""
    return Refusal(400, where, expected, found, remedy)


def status_of(error: SixfoldError) -> int:
    """The HTTP status of an error: its own, 422 for rows, 500 for the rest."""
    if isinstance(error, Refusal):
        return error.status
    return 422 if isinstance(error, RowError) else 500


_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def to_json(content: Any) -> str:
    """Compact JSON in ASCII, so that any string that came in can go out. NaN and infinities are no
    JSON: they become null.
    """
    try:
        return _encode(content)
    except ValueError:
        return _encode(_finite(content))


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """An answer in JSON."""
    return Response(to_json(content), status, headers, "application/json")


class JsonAnswer:
    """200 in JSON: an ASGI application as Starlette's Response is, in a sixth of its time."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Head and body."""
        headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def error_response(error: SixfoldError, path: str) -> Response:
    """The answer to a request that is refused, in the form that clients of `path` know."""
    status = status_of(error)
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    if status == 408 or (isinstance(error, Refusal) and error.unread):
        headers["Connection"] = "close"
    return json_response(error_content(error, path), status, headers)


def error_content(error: SixfoldError, path: str) -> dict[str, Any]:
    """The JSON of a refusal, in the form that clients of `path` know."""
    return {"error": _form_of(path)(error)}


def _parts(error: SixfoldError) -> dict[str, str]:
    return {
        "where": error.where,
        "expected": error.expected,
        "found": error.found,
        "remedy": error.remedy,
    }


def _openai(error: SixfoldError) -> dict[str, str | None]:
    """As OpenAI's clients read it."""
    status = status_of(error)
    kinds = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
    return {
        "message": str(error),
        "type": kinds.get(status, "invalid_request_error"),
        "param": error.param if isinstance(error, ParameterRefusal) else None,
        "code": error.code if isinstance(error, ParameterRefusal) else CODES.get(status),
    }


def _form_of(path: str) -> Callable[[SixfoldError], Any]:
    """The Open Inference Protocol has {"error": "text"}, OpenAI's an object of its own."""
    if path == "/v2" or path.startswith("/v2/"):
        return str
    return _openai if path.startswith("/v1/") else _parts


async def on_http_exception(request: Request, error: Exception) -> Response:
    """404 and 405 in the same form."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    expected = "a path of this server" if status == 404 else "a method of this path"
    refusal = Refusal(
        status,
        request.url.path,
        expected,
        f"{request.method}: status {status}",
        "GET /docs lists all paths.",
    )
    response = error_response(refusal, request.url.path)
    response.headers.update(headers)
    return response


async def on_fault(request: Request, error: Exception) -> Response:
    """A fault of ours: told as one, without its inside."""
    return fault_response(request.url.path)


def fault_response(path: str) -> Response:
    """500, without its cause: that stands in the log."""
    fault = Refusal(500, path, "an answer", "a fault of the server", "Look at the server's log.")
    return error_response(fault, path)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and content - content != 0 else content
