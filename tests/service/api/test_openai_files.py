"""Files and models through the stock client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai_worlds import BASE, OpenAIWorld, openai_world, published

from sixfold.service.domain.people import Quota
from sixfold.service.use_cases import people


@pytest.fixture
def here(tmp_path: Path) -> Iterator[OpenAIWorld]:
    with openai_world(tmp_path) as found:
        yield found


def test_a_file_there_and_back(here: OpenAIWorld) -> None:
    content = bytes(range(256)) * 5000
    file = here.client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    assert file.id.startswith("file-") and file.object == "file"
    assert (file.bytes, file.filename, file.purpose) == (len(content), "a.jsonl", "fine-tune")
    assert file.status == "processed" and file.expires_at is None
    assert here.client.files.retrieve(file.id).to_dict() == file.to_dict()
    assert here.client.files.content(file.id).read() == content
    gone = here.client.files.delete(file.id)
    assert gone.deleted and gone.id == file.id
    for ask in (here.client.files.retrieve, here.client.files.content, here.client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)


def test_files_in_pages_in_both_orders_by_purpose(here: OpenAIWorld) -> None:
    made = [
        here.client.files.create(file=(f"{n}.txt", b"x"), purpose="fine-tune").id for n in range(5)
    ]
    other = here.client.files.create(file=("o.txt", b"x"), purpose="user_data").id
    assert [one.id for one in here.client.files.list(limit=2)] == [other, *reversed(made)]
    up = here.client.files.list(limit=2, order="asc", purpose="fine-tune")
    assert [one.id for one in up] == made
    answer = here.http.get("/v1/files", params={"limit": 2}).json()
    assert answer["object"] == "list" and answer["has_more"] is True
    assert (answer["first_id"], answer["last_id"]) == (other, made[-1])


def test_a_file_ends_when_it_was_said(here: OpenAIWorld) -> None:
    ends = {"anchor": "created_at", "seconds": 3600}
    file = here.client.files.create(file=("a.txt", b"x"), purpose="user_data", expires_after=ends)
    assert file.expires_at == file.created_at + 3600
    here.world.clock.at += 3599
    assert here.client.files.retrieve(file.id).id == file.id
    here.world.clock.at += 2
    with pytest.raises(openai.NotFoundError):
        here.client.files.retrieve(file.id)
    assert not here.client.files.list().data


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "batch"}, "purpose"),
        ({}, "purpose"),
        ({"purpose": "fine-tune", "bogus": "1"}, "bogus"),
        ({"purpose": "fine-tune", "expires_after[seconds]": "4000"}, "expires_after.anchor"),
        (
            {
                "purpose": "fine-tune",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "1",
            },
            "expires_after.seconds",
        ),
    ],
)
def test_a_field_that_cannot_act_is_refused(
    here: OpenAIWorld, fields: dict[str, str], param: str
) -> None:
    answer = here.http.post("/v1/files", data=fields, files={"file": ("a.txt", b"x")})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param


def test_a_body_that_is_no_form_or_too_large_is_refused(here: OpenAIWorld) -> None:
    assert here.http.post("/v1/files", content=b"x").status_code == 400
    assert here.http.post("/v1/files", data={"purpose": "fine-tune"}).status_code == 400
    bad = {"file": ("../a.txt", b"x")}
    assert here.http.post("/v1/files", data={"purpose": "fine-tune"}, files=bad).status_code == 400


def test_models_are_bases_and_what_is_deployed(here: OpenAIWorld, tmp_path: Path) -> None:
    published(here.world, tmp_path / "other", "digits")
    names = {one.id for one in here.client.models.list()}
    assert names == {BASE, "digits"}
    found = here.client.models.retrieve(f"{BASE}@latest")
    assert (found.id, found.object, found.owned_by) == (f"{BASE}@latest", "model", "sixfold")
    with pytest.raises(openai.BadRequestError, match="base model"):
        here.client.models.delete(BASE)
    body = {"model": "digits", "scaling": {"least": 0, "sleep_after_s": 60}}
    assert here.http.put("/api/v1/deployments/chat", json=body).status_code == 200
    assert "chat" in [one.id for one in here.client.models.list()]
    assert here.client.models.delete("chat").deleted
    assert here.http.get("/api/v1/deployments/chat").status_code == 404
    assert here.http.get("/v1/models/a%2Fb").status_code == 404
    assert here.http.get("/v1/models/a%2Fb").json()["error"]["code"] == "not_found"


def test_another_tenants_things_are_not_there(here: OpenAIWorld) -> None:
    file = here.client.files.create(file=("a.txt", b"x"), purpose="user_data").id
    _, key = people.create_tenant(here.world.service, here.world.operator, "other", Quota())
    other = {"Authorization": f"Bearer {key}"}
    for path in (f"/v1/files/{file}", f"/v1/files/{file}/content", f"/v1/models/{BASE}"):
        assert here.http.get(path, headers=other).status_code == 404
    assert here.http.get("/v1/models", headers=other).json()["data"] == []
    assert here.http.get("/v1/files", headers={"Authorization": ""}).status_code == 401
