"""What goes along with others, and how an answer to all becomes an answer to each."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.gateway.batching import RowBatches, WholeAnswer, parts_of, row_of
from sixfold.service.gateway.wire import ReplicaRequest

MOST = 64  # that go together
VALUES = (
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.integers()
)
ROWS = st.dictionaries(st.text(max_size=4), VALUES | st.lists(VALUES, max_size=2), max_size=4)


def request(body: bytes, target: bytes = b"/predict", method: str = "POST") -> ReplicaRequest:
    return ReplicaRequest(method, target, [(b"content-type", b"application/json")], body)


@given(ROWS, st.booleans(), st.sampled_from([None, 1]))
def test_one_row_is_found_as_it_was_written(row: Any, listed: bool, indent: int | None) -> None:
    text = json.dumps([row] if listed else {"rows": [row]}, indent=indent)
    found = row_of(request(text.encode()))
    assert found is not None and json.loads(found) == row and found.decode() in text


@given(
    st.lists(ROWS, max_size=3), st.text(alphabet='[]{},:"rows 1', max_size=12), st.integers(0, 60)
)
def test_nothing_but_one_row_goes_along(rows: list[Any], noise: str, at: int) -> None:
    text = json.dumps({"rows": rows})
    text = text[:at] + noise + text[at:]
    found = row_of(request(text.encode()))
    if found is None:
        return
    value = json.loads(text)  # what goes along is JSON as a whole, with that row alone
    whole = value["rows"] if isinstance(value, dict) else value
    assert len(whole) == 1 and whole[0] == json.loads(found)


def test_what_does_not_go_along() -> None:
    good = b'{"rows": [{"a": 1}]}'
    assert row_of(request(good)) == b'{"a": 1}'
    for body in (
        b'{"rows": [{"a": 1}, {"a": 2}]}',
        b'{"rows": [{"a": 1}], "rows": [{"a": 2}]}',
        b'{"rows": [{"a": 1}]',
        b'[{"a": 1}]}',
        b'{"columns": {"a": [1]}}',
        b'{"rows": [{"a": 1}], "explain": true}',
        b"[]",
        b'[{"a": "\xff"}]',
        b"[" + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"]",
        b'[{"a": "' + b"x" * 10_000 + b'"}]',
    ):
        assert row_of(request(body)) is None, body[:60]
    assert row_of(request(good, b"/predict?a=1")) is None
    assert row_of(request(good, method="PUT")) is None
    assert (
        row_of(ReplicaRequest("POST", b"/predict", [(b"content-type", b"text/csv")], good)) is None
    )


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_each_gets_its_part(answers: list[Any]) -> None:
    def text(found: list[Any]) -> bytes:
        return json.dumps({"predictions": found}, separators=(",", ":")).encode()

    assert parts_of(text(answers), len(answers)) == [text([one]) for one in answers]
    assert parts_of(text(answers), len(answers) + 1) is None
    assert parts_of(b'{"error":"none"}', 1) is None


def together(count: int, refused: bool = False) -> tuple[list[WholeAnswer | None], list[int]]:
    """Of requests that come while one is in work; and the rows that each batch had."""
    asked: list[int] = []

    async def ask(one: ReplicaRequest) -> WholeAnswer:
        rows = json.loads(one.body)["rows"]
        asked.append(len(rows))
        await asyncio.sleep(0)
        text = json.dumps({"predictions": rows}, separators=(",", ":")).encode()
        return (422 if refused else 200), [(b"content-length", b"0"), (b"a", b"b")], text

    async def run() -> list[WholeAnswer | None]:
        batches = RowBatches()
        assert batches.enter(1) and not batches.enter(1)
        rows = [request(b'[{"a":%d}]' % number) for number in range(count)]
        waiting = [asyncio.create_task(batches.join(one)) for one in rows]
        await asyncio.sleep(0)
        waiting[0].cancel()
        batches.leave(ask, MOST)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert batches.enter(1)  # nobody is in work
        return found[1:]  # type: ignore[return-value]

    return asyncio.run(run()), asked


def test_those_that_waited_go_together() -> None:
    found, asked = together(3 * MOST)
    assert asked == [MOST - 1, MOST, MOST]
    for number, one in enumerate(found, 1):
        assert one is not None
        status, headers, body = one
        assert (status, json.loads(body)) == (200, {"predictions": [{"a": number}]})
        assert headers == [(b"content-length", b"%d" % len(body)), (b"a", b"b")]


def test_where_they_are_refused_together_each_is_asked_alone() -> None:
    found, asked = together(5, refused=True)
    assert found == [None] * 4 and asked == [4]
