"""A model of many versions, over HTTP: a page at a time, and all of them by the client."""

from __future__ import annotations

import httpx
from service_worlds import World

from sixfold.service.client.client import PAGE, Client
from sixfold.service.client.settings import found
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion

COUNT = PAGE + 30


def test_versions_come_in_pages(here: World) -> None:
    with here.service.database.transaction() as rows:
        for at in range(COUNT):
            new = NewVersion(f"{at:064x}", 1)
            registry.publish(here.service, rows, here.operator.tenant_id, "m", new)
    registry.promote(here.service, here.operator, "m", "first", "1")

    def page(query: str) -> tuple[list[int], bool]:
        login = found()
        headers = {"Authorization": f"Bearer {login.key}"}
        answer = httpx.get(f"{login.server}/api/v1/models/m?{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        return [one["number"] for one in page["versions"]], page["has_more"]

    assert page("") == (list(range(COUNT, COUNT - 20, -1)), True)
    assert page("limit=2&before=4") == ([3, 2], True)
    assert page("before=4") == ([3, 2, 1], False)
    assert page("before=1") == ([], False)
    client = Client()
    whole = client.model("m")
    client.close()
    assert [one["number"] for one in whole["versions"]] == list(range(COUNT, 0, -1))
    assert whole["versions"][-1]["aliases"] == ["first"] and "has_more" not in whole
