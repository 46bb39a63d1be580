"""`/v1/files`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message, Receive

from sixfold.service.api.access import In, KeyOfOnce, Who, done_once
from sixfold.service.api.file_routes import asked_once, blocks
from sixfold.service.api.openai.shapes import OpenAIDeleted, OpenAIFile, OpenAIList
from sixfold.service.domain.errors import InvalidRequest, QuotaExceeded
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import files
from sixfold.service.use_cases.files import FileRequest
from sixfold.service.use_cases.idempotency import OnceOnly
from sixfold.service.use_cases.service import Service

router = APIRouter(prefix="/v1/files", tags=["OpenAI: files"])
PURPOSES: Final = ("fine-tune", "user_data")
FIELDS: Final = ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]")
LEAST_S, MOST_S = 3600, 2592000  # of expires_after, as OpenAI's
AROUND: Final = 1 << 20  # bytes of a multipart body besides the file
UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": LEAST_S,
                            "maximum": MOST_S,
                        },
                    },
                }
            }
        },
    }
}


@router.post("", openapi_extra=UPLOAD, response_model=OpenAIFile)
async def upload(
    request: Request, service: In, who: Who, idempotency_key: KeyOfOnce = None
) -> JSONResponse:
    """Upload a file: `purpose=fine-tune` for training, `expires_after` in seconds from now."""
    who.require(Scope.FILES)
    most = service.settings.most_upload_bytes + AROUND
    bounded = Request(request.scope, _bounded(request.receive, most))
    async with bounded.form(max_files=1, max_fields=len(FIELDS)) as form:
        file, purpose, expires_after_s = _read(form)
        asked = FileRequest(file.filename or "", purpose, expires_after_s)
        new = await anyio.to_thread.run_sync(files.stored, service, who, file.file, asked)
    once = asked_once(idempotency_key, request, new)
    return await anyio.to_thread.run_sync(_added, service, who, new, once)


def _added(
    service: Service, who: Principal, new: StoredFile, asked: OnceOnly | None
) -> JSONResponse:
    def work(rows: Transaction) -> OpenAIFile:
        return OpenAIFile.of(files.add(service, rows, who, new))

    return done_once(service, who, asked, work, 200)


@router.get("")
def page(
    service: In,
    who: Who,
    purpose: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> OpenAIList[OpenAIFile]:
    """By the time they were made."""
    files.expire(service)
    where = {} if purpose is None else {"purpose": purpose}
    found = files.page(service, who, PageQuery(limit, after, order == "desc", where))
    return OpenAIList[OpenAIFile].of([OpenAIFile.of(one) for one in found.rows], found.more)


@router.get("/{file_id}")
def get(file_id: str, service: In, who: Who) -> OpenAIFile:
    """One file's facts."""
    files.expire(service)
    return OpenAIFile.of(files.get(service, who, file_id))


@router.delete("/{file_id}")
def delete(file_id: str, service: In, who: Who) -> OpenAIDeleted:
    """Jobs that were given it keep it."""
    files.delete(service, who, file_id)
    return OpenAIDeleted(id=file_id, object="file")


@router.get("/{file_id}/content", response_class=StreamingResponse)
def content(file_id: str, service: In, who: Who) -> StreamingResponse:
    """Its bytes."""
    files.expire(service)
    file, source = files.content(service, who, file_id)
    headers = {"Content-Length": str(file.bytes), "Content-Disposition": "attachment"}
    return StreamingResponse(blocks(source), media_type="application/octet-stream", headers=headers)


def _read(form: FormData) -> tuple[UploadFile, str, float | None]:
    """Raises InvalidRequest."""
    unknown = next((name for name in form if name not in FIELDS), None)
    if unknown is not None:
        raise InvalidRequest(unknown[:80], f"one of {', '.join(FIELDS)}", "it", "Leave it out.")
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise InvalidRequest("file", "a file", "none", "Send it as multipart/form-data.")
    if purpose not in PURPOSES:
        raise InvalidRequest(
            "purpose", " or ".join(PURPOSES), repr(purpose)[:80], "Choose one of them."
        )
    return file, str(purpose), _expires_after(form)


def _expires_after(form: FormData) -> float | None:
    anchor, seconds = (form.get(name) for name in FIELDS[2:])
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise InvalidRequest("expires_after.anchor", "created_at", repr(anchor)[:80], "Send it.")
    text = str(seconds)
    if not (text.isdecimal() and len(text) < 10 and LEAST_S <= int(text) <= MOST_S):
        allowed = f"a whole number from {LEAST_S:,} to {MOST_S:,}"
        raise InvalidRequest("expires_after.seconds", allowed, repr(seconds)[:80], "Send one.")
    return float(text)


def _bounded(receive: Receive, most: int) -> Receive:
    """Raises QuotaExceeded once more bytes came: before the rest is kept anywhere."""
    came = 0

    async def receive_some() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > most:
            raise QuotaExceeded("file", f"at most {most:,} bytes", "more", "Send a smaller file.")
        return message

    return receive_some
