"""`/api/v1/files` and `/api/v1/artifacts`: bytes in and out."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, BinaryIO, cast

import anyio
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from sixfold.service.api.access import In, KeyOfOnce, PagedBy, Who, done_once
from sixfold.service.api.shapes import FileAnswer, Listed
from sixfold.service.domain.errors import NotFound, QuotaExceeded, Unprocessable
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import files
from sixfold.service.use_cases.files import FileRequest
from sixfold.service.use_cases.idempotency import OnceOnly
from sixfold.service.use_cases.service import Service

router = APIRouter(tags=["files"])
CHUNK = 1 << 20
IN_MEMORY = 1 << 20  # of an upload, before it goes to a temporary file
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


@router.post("/api/v1/files", status_code=201, response_model=FileAnswer)
async def upload(
    request: Request,
    service: In,
    who: Who,
    filename: Annotated[str, Query(min_length=1, max_length=255)],
    purpose: Annotated[str, Query(max_length=64)] = "data",
    idempotency_key: KeyOfOnce = None,
) -> JSONResponse:
    """The body is the file. With an `Idempotency-Key`, sending it again makes no second one."""
    who.require(Scope.FILES)
    asked = FileRequest(filename, purpose)
    with cast(BinaryIO, SpooledTemporaryFile(IN_MEMORY)) as aside:
        await received(request.stream(), aside, service.settings.most_upload_bytes)
        new = await anyio.to_thread.run_sync(files.stored, service, who, aside, asked)
    once = asked_once(idempotency_key, request, new)
    return await anyio.to_thread.run_sync(_added, service, who, new, once)


def _added(
    service: Service, who: Principal, new: StoredFile, asked: OnceOnly | None
) -> JSONResponse:
    def work(rows: Transaction) -> FileAnswer:
        return FileAnswer.of(files.add(service, rows, who, new))

    return done_once(service, who, asked, work, 201)


@router.get("/api/v1/files")
def page(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed[FileAnswer]:
    """Newest first."""
    return Listed[FileAnswer].of(files.page(service, who, asked), FileAnswer.of)


@router.get("/api/v1/files/{file_id}")
def get(file_id: str, service: In, who: Who) -> FileAnswer:
    """One file's facts."""
    return FileAnswer.of(files.get(service, who, file_id))


@router.get("/api/v1/files/{file_id}/content", response_class=StreamingResponse)
def content(file_id: str, service: In, who: Who) -> StreamingResponse:
    """Its bytes."""
    file, source = files.content(service, who, file_id)
    headers = {"Content-Length": str(file.bytes), "Content-Disposition": "attachment"}
    return StreamingResponse(blocks(source), media_type="application/octet-stream", headers=headers)


@router.delete("/api/v1/files/{file_id}", status_code=204)
def delete(file_id: str, service: In, who: Who) -> None:
    """Jobs that were given it keep it."""
    files.delete(service, who, file_id)


@router.head("/api/v1/artifacts/{digest}", include_in_schema=False)
def has(digest: Digest, service: In, who: Who) -> Response:
    """For workers: whether these bytes are here."""
    who.require(Scope.WORK)
    if not service.artifacts.has(digest):
        raise NotFound("the artifact", "bytes that are stored", digest, "Put them.")
    return Response()


@router.get("/api/v1/artifacts/{digest}", response_class=StreamingResponse, include_in_schema=False)
def fetch(digest: Digest, service: In, who: Who) -> StreamingResponse:
    """For workers: bytes by their SHA-256."""
    who.require(Scope.WORK)
    source = service.artifacts.open(digest)
    return StreamingResponse(blocks(source), media_type="application/octet-stream")


@router.put("/api/v1/artifacts/{digest}", status_code=201, include_in_schema=False)
async def put(digest: Digest, request: Request, service: In, who: Who) -> dict[str, Any]:
    """For workers: bytes that must have this SHA-256."""
    who.require(Scope.WORK)
    most = service.settings.most_upload_bytes
    with cast(BinaryIO, SpooledTemporaryFile(IN_MEMORY)) as aside:
        await received(request.stream(), aside, most)
        found, size = await anyio.to_thread.run_sync(service.artifacts.put, aside, most)
    if found != digest:
        raise Unprocessable("the body", f"SHA-256 {digest}", found, "Send it again.")
    return {"digest": found, "bytes": size}


def asked_once(key: str | None, request: Request, new: StoredFile) -> OnceOnly | None:
    """What an Idempotency-Key of an upload stands for: the file, however it was sent."""
    if key is None:
        return None
    lasts = None if new.expires_at is None else round(new.expires_at - new.created_at)
    facts = (request.url.path, new.filename, new.purpose, lasts, new.digest)
    return OnceOnly(key, hashlib.sha256(repr(facts).encode()).hexdigest())


async def received(stream: AsyncIterator[bytes], aside: IO[bytes], most: int) -> None:
    """A request's body into a file, from its start. Raises QuotaExceeded before more than `most` bytes are kept."""
    size = 0
    async for block in stream:
        size += len(block)
        if size > most:
            raise QuotaExceeded(
                "the body", f"at most {most:,} bytes", "more", "Send a smaller file."
            )
        await anyio.to_thread.run_sync(aside.write, block)
    aside.seek(0)


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """Of an open file, which is closed at its end."""
    with source:
        while block := source.read(CHUNK):
            yield block
