"""Scripts, styles and pictures, each under the digest of its bytes, so that a browser keeps it for good."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

MEDIA: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
YEAR_S: Final = 365 * 86400
MICROPHONE: Final = "microphone.js"  # of the page that `sixfold serve` has

routes = APIRouter(include_in_schema=False)


@routes.get("/console/static/{digest}/{name}")
def file(digest: str, name: str) -> Response:
    """One of them; open to all."""
    known = _all().get(name)
    if known is None or known[0] != digest:
        return PlainTextResponse("No such file: load the page again.", 404)
    headers = {"Cache-Control": f"public, max-age={YEAR_S}, immutable"}
    return Response(known[1], media_type=MEDIA[name.rpartition(".")[2]], headers=headers)


def address(name: str) -> str:
    """Where a page finds it."""
    return f"/console/static/{_all()[name][0]}/{name}"


@cache
def _all() -> dict[str, tuple[str, bytes]]:
    """Digest and bytes, by name."""
    folder = files(__package__).joinpath("static")
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    found[MICROPHONE] = files("sixfold.serve").joinpath("templates", MICROPHONE).read_bytes()
    return {name: (hashlib.sha256(data).hexdigest()[:16], data) for name, data in found.items()}
