"""Large bodies, which are read piece by piece, get the answers and the refusals that small ones
get.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import tiny_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixfold.bundle.load import Bundle, load
from sixfold.serve import body, inference, json_rows
from sixfold.serve.app import create
from sixfold.serve.errors import Refusal
from sixfold.serve.json_rows import JsonRows

Send = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("large") / "bundle"))


@pytest.fixture
def piecewise(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Send:
    """A server to which every body is large, and every window small."""
    for module in (body, inference):
        monkeypatch.setattr(module, "LARGE_BODY", 10)
    monkeypatch.setattr(inference, "SMALL_BODY", 5)
    monkeypatch.setattr(body, "CHUNK", 3)
    monkeypatch.setattr(json_rows, "WINDOW", 7)
    return sender(bundle)


def sender(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)

    def send(content: bytes, kind: str = "application/json") -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://test"
            ) as client:
                return await client.post(
                    "/predict", content=content, headers={"Content-Type": kind}
                )

        return asyncio.run(call())

    return send


RAW = [
    dict(tiny_bundle.raw(size=size, colour=colour))
    for size, colour in ((1, "red"), (None, "😀\n"), (-8.5, "café"))
] * 3
CSV = (
    "\ufeffsize,label,new,since,colour\r\n"
    + '1,2,true,2026-11-23,"a\n""b"\r\n\r\n-8,0,f,,café\r\n' * 4
)
GOOD = [
    ("application/json", json.dumps(RAW, ensure_ascii=False)),
    ("application/json", json.dumps(RAW, indent=1)),
    ("application/json", ' \n{ "rows" : ' + json.dumps(RAW) + " }\n "),
    (
        "application/json",
        json.dumps({"columns": {name: [row[name] for row in RAW] for name in RAW[0]}}),
    ),
    ("text/csv", CSV),
]


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_the_same_answers(bundle: Bundle, piecewise: Send, kind: str, text: str) -> None:
    content = text.encode()
    found = piecewise(content, kind)
    assert found.status_code == 200, found.text
    with pytest.MonkeyPatch.context() as patch:
        for module in (body, inference):
            patch.setattr(module, "LARGE_BODY", 1 << 20)
        assert sender(bundle)(content, kind).text == found.text


BAD = [
    (json.dumps([*RAW, {**RAW[0], "size": "big"}]), 422, "row 10, column 'size'"),
    (json.dumps([*RAW, {"size": 1}]), 422, "row 10, column 'label'"),
    (json.dumps([*RAW, 5]), 422, "row 10"),
    (json.dumps(RAW * 12), 413, "at most 100 rows"),
    (json.dumps(RAW)[:-1], 400, "'the end' in the place of ']' at line 1, column 771"),
    (json.dumps(RAW) + "x", 400, "Extra data at line 1, column 772"),
    (json.dumps(RAW, indent=1)[:-3] + "]", 400, "at line 64, column"),
    ('{"rows": [], "more": 5, "and": 6}', 400, "',' in the place of '}' at line 1, column 12"),
    ("[1,, 2, 3, 4, 5, 6]", 400, "Expecting value at line 1, column 4"),
    ('[{"a": 1},{"a": 1 "b": 2}]', 400, "Expecting ',' delimiter at line 1, column 19"),
    ('[{"size": NaN, "label": 1}]', 400, "NaN, which is no JSON"),
    ('[{"size": 1, "size": 1}]', 400, "the key 'size' twice"),
    ("[                ]", 422, "at least one row"),
    ('{"rows": [            ]}', 422, "at least one row"),
    ("[" * 5000, 400, "too many brackets inside each other"),
    ("[[[]],                 \n ", 400, "Expecting value at line 2, column 2"),
    ("size,label,new,since,colour\n", 422, "at least one row"),
    ("size,label,new,since,colour\n1,2\n", 422, "5 fields"),
    ("size,size\n1,2\n1,2\n1,2\n", 422, "each column once"),
    ("size,label,new,since,colour\n1,2,t,,\ud800".encode("utf-8", "surrogatepass"), 400, "UTF-8"),
    (b'[{"size": "\xff"}, {}, {}]', 400, "UTF-8"),
    (b'[{"size": "\xc3', 400, "UTF-8"),
]


@pytest.mark.parametrize(("text", "status", "told"), BAD)
def test_the_same_refusals(piecewise: Send, text: str | bytes, status: int, told: str) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    csv = content.startswith(b"size")
    found = piecewise(content, "text/csv" if csv else "application/json")
    assert found.status_code == status, found.text
    assert told in json.dumps(found.json(), ensure_ascii=False), found.text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def rows_of(content: bytes, window: int) -> list[Any] | None:
    """What is read in such windows; None where it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "WINDOW", window)
        rows = JsonRows(content, json.JSONDecoder().raw_decode, 1 << 20)
        assert rows.is_list
        try:
            return list(rows)
        except Refusal:
            return None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(VALUES, max_size=6),
    ascii=st.booleans(),
    indent=st.none() | st.integers(0, 3),
    wrapped=st.booleans(),
    window=st.integers(1, 40),
    cut=st.none() | st.integers(1, 200),
)
def test_a_list_in_windows_is_the_list(
    rows: list[Any], ascii: bool, indent: int | None, wrapped: bool, window: int, cut: int | None
) -> None:
    value = {"rows": rows} if wrapped else rows
    content = json.dumps(value, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    whole = rows_of(content, window)
    try:
        content.decode()
    except UnicodeDecodeError:
        assert whole is None
        return
    assert whole == rows
    if cut is not None and content.find(b"[") < len(content) - cut:
        assert rows_of(content[: len(content) - cut], window) is None


def test_a_long_row_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that double: what is scanned of a row in all is no more than a few times its
    length.
    """
    scanned = 0

    def scan(text: str, at: int) -> tuple[Any, int]:
        nonlocal scanned
        scanned += len(text) - at
        return json.JSONDecoder().raw_decode(text, at)

    monkeypatch.setattr(json_rows, "WINDOW", 16)
    content = json.dumps([["a" * 50_000]] * 3).encode()
    assert len(list(JsonRows(content, scan, 1 << 20))) == 3
    assert scanned < 8 * len(content)
