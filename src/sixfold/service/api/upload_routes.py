"""`POST /api/v1/models/NAME/versions`: a bundle that was made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, cast

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from sixfold.service.api.access import In, KeyOfOnce, Who, done_once
from sixfold.service.api.file_routes import IN_MEMORY, received
from sixfold.service.api.shapes import VersionAnswer
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.people import Principal
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import uploads
from sixfold.service.use_cases.idempotency import OnceOnly
from sixfold.service.use_cases.service import Service

router = APIRouter(prefix="/api/v1/models", tags=["models"])
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/{name}/versions", status_code=201, response_model=VersionAnswer, openapi_extra=BODY)
async def upload(
    name: str, request: Request, service: In, who: Who, idempotency_key: KeyOfOnce = None
) -> JSONResponse:
    """The body is a zip of a bundle's files: verified as `sixfold verify` does, it becomes the next version of the model."""
    uploads.allowed(who, name)
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    with cast(BinaryIO, SpooledTemporaryFile(IN_MEMORY)) as aside:
        hashed = _hashed(request.stream(), digest)
        await received(hashed, aside, service.settings.most_upload_bytes)
        asked = None if idempotency_key is None else OnceOnly(idempotency_key, digest.hexdigest())
        return await anyio.to_thread.run_sync(_version, service, who, name, aside, asked)


def _version(
    service: Service, who: Principal, name: str, archive: BinaryIO, asked: OnceOnly | None
) -> JSONResponse:
    new = uploads.opened(service, who, name, archive)

    def work(rows: Transaction) -> VersionAnswer:
        return VersionAnswer.of(uploads.publish(service, rows, who, name, new))

    return done_once(service, who, asked, work, 201)


async def _hashed(stream: AsyncIterator[bytes], digest: Any) -> AsyncIterator[bytes]:
    try:
        async for block in stream:
            digest.update(block)
            yield block
    except ClientDisconnect:
        found = "one that ended early"
        raise InvalidRequest("the body", "a whole one", found, "Send it again.") from None
