"""A bundle that was made elsewhere: verified, it is a version; anything off, and it is refused with the reason."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_worlds import http_client
from service_worlds import World, world
from starlette.testclient import TestClient

from sixfold.service.domain.people import Quota, Scope
from sixfold.service.use_cases import people, uploads
from sixfold.service.use_cases.people import KeyRequest

PATH = "/api/v1/models/tiny/versions"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def http(here: World, tmp_path: Path) -> Iterator[TestClient]:
    with http_client(here, tmp_path) as client:
        yield client


def zipped(folder: Path, method: int = zipfile.ZIP_DEFLATED, **changed: bytes) -> bytes:
    """The folder's files; `changed`: others in place of those of this name (without its suffix)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            content = changed.get(path.name.partition(".")[0], path.read_bytes())
            archive.writestr(path.relative_to(folder).as_posix(), content)
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_whole_bundle_is_a_version(http: TestClient, bundle: Path, method: int) -> None:
    answer = http.post(PATH, content=zipped(bundle, method))
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert version["number"] == 1 and version["state"] == "active"
    assert version["receipt"] == json.loads((bundle / "receipt.json").read_bytes())
    assert version["summary"]["signature"] == json.loads((bundle / "signature.json").read_bytes())
    assert version["bytes"] == sum(one.stat().st_size for one in bundle.iterdir())
    assert version["lineage"]["job_id"] is None
    assert http.get("/api/v1/models/tiny").json()["versions"][0]["id"] == version["id"]


@pytest.mark.slow
def test_what_the_server_gives_it_takes(http: TestClient, bundle: Path) -> None:
    """A download is streamed, with sizes behind the data and zip64 fields: it is a good upload as it is."""
    first = http.post(PATH, content=zipped(bundle)).json()
    again = http.get(f"{PATH}/1/bundle").content
    second = http.post(PATH, content=again)
    assert second.status_code == 201, second.text
    assert second.json()["number"] == 2 and second.json()["tree"] == first["tree"]


@pytest.mark.slow
def test_sent_again_it_is_one_version(http: TestClient, bundle: Path) -> None:
    headers = {"Idempotency-Key": "once"}
    content = zipped(bundle)
    answers = [http.post(PATH, content=content, headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = http.post(PATH, content=zipped(bundle, zipfile.ZIP_STORED), headers=headers)
    assert other.status_code == 422 and other.json()["where"] == "Idempotency-Key"
    assert len(http.get("/api/v1/models/tiny").json()["versions"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "where"),
    [("model", "model.onnx"), ("receipt", "receipt.json"), ("manifest", "manifest.json")],
)
def test_a_changed_file_is_refused(http: TestClient, bundle: Path, file: str, where: str) -> None:
    path = bundle / where
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    answer = http.post(PATH, content=zipped(bundle, **{file: bytes(content)}))
    assert answer.status_code == 422
    assert answer.json()["where"] == where and "/" not in answer.json()["where"]
    assert http.get("/api/v1/models/tiny").status_code == 404


def test_what_is_no_zip_is_refused(http: TestClient) -> None:
    for content in (b"", b"PK", b"no zip at all " * 100, b"\x1f\x8b" + bytes(200)):
        answer = http.post(PATH, content=content)
        assert answer.status_code == 422 and answer.json()["where"] == "the body"


def test_who_may_not_is_refused_before_the_body(
    here: World, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "opened", None)
    request = KeyRequest("reader", frozenset({Scope.READ, Scope.FILES}), None, None)
    _, key = people.create_key(here.service, here.operator, request)
    headers = {"Authorization": f"Bearer {key}"}
    assert http.post(PATH, content=b"x", headers=headers).status_code == 403
    assert http.post("/api/v1/models/Not_a_name/versions", content=b"x").status_code == 400


def test_more_than_the_quota_is_refused(here: World, http: TestClient, bundle: Path) -> None:
    room = Quota(storage_bytes=100)
    people.set_quota(here.service, here.operator, here.operator.tenant_id, room)
    answer = http.post(PATH, content=zipped(bundle))
    assert answer.status_code == 429 and "at most 100 bytes" in answer.json()["detail"]


def test_many_at_once_are_told_to_come_again(
    http: TestClient, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_verifying", threading.BoundedSemaphore(1))
    assert uploads._verifying.acquire()
    answer = http.post(PATH, content=zipped(bundle))
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
