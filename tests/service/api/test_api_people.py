"""`/api/v1/keys` and `/api/v1/users` over HTTP: what is wrong is said in our words, not in a library's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_worlds import world
from starlette.testclient import TestClient

from sixfold.service.domain.people import Scope

sys.path.insert(0, str(Path(__file__).parents[1] / "security"))
from http_worlds import http_client

ALICE = {
    "name": "Alice",
    "issuer": "https://idp.example/",
    "subject": "7f0c",
    "scopes": ["read", "jobs"],
}


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    with world(tmp_path) as made, http_client(made, tmp_path) as client:
        yield client


@pytest.mark.parametrize("scope", ["nonsense", "raed", "READ", "", "read\n", "\x1b[31m"])
@pytest.mark.parametrize("path", ["/api/v1/keys", "/api/v1/users"])
def test_a_scope_that_there_is_not(http: TestClient, path: str, scope: str) -> None:
    name = {"name": "ci"} if path.endswith("keys") else ALICE
    answer = http.post(path, json={**name, "scopes": ["read", scope]})
    found = answer.json()
    assert (answer.status_code, found["code"], found["where"]) == (400, "invalid_request", "scopes")
    assert found["found"] == repr(scope)
    assert all(str(one) in found["remedy"] for one in Scope)
    assert ("Did you mean 'read'?" in found["remedy"]) == (scope in ("raed", "read\n"))
    assert "Input should be" not in answer.text


@pytest.mark.parametrize("levels", [50, 500, 900, 5000])
def test_what_is_nested_without_end_is_refused(http: TestClient, levels: int) -> None:
    """Neither reading it nor telling of it is a mistake of the server."""
    headers = {"Content-Type": "application/json"}
    for inner in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
        for path, name in (("/api/v1/keys", "scopes"), ("/api/v1/jobs", "recipe")):
            body = f'{{"name": "a", "{name}": {inner}}}'
            answer = http.post(path, content=body, headers=headers)
            assert answer.status_code == 400 and len(answer.content) < 2000, answer.text[:300]


def test_the_document_lists_the_scopes(http: TestClient) -> None:
    shapes = http.get("/openapi.json").json()["components"]["schemas"]
    for name in ("NewKey", "NewUser", "UserScopes"):
        assert shapes[name]["properties"]["scopes"]["items"]["enum"] == sorted(Scope)
    assert "VersionNameBody" in shapes and "TargetBody" not in shapes


def test_a_person_over_http(http: TestClient) -> None:
    made = http.post("/api/v1/users", json=ALICE).json()
    assert made["account"] == "https://idp.example/ 7f0c" and made["scopes"] == ["jobs", "read"]
    assert http.get("/api/v1/users").json()["data"] == [made]
    assert http.post("/api/v1/users", json=ALICE).status_code == 409
    place = f"/api/v1/users/{made['id']}"
    changed = http.put(f"{place}/scopes", json={"scopes": ["admin"]}).json()
    assert made["role"] is None  # a set of its own
    assert changed == {**made, "scopes": ["admin"], "role": "administrator"}
    disabled = http.post(f"{place}/disable").json()
    assert disabled == {**changed, "disabled_at": disabled["disabled_at"]}
    assert disabled["disabled_at"] is not None
    assert http.post(f"{place}/enable").json() == changed
    assert http.delete(place).json() == changed
    assert http.delete(place).status_code == 404
    assert http.get("/api/v1/users").json()["data"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "ftp://x"},
        {"issuer": "https://a b"},
        {"subject": ""},
        {"subject": "é"},
        {"subject": "a" * 256},
        {"name": "a\nb"},
        {"scopes": []},
    ],
)
def test_a_person_that_cannot_be(http: TestClient, wrong: dict[str, object]) -> None:
    assert http.post("/api/v1/users", json={**ALICE, **wrong}).status_code == 400
