"""The prediction server in one process: every route, every refusal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixfold.bundle.load import Bundle, load
from sixfold.serve import bodies
from sixfold.serve.app import create

Send = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("serve") / "bundle"))


@pytest.fixture(scope="module")
def send(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)

    def send(method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())

    return send


def error(response: httpx.Response) -> list[str]:
    parts = response.json()["error"]
    assert list(parts) == ["where", "expected", "found", "remedy"]
    return list(parts.values())


@pytest.mark.parametrize(
    "body",
    [
        {"rows": [tiny_bundle.raw(), tiny_bundle.raw(size=None)]},
        [tiny_bundle.raw(), tiny_bundle.raw(size="NA")],
        {
            "columns": {name: [value, value] for name, value in tiny_bundle.raw().items()}
            | {"size": [1.5, None]}
        },
    ],
)
def test_rows_lists_and_columns_get_the_same_answers(send: Send, body: Any) -> None:
    response = send("POST", "/predict", json=body)
    assert response.status_code == 200
    first, second = response.json()["predictions"]
    assert first["label"] == "keep"
    assert first["probability"]["keep"] == pytest.approx(
        tiny_bundle.expected()["probability"][0, 0], abs=1e-12
    )
    assert second["probability"]["keep"] < first["probability"]["keep"]


def test_csv_is_read_as_the_stored_rows(send: Send) -> None:
    lines = ["size,label,new,since,colour", *(",".join(row.values()) for row in tiny_bundle.ROWS)]
    response = send(
        "POST",
        "/predict",
        content="\r\n".join(lines),
        headers={"Content-Type": "text/csv; charset=utf-8"},
    )
    found = [row["probability"]["keep"] for row in response.json()["predictions"]]
    assert found == pytest.approx(tiny_bundle.expected()["probability"][:, 0].tolist(), abs=1e-12)


def test_the_target_may_be_sent_along(send: Send) -> None:
    assert send("POST", "/predict", json=[tiny_bundle.raw(fate="keep")]).status_code == 200


MANY = [tiny_bundle.raw()] * 101
REFUSALS: list[tuple[dict[str, Any], int, list[str]]] = [
    (
        {
            "json": [
                tiny_bundle.raw(),
                {"sise" if n == "size" else n: v for n, v in tiny_bundle.raw().items()},
            ]
        },
        422,
        ["row 2, column 'size'", "the column 'size'", "'sise'", "Rename it to 'size'."],
    ),
    (
        {"json": [{"size": 1}]},
        422,
        [
            "row 1, column 'label'",
            "the column 'label'",
            "no such column",
            "Add the column; send null where its value is missing.",
        ],
    ),
    (
        {"json": [tiny_bundle.raw(collour="red")]},
        422,
        [
            "row 1, column 'collour'",
            "only columns of the signature",
            "the unknown column 'collour'",
            "Did you mean 'colour'? Its value is given too. Leave it out: signature.json lists the columns.",
        ],
    ),
    (
        {"json": [tiny_bundle.raw(), tiny_bundle.raw(), tiny_bundle.raw(size="big")]},
        422,
        ["row 3, column 'size'", "a number", "'big'", "Send null where the value is missing."],
    ),
    (
        {"json": [tiny_bundle.raw(new="perhaps")]},
        422,
        [
            "row 1, column 'new'",
            "true or false",
            "'perhaps'",
            "Send null where the value is missing.",
        ],
    ),
    (
        {"json": [tiny_bundle.raw(since="yesterday")]},
        422,
        [
            "row 1, column 'since'",
            "a date such as 2026-11-23 or 2026-11-23T15:20:00Z",
            "'yesterday'",
            "Send null where the value is missing.",
        ],
    ),
    (
        {"json": [tiny_bundle.raw(colour=["red"])]},
        422,
        ["row 1, column 'colour'", "text", "['red']", "Send null where the value is missing."],
    ),
    (
        {"json": []},
        422,
        [
            "the body",
            "at least one row",
            "none",
            'Send {"rows": [{column: value}]}, {"columns": {column: [values]}}, or a list of rows.',
        ],
    ),
    (
        {"json": tiny_bundle.raw(size=1)},
        422,
        [
            "the body",
            '{"rows": [{column: value}]}, {"columns": {column: [values]}}, or a list of rows',
            "keys ['size', 'label', 'new', 'since', 'colour']",
            "Put a single row into a list: [row].",
        ],
    ),
    (
        {"json": MANY},
        413,
        ["the body", "at most 100 rows", "101", "Send them in several requests."],
    ),
    (
        {"content": b" " * 70_000},
        413,
        [
            "the body",
            "at most 65.5 kB",
            "more",
            "Send fewer rows a request, or raise serve.max_body.",
        ],
    ),
    (
        {"content": b'[{"size": NaN}]'},
        400,
        ["the body", "JSON", "NaN, which is no JSON", "Send null for a missing value."],
    ),
    (
        {"content": b'[{"size": 1, "size": 2}]'},
        400,
        ["the body", "JSON", "the key 'size' twice", "Send null for a missing value."],
    ),
    (
        {"content": b"[{]"},
        400,
        [
            "the body",
            "JSON",
            "Expecting property name enclosed in double quotes at line 1, column 3",
            "Send null for a missing value.",
        ],
    ),
    (
        {"content": b"\xff"},
        400,
        ["the body", "UTF-8", "invalid start byte at byte 0", "Encode it as UTF-8."],
    ),
    (
        {"content": b"x", "headers": {"Content-Type": "image/png"}},
        415,
        [
            "Content-Type",
            "application/json, text/csv or multipart/form-data",
            "'image/png'",
            "Set the header.",
        ],
    ),
    (
        {"content": b"x", "headers": {"Content-Encoding": "gzip"}},
        415,
        ["Content-Encoding", "identity", "a compressed body", "Send the body as it is."],
    ),
    (
        {"content": b"size,label\n1,2,3\n", "headers": {"Content-Type": "text/csv"}},
        422,
        [
            "the body, line 2",
            "2 fields",
            "3 fields",
            "Put text that holds the separator into quotes.",
        ],
    ),
    (
        {"content": b"size,size\n1,2\n", "headers": {"Content-Type": "text/csv"}},
        422,
        ["the body, line 1", "each column once", "'size' twice", "Rename one of them."],
    ),
    (
        {"content": b'size\n"1\n', "headers": {"Content-Type": "text/csv"}},
        422,
        ["the body, line 2", "CSV", "unexpected end of data", "Check the quotes."],
    ),
    (
        {"json": {"columns": {name: [1] for name in tiny_bundle.raw()} | {"size": [1, 2]}}},
        422,
        [
            "columns",
            "columns of equal length",
            "'size' 2, 'label' 1, 'new' 1, 'since' 1, 'colour' 1",
            "Give every column one value a row.",
        ],
    ),
]


@pytest.mark.parametrize(
    ("options", "status", "parts"), REFUSALS, ids=lambda v: v[2][:30] if isinstance(v, list) else ""
)
def test_a_refusal_says_where_what_and_what_to_do(
    send: Send, options: dict[str, Any], status: int, parts: list[str]
) -> None:
    response = send("POST", "/predict", **options)
    assert (response.status_code, error(response)) == (status, parts)


def test_the_size_of_a_body_is_counted_not_believed(send: Send) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 4096
            yield b" " * 4096

    assert send("POST", "/predict", content=endless()).status_code == 413
    assert given <= 64 * 1024 + 2 * 4096


def test_deep_brackets_are_refused(send: Send) -> None:
    assert send("POST", "/predict", content=b"[" * 60_000).status_code == 400


def test_overload_is_refused_at_once_with_a_time_to_come_again(bundle: Bundle) -> None:
    app = create(bundle, bundle.recipe.serve.model_copy(update={"concurrency": 1}))

    async def run() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            with ExitStack() as work:
                for _ in range(5):
                    work.enter_context(app.server.gate.place())
                refused = await client.post("/predict", json=[tiny_bundle.raw()])
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
                assert error(refused)[0] == "the server"
                early = await client.post("/predict", content=endless())
                assert (early.status_code, early.headers["Connection"]) == (503, "close")
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/livez")).status_code == 200
            assert (await client.post("/predict", json=[tiny_bundle.raw()])).status_code == 200

    async def endless() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    asyncio.run(run())


def test_bodies_that_come_slowly_take_no_place(bundle: Bundle) -> None:
    app = create(bundle, bundle.recipe.serve.model_copy(update={"concurrency": 1}))

    async def run() -> None:
        release = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"["
            await release.wait()
            yield json.dumps(tiny_bundle.raw()).encode() + b"]"

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            waiting = [
                asyncio.create_task(client.post("/predict", content=slow())) for _ in range(5)
            ]
            await asyncio.sleep(0.05)
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.post("/predict", json=[tiny_bundle.raw()])).status_code == 200
            release.set()
            assert [response.status_code for response in await asyncio.gather(*waiting)] == [
                200
            ] * 5

    asyncio.run(run())


def test_a_body_that_does_not_come_is_given_up(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.05)
    app = create(bundle, bundle.recipe.serve.model_copy(update={"concurrency": 1}))

    async def run() -> None:
        async def stuck() -> AsyncIterator[bytes]:
            yield b"["
            await asyncio.Event().wait()

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            refused = await client.post("/predict", content=stuck())
            assert (refused.status_code, error(refused)[1]) == (408, "all of it within 0.05 s")
            assert (
                await client.post("/predict", json=[tiny_bundle.raw()])
            ).status_code == 200  # its place is free again

    asyncio.run(run())


def test_signature_and_health(send: Send, bundle: Bundle) -> None:
    assert send("GET", "/signature").json() == bundle.signature.model_dump(mode="json")
    assert send("GET", "/livez").json() == {"status": "ok"}
    assert send("GET", "/readyz").json() == {"status": "ok", "model": "tiny"}


def test_unknown_paths_and_methods_have_the_same_form(send: Send) -> None:
    missing, wrong = send("GET", "/nowhere"), send("GET", "/predict")
    assert (missing.status_code, error(missing)[1]) == (404, "a path of this server")
    assert (wrong.status_code, error(wrong)[1], wrong.headers["Allow"]) == (
        405,
        "a method of this path",
        "POST",
    )


def test_metrics_count_requests_rows_and_time(bundle: Bundle) -> None:
    app = create(bundle, bundle.recipe.serve)

    async def run() -> str:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            await client.post("/predict", json=[tiny_bundle.raw()] * 3)
            await client.post("/predict", json=[])
            await client.get("/whatever")
            return (await client.get("/metrics")).text

    text = asyncio.run(run())
    for line in (
        'sixfold_requests_total{route="/predict",status="200"} 1.0',
        'sixfold_requests_total{route="/predict",status="422"} 1.0',
        'sixfold_requests_total{route="other",status="404"} 1.0',
        'sixfold_request_seconds_count{route="/predict"} 2.0',
        "sixfold_rows_total 3.0",
        "sixfold_in_flight 1.0",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_outside(send: Send, path: str) -> None:
    response = send("GET", path)
    assert response.status_code == 200
    assert re.findall(r'(?:src|href)="(?!/|data:)[^"]*"', response.text) == []
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "&lt;toss&gt;" in response.text or "<toss>" not in response.text
    for column in tiny_bundle.signature().inputs:
        assert column.name in response.text


def test_the_openapi_document_has_every_route(send: Send, bundle: Bundle) -> None:
    document = send("GET", "/openapi.json").json()
    assert {"/predict", "/signature", "/v2/models/tiny/infer"} <= set(document["paths"])
    example = document["components"]["schemas"]["Row"]["example"]
    assert example == {
        "size": 2.5,
        "label": 1,
        "new": False,
        "since": "2023-11-14T22:13:20Z",
        "colour": "red",
    }
    assert send("POST", "/predict", json=[example]).status_code == 200
    for path, methods in document["paths"].items():
        if "get" in methods:
            assert send("GET", path).status_code == 200


def test_a_regression_answers_with_a_number(tmp_path: Path) -> None:
    bundle = load(tiny_bundle.make(tmp_path / "bundle", "regression"))
    app = create(bundle, bundle.recipe.serve)

    async def run() -> Any:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return (await client.post("/predict", json=[tiny_bundle.raw()])).json()

    value = asyncio.run(run())["predictions"][0]["value"]
    assert value == pytest.approx(tiny_bundle.expected("regression")["value"][0, 0], abs=1e-12)


NAMES = st.sampled_from(["size", "label", "new", "since", "colour"]) | st.text(max_size=3)
ODD = st.sampled_from(
    [
        "\ud800",
        "\x00",
        "1e999",
        10**400,
        -(2**63),
        "9999-12-31",
        "0001-01-01T00:00+14:00",
        "nan",
        1e308,
    ]
)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ODD
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6)
)
ROWS = st.fixed_dictionaries(dict.fromkeys(tiny_bundle.raw(), ATOMS))
BODIES = (
    VALUES
    | st.lists(ROWS, max_size=3)
    | st.fixed_dictionaries({"rows": st.lists(ROWS | VALUES, max_size=3)})
)
COLUMNS = st.fixed_dictionaries(
    {"columns": st.fixed_dictionaries({n: st.lists(ATOMS, max_size=2) for n in tiny_bundle.raw()})}
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES | COLUMNS)
def test_no_json_is_a_fault_of_the_server(send: Send, body: Any) -> None:
    assert send("POST", "/predict", content=json.dumps(body)).status_code < 500


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=60), kind=st.sampled_from(["text/csv", "application/json", "", "a/b;c"])
)
def test_no_bytes_are_a_fault_of_the_server(send: Send, body: bytes, kind: str) -> None:
    prefix = b"size,label,new,since,colour\n" if kind == "text/csv" else b""
    assert (
        send("POST", "/predict", content=prefix + body, headers={"Content-Type": kind}).status_code
        < 500
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=VALUES, length=st.text("0123456789x-", max_size=4))
def test_no_inference_request_is_a_fault_of_the_server(send: Send, body: Any, length: str) -> None:
    tensors = {
        "inputs": [{"name": "size", "shape": [1], "datatype": "FP64", "data": body}, body],
        "outputs": body,
    }
    for content in (body, tensors):
        for headers in ({}, {"Inference-Header-Content-Length": length}):
            response = send(
                "POST", "/v2/models/tiny/infer", content=json.dumps(content), headers=headers
            )
            assert response.status_code < 500
            assert isinstance(response.json()["error"], str)
