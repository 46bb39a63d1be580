"""An Idempotency-Key on every POST that creates something: sent again it is the same thing, with another body it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openai_worlds import OpenAIWorld, openai_world

from sixfold.service.api.app import ROUTERS
from sixfold.service.domain.records import Remembered

ALICE = {"name": "Alice", "issuer": "https://idp.example/", "subject": "a", "scopes": ["read"]}
RECIPE = "version: 1\nname: iris\ndata: {source: 'sklearn:iris'}\nbuild: {family: linear}\n"
MULTIPART = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.jsonl", b'{"a": 1}\n')}}
OTHER_FILE = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.jsonl", b'{"a": 2}\n')}}
CREATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # a request, and another one
    "/api/v1/jobs": ({"json": {"recipe": RECIPE}}, {"json": {"recipe": RECIPE, "priority": 1}}),
    "/api/v1/files?filename=a.csv": ({"content": b"a,b\n"}, {"content": b"a,c\n"}),
    "/api/v1/keys": (
        {"json": {"name": "a", "scopes": ["read"]}},
        {"json": {"name": "b", "scopes": ["read"]}},
    ),
    "/api/v1/tenants": ({"json": {"name": "lab"}}, {"json": {"name": "lab-2"}}),
    "/api/v1/users": ({"json": ALICE}, {"json": {**ALICE, "name": "Bob", "subject": "b"}}),
    "/v1/files": (MULTIPART, OTHER_FILE),
}
ELSEWHERE = {  # that other tests hold
    "/api/v1/models/{name}/versions",  # test_bundle_uploads
    "/v1/fine_tuning/jobs",  # test_openai_jobs
    "/api/v1/keys/{key_id}/rotate",  # below
}
SECRETS = {"/api/v1/keys", "/api/v1/tenants"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[OpenAIWorld]:
    with openai_world(tmp_path) as found:
        yield found


@pytest.mark.parametrize("path", CREATES)
def test_sent_again_it_is_the_same_thing(here: OpenAIWorld, path: str) -> None:
    sent, other = CREATES[path]
    key = {"Idempotency-Key": "one"}
    first, again = (here.http.post(path, headers=key, **sent) for _ in range(2))
    assert first.status_code == again.status_code in (200, 201), first.text
    assert first.json()["id"] == again.json()["id"]
    if path in SECRETS:
        assert first.json()["key"].startswith("sf_") and again.json()["key"] is None
    else:
        assert first.json() == again.json()
    assert here.http.post(path, headers=key, **other).status_code == 422
    fresh = here.http.post(path, headers={"Idempotency-Key": "two"}, **other)
    assert fresh.json()["id"] != first.json()["id"]


def test_a_key_is_rotated_once(here: OpenAIWorld) -> None:
    made = here.http.post("/api/v1/keys", json={"name": "a", "scopes": ["read"]}).json()
    path, key = f"/api/v1/keys/{made['id']}/rotate", {"Idempotency-Key": "one"}
    first, again = (here.http.post(path, headers=key).json() for _ in range(2))
    assert first["id"] == again["id"] and first["key"] and again["key"] is None
    here.http.delete(f"/api/v1/keys/{made['id']}")
    assert here.http.post(path).status_code == 409, "a revoked key has no successor"


def test_no_secret_is_stored(here: OpenAIWorld) -> None:
    made = here.http.post(
        "/api/v1/keys", json={"name": "a", "scopes": ["read"]}, headers={"Idempotency-Key": "one"}
    ).json()
    with here.world.service.database.transaction() as transaction:
        asked = Remembered(here.world.operator.tenant_id, "one", "", 0.0)
        found = transaction.records.remember(asked)
    assert found is not None and made["key"] not in repr(found)


def test_the_list_has_all_that_create() -> None:
    creating = {
        route.path
        for module in ROUTERS
        for route in module.router.routes
        if isinstance(route, APIRoute)
        and "POST" in route.methods
        and (route.status_code == 201 or route.path in ("/v1/files", "/v1/fine_tuning/jobs"))
    }
    assert creating == {path.partition("?")[0] for path in CREATES} | ELSEWHERE
