"""Figure 10: every route asks for a key, but for a written list; and no name, id or query is a mistake of the server."""

from __future__ import annotations

import os
import random
import re
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from http_worlds import http_client
from service_worlds import World, world
from starlette.testclient import TestClient

from sixfold.service.api.access import OPEN
from sixfold.service.api.app import ROUTERS
from sixfold.service.console import console
from sixfold.service.console import routing as console_routing
from sixfold.service.domain.people import Scope
from sixfold.service.use_cases import people
from sixfold.service.use_cases.people import KeyRequest

FRONT = [  # of the front door, which is no router
    *(("POST", path) for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")),
    *(("POST", "/models/{name}/predict"), ("GET", "/models/{name}/signature")),
]
STATIC = "/console/static/"
ANY = "/{path:path}"  # of the console: what is no page
FILLED = re.compile(r"\{[^}]+\}")
APART = (
    16  # each route meets every sixteenth string; SIXFOLD_INJECTIONS_APART=4 for the whole figure
)


def routes() -> list[tuple[str, str]]:
    """Method and path of all that the application answers."""
    found = list(FRONT)
    for router in (*(module.router for module in ROUTERS), console.router):
        for route in walk(router.routes):
            found += [(method, route.path) for method in sorted(route.methods or ())]
    return sorted(set(found))


def walk(found: list[Any]) -> Iterator[APIRoute]:
    """With those of included routers, however they are kept."""
    for one in found:
        if isinstance(one, APIRoute):
            yield one
        elif hasattr(one, "original_router"):
            yield from walk(one.original_router.routes)


def is_open(path: str) -> bool:
    """The written allow-list: nothing else answers without a key."""
    return path in OPEN or path in console_routing.OPEN or path.startswith(STATIC)


def filled(path: str, value: str = "nothing") -> str:
    return FILLED.sub(quote(value, safe=""), path)


def closed(answer: Any, path: str) -> bool:
    """401 or 403 for programs; the page to sign in for people."""
    if answer.status_code in (401, 403):
        return True
    to_login = answer.headers.get("location", "").startswith("/login")
    return (
        answer.status_code == 303
        and to_login
        and path.startswith(("/console", "/log", "/", "/docs"))
    )


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def key_of(here: World, *scopes: Scope, name: str = "k", s: float | None = None) -> tuple[str, str]:
    row, key = people.create_key(
        here.service, here.operator, KeyRequest(name, frozenset(scopes), s, None)
    )
    return row.id, key


def wrong_keys(here: World) -> dict[str, str]:
    """Keys that open nothing, whatever they opened before."""
    good = here.key
    revoked_id, revoked = key_of(here, *set(Scope) - {Scope.WORK}, name="revoked")
    people.revoke_key(here.service, here.operator, revoked_id)
    _, expired = key_of(here, *set(Scope) - {Scope.WORK}, name="expired", s=10.0)
    here.clock.at += 11
    last = "0" if good[-1] != "0" else "1"
    return {
        "none": "",
        "wrong": "sf_" + "a" * 49,
        "nearly right": good[:-1] + last,
        "another kind": "sk-" + good[3:],
        "revoked": revoked,
        "expired": expired,
    }


def test_the_walk_sees_all_routes() -> None:
    found = routes()
    for one in (("POST", "/api/v1/jobs"), ("POST", "/api/v1/models/{name}/versions")):
        assert one in found
    assert ("GET", "/v1/files/{file_id}") in found and ("POST", "/login") in found
    assert len(found) > 80, len(found)


def test_no_route_answers_without_a_good_key(here: World, tmp_path: Path) -> None:
    keys = wrong_keys(here)
    asked: Counter[str] = Counter()
    with http_client(here, tmp_path, "") as http:
        for method, path in routes():
            if is_open(path):
                continue
            for what, key in keys.items():
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                answer = http.request(method, filled(path), headers=headers)
                assert closed(answer, path), (what, method, path, answer.status_code, answer.text)
                asked[what] += 1
    print(f"{sum(asked.values())} requests with {len(asked)} kinds of no key: 100% denied")
    assert min(asked.values()) > 70


def test_open_routes_are_those_that_are_written_down(here: World, tmp_path: Path) -> None:
    """What answers without a key is on the list; of the list, nothing tells anything of a tenant."""
    with http_client(here, tmp_path, "") as http:
        for path in sorted(OPEN):
            answer = http.get(path)
            assert answer.status_code in (200, 303, 404), path
            assert here.operator.tenant_id not in answer.text
        assert http.get("/livez").json() == {"status": "alive"}


def test_a_lesser_key_opens_no_more_than_its_scope(here: World, tmp_path: Path) -> None:
    """A key of one scope: each route that writes is closed for keys that lack the scope it asks for."""
    _, reader = key_of(here, Scope.READ, name="reader")
    writing = [one for one in routes() if one[0] in ("POST", "PUT", "DELETE", "PATCH")]
    writing = [one for one in writing if one[1].startswith(("/api/", "/v1/", "/models/"))]
    headers = {"Authorization": f"Bearer {reader}"}
    with http_client(here, tmp_path, "") as http:
        statuses: Counter[int] = Counter()
        for method, path in writing:
            answer = http.request(method, filled(path), headers=headers)
            statuses[answer.status_code] += 1
            assert answer.status_code in (400, 401, 403, 404, 422), (method, path, answer.text)
    assert statuses[403] >= 15, statuses
    print(f"{len(writing)} routes that write, with a key that reads: {dict(statuses)}")


def test_a_foreign_tenant_sees_nothing(here: World, tmp_path: Path) -> None:
    """Ids of one tenant with the key of another's administrator: not found, as if they were not there."""
    job = here.submit()
    _, mine = people.create_tenant(here.service, here.operator, "other", people.Quota())
    headers = {"Authorization": f"Bearer {mine}"}
    with http_client(here, tmp_path, "") as http:
        for method, path in routes():
            if (
                "{job_id}" not in path
                or "/workers/" in path
                or not path.startswith(("/api", "/v1"))
            ):
                continue
            answer = http.request(method, filled(path, job.id), headers=headers)
            assert answer.status_code in (403, 404, 422), (method, path, answer.text)
            assert job.id not in answer.text.replace(repr(job.id), "")


def injections() -> list[str]:
    """200 strings that break something somewhere."""
    given = [
        *("' OR '1'='1", "'; DROP TABLE jobs; --", '" OR ""="', "1; SELECT pg_sleep(9)", "%' --"),
        *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "....//....//etc/passwd", "/etc/passwd"),
        *("\x00", "a\x00b", "%00", "\r\nSet-Cookie: a=b", "\r\n\r\n<html>", "\x7f", "\x1b[2J"),
        *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"),
        *("{{7*7}}", "${7*7}", "{% include '/etc/passwd' %}", "#{7*7}", "{0.__class__}", "%s%s%n"),
        *("$(id)", "`id`", "; id", "| id", "&& id", "$HOME", "*", "?", "[a-z]*", "~root"),
        *("-1", "0", "99999999999999999999", "1e309", "NaN", "Infinity", "0x10", "1.5", "true"),
        *("null", "None", "undefined", "[]", "{}", "[[[[", '{"$gt": ""}', "__proto__", "()"),
        *("é", "中文", "\u202e", "\ufeff", "\U0001f600", "\u0000", "a" * 5000, " ", "", ".", ".."),
        *("latest", "con", "nul", "file:///etc/passwd", "http://169.254.169.254/", "\\\\host\\a"),
        *(
            "*)(uid=*))(|(uid=*",
            "' or count(/*)=1 or 'a'='b",
            "<!DOCTYPE a [<!ENTITY b SYSTEM 'c'>]>",
        ),
    ]
    draw = random.Random(0)
    symbols = string.printable + "\x00\u202eé中'\"%_\\"
    while len(given) < 200:
        given.append("".join(draw.choice(symbols) for _ in range(draw.randint(1, 40))))
    return given


def ask_with(http: TestClient, method: str, path: str, value: str) -> int:
    """In the path, in a query, and in a body, whichever the route has."""
    sent = quote(value, safe="")
    target = FILLED.sub(sent, path) if "{" in path else path
    return http.request(
        method,
        f"{target}?after={sent}&limit={sent}&state={sent}&filename={sent}",
        json={"name": value},
    ).status_code


@pytest.mark.slow
def test_two_hundred_injections_are_never_a_mistake_of_the_server(
    here: World, tmp_path: Path
) -> None:
    here.submit()
    asked = [one for one in routes() if not one[1].startswith("/models/") and one[0] != "HEAD"]
    apart = int(os.environ.get("SIXFOLD_INJECTIONS_APART", APART))
    statuses: Counter[int] = Counter()
    with http_client(here, tmp_path) as http:
        for number, value in enumerate(injections()):
            for method, path in asked[number % apart :: apart]:
                status = ask_with(http, method, path, value)
                assert status < 500, (method, path, value, status)
                statuses[status] += 1
        assert http.get("/api/v1/jobs").json()["data"], "the table is still there"
    print(f"{sum(statuses.values())} requests with 200 strings: {dict(statuses)}")


def test_injections_at_the_routes_with_names(here: World, tmp_path: Path) -> None:
    """The quick one: one route of each kind in turn, every fourth string."""
    paths = ("/api/v1/jobs/{id}", "/api/v1/models/{name}", "/v1/models/{name}")
    with http_client(here, tmp_path) as http:
        for number, value in enumerate(injections()[::4]):
            path = paths[number % len(paths)]
            assert ask_with(http, "GET", path, value) < 500, (path, value)
