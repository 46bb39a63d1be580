"""`/api/v1/models`: the registry."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from sixfold.service.api.access import In, PagedBy, Who
from sixfold.service.api.shapes import (
    Listed,
    ModelAnswer,
    ModelWithVersions,
    NewAlias,
    VersionAnswer,
)
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.service import Service

router = APIRouter(prefix="/api/v1/models", tags=["models"])
CHUNK = 1 << 20


@router.get("")
def page(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed[ModelAnswer]:
    """Newest first, without their versions."""
    return Listed[ModelAnswer].of(registry.models(service, who, asked), ModelAnswer.of)


@router.get("/{name}")
def get(
    name: str,
    service: In,
    who: Who,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ModelWithVersions:
    """A model and its newest versions, or those below the number `before`."""
    found = registry.model(service, who, name, VersionQuery(limit, before))
    return ModelWithVersions.of_page(found)


@router.get("/{name}/versions/{which}")
def version(name: str, which: str, service: In, who: Who) -> VersionAnswer:
    """By number, alias or `latest`."""
    aliases = registry.model(service, who, name, VersionQuery()).aliases
    return VersionAnswer.of(registry.version(service, who, name, which), aliases)


@router.get("/{name}/versions/{which}/bundle", response_class=StreamingResponse)
def bundle(name: str, which: str, service: In, who: Who) -> StreamingResponse:
    """The bundle as a zip file, stored without compression."""
    found = registry.version(service, who, name, which)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{found.number}.zip"'}
    return StreamingResponse(
        zipped(service, found.tree), media_type="application/zip", headers=headers
    )


@router.put("/{name}/aliases/{alias}")
def promote(name: str, alias: str, body: NewAlias, service: In, who: Who) -> VersionAnswer:
    """Point an alias at a version."""
    registry.promote(service, who, name, alias, body.version)
    return version(name, alias, service, who)


@router.post("/{name}/aliases/{alias}/roll-back")
def roll_back(name: str, alias: str, service: In, who: Who) -> VersionAnswer:
    """Point an alias at the version that it pointed at before."""
    registry.roll_back(service, who, name, alias)
    return version(name, alias, service, who)


@router.post("/{name}/versions/{which}/retire")
def retire(name: str, which: str, service: In, who: Who) -> VersionAnswer:
    """It answers nobody any more."""
    return VersionAnswer.of(registry.retire(service, who, name, which))


@router.delete("/{name}/versions/{which}", status_code=204)
def delete(name: str, which: str, service: In, who: Who) -> None:
    """For good."""
    registry.delete_version(service, who, name, which)


def zipped(service: Service, tree: str) -> Iterator[bytes]:
    """A stored tree as a zip file, a block at a time."""
    out = _Unread()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, digest in sorted(service.artifacts.tree(tree).files.items()):
            with (
                archive.open(path, "w", force_zip64=True) as entry,
                service.artifacts.open(digest) as source,
            ):
                while block := source.read(CHUNK):
                    entry.write(block)
                    yield out.taken()
    yield out.taken()


class _Unread(io.RawIOBase):
    """What was written and not yet taken; it cannot seek, so that zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        block = bytes(memoryview(data))  # type: ignore[arg-type]
        self._blocks.append(block)
        return len(block)

    def taken(self) -> bytes:
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)
