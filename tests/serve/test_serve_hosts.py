"""Under which names a server answers, and which pages may ask it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import tiny_bundle

from sixfold.bundle.load import Bundle, load
from sixfold.serve.app import create
from sixfold.serve.errors import Refusal
from sixfold.serve.hosts import MOST_HEADERS, REMEMBERED, Hosts

SERVER = ("10.0.0.7", 8000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("hosts") / "bundle"))


def status(
    hosts: Hosts, *headers: tuple[str, str], version: str = "1.1", server: Any = SERVER
) -> int:
    """200, or that of the refusal; asked twice, since what was good is remembered."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    found = []
    for _ in range(2):
        try:
            hosts.check({"headers": raw, "http_version": version, "server": server})
        except Refusal as refusal:
            found.append(refusal.status)
        else:
            found.append(200)
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("host", "names", "expected"),
    [
        ("localhost", [], 200),
        ("LocalHost:8000", [], 200),
        ("127.0.0.1:1", [], 200),
        ("[::1]:8000", [], 200),
        ("localhost.", [], 200),
        ("10.0.0.7:8000", [], 200),
        ("10.0.0.8:8000", [], 421),
        ("evil.example", [], 421),
        ("localhost.evil.example", [], 421),
        ("evil-localhost", [], 421),
        ("", [], 421),
        ("localhost:", [], 421),
        ("localhost:80:80", [], 421),
        ("local host", [], 421),
        ("user@localhost", [], 421),
        ("localhost/", [], 421),
        ("[::1", [], 421),
        ("127.0.0.1\x00", [], 421),
        ("é", [], 421),
        ("models.example.com", ["models.example.com"], 200),
        ("models.example.com:443", ["Models.Example.com"], 200),
        ("models.example.com", ["models.example.com:8000"], 200),
        ("other.example.com", ["models.example.com"], 421),
        ("[fd00::7]:80", ["fd00::7"], 200),
        ("[fd00::8]:80", ["fd00::7"], 421),
        ("evil.example", ["*"], 200),
    ],
)
def test_names(host: str, names: list[str], expected: int) -> None:
    assert status(Hosts(names), ("host", host)) == expected


def test_the_address_that_a_request_came_to_is_its_server() -> None:
    hosts = Hosts()
    assert status(hosts, ("host", "10.0.0.7")) == 200
    assert (
        status(hosts, ("host", "10.0.0.7"), server=("10.0.0.9", 8000)) == 421
    )  # remembered of the other address alone
    assert status(hosts, ("host", "[fd00::7]"), server=("fd00::7", 8000)) == 200
    assert status(hosts, ("host", "anything"), server=None) == 421


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("https://LOCALHOST:8000", 200),
        ("http://localhost:3000", 403),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://localhost:8000.evil.example", 403),
        ("", 403),
        ("localhost:8000", 403),
    ],
)
def test_pages(origin: str, expected: int) -> None:
    for headers in (
        [("host", "localhost:8000"), ("origin", origin)],
        [("origin", origin), ("host", "localhost:8000")],
    ):
        assert status(Hosts(), *headers) == expected
    assert status(Hosts(["*"]), ("host", "localhost:8000"), ("origin", origin)) == 200


def test_heads() -> None:
    host = ("host", "localhost")
    assert status(Hosts(), *[host] * 2) == 400
    assert status(Hosts()) == 400
    assert status(Hosts(), version="1.0") == 200
    assert status(Hosts(), host, ("content-length", "1"), ("transfer-encoding", "chunked")) == 400
    assert status(Hosts(), host, ("transfer-encoding", "chunked")) == 200
    assert status(Hosts(), host, *[("x", "y")] * (MOST_HEADERS - 1)) == 200
    assert status(Hosts(), host, *[("x", "y")] * MOST_HEADERS) == 431


def test_what_is_remembered_is_bounded() -> None:
    hosts = Hosts(["*"])
    for number in range(10 * REMEMBERED):
        assert status(hosts, ("host", f"h{number}")) == 200
    assert len(hosts._good) == REMEMBERED


@pytest.mark.parametrize("path", ["/predict/", "/livez/", "/v2/"])
def test_nothing_redirects(bundle: Bundle, path: str) -> None:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(create(bundle, bundle.recipe.serve))
        async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
            return await client.get(path)

    response = asyncio.run(call())
    assert response.status_code == 404
    assert "Location" not in response.headers


def test_refusals_have_the_form_of_all_others(bundle: Bundle) -> None:
    async def call(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(create(bundle, bundle.recipe.serve, Hosts()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(
                path, json=[tiny_bundle.raw()], headers={"Host": "evil.example"}
            )

    refused = asyncio.run(call("/predict"))
    assert (refused.status_code, refused.headers["Connection"]) == (421, "close")
    assert refused.json()["error"] == {
        "where": "Host",
        "expected": "a name of this server",
        "found": "'evil.example'",
        "remedy": "Name it at the start: sixfold serve --allow-host NAME.",
    }
    assert isinstance(asyncio.run(call("/v2/models/tiny/infer")).json()["error"], str)
