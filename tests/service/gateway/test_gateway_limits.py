"""Tokens and requests a minute; what an answer says of its tokens; use that survives a database that is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_worlds import world

from sixfold.service.domain.errors import QuotaExceeded, Unavailable
from sixfold.service.domain.people import Principal, Quota, Scope
from sixfold.service.gateway.exchange import KEPT, Exchange
from sixfold.service.gateway.limits import Bucket, TenantBuckets
from sixfold.service.gateway.request_log import RequestLog
from sixfold.service.gateway.usage_meter import UsageMeter
from sixfold.service.gateway.wire import ReplicaRequest
from sixfold.service.use_cases import usage

WHO = Principal("tenant-1", "key-1", frozenset({Scope.PREDICT}))


@given(st.integers(1, 1000), st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_never_more_than_the_bucket_and_what_flows_in(most: int, pauses: list[float]) -> None:
    buckets = TenantBuckets(Quota(), Bucket(most), Bucket(None))
    now, let_in = 0.0, 0
    for pause in pauses:
        now += pause
        try:
            buckets.enter(now)
            let_in += 1
        except QuotaExceeded as error:
            assert error.retry_after_s is not None and 1 <= error.retry_after_s <= 60
    assert let_in <= most + now * most / 60 + 1e-6


def test_who_owes_tokens_waits_until_they_are_there() -> None:
    buckets = TenantBuckets(Quota(), Bucket(None), Bucket(60))
    buckets.enter(0.0)
    buckets.tokens.take(70)  # an answer may take more than was left
    with pytest.raises(QuotaExceeded, match="tokens per minute") as refused:
        buckets.enter(0.0)
    assert refused.value.retry_after_s == 11
    buckets.enter(11.0)
    nothing = TenantBuckets(Quota(), Bucket(0), Bucket(None))
    with pytest.raises(QuotaExceeded):
        nothing.enter(1e9)


def exchange(*blocks: bytes, target: bytes = b"/v1/chat/completions") -> Exchange:
    one = Exchange("req-1", WHO, "m", ReplicaRequest("POST", target, [], b"{}"))
    for block in blocks:
        one.keep(block)
    return one


def test_tokens_are_what_the_answer_says() -> None:
    used = {"prompt_tokens": 7, "completion_tokens": 3, "details": {"cached": 1}}
    said = json.dumps({"choices": [{"text": '"usage":{"prompt_tokens":99}'}], "usage": used})
    assert exchange(said.encode()).tokens() == (7, 3)
    assert exchange(said.encode(), target=b"/predict").tokens() == (0, 0)
    long = json.dumps({"data": ["x" * KEPT], "usage": {"prompt_tokens": 5, "total_tokens": 5}})
    one = exchange(*(long.encode()[at : at + 1000] for at in range(0, len(long), 1000)))
    assert one.tokens() == (5, 0) and not one.whole
    event = b'data: {"choices":[{}],"usage":null}\n\n'
    assert exchange(event, event, event + b"data: [DONE]\n\n").tokens() == (0, 2)
    last = b'data: {"choices":[],"usage":' + json.dumps(used).encode() + b"}\n\ndata: [DONE]\n\n"
    assert exchange(event, last).tokens() == (7, 3)
    assert exchange(b'{"usage": {"prompt_tokens": -1, "completion_tokens": "9"}}').tokens() == (
        0,
        0,
    )


def test_use_is_kept_while_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path) as made:
        meter = UsageMeter(made.service)
        who = made.operator
        meter.count(who, False, (5, 6))

        def away(*_: object) -> None:
            raise Unavailable("the database", "one that answers", "none", "Start it.")

        with monkeypatch.context() as patch:
            patch.setattr(usage, "add", away)
            meter.turn()
            with pytest.raises(Unavailable):
                meter.write()
        meter.count(who, True, (1, 1))
        meter.turn()
        meter.write()
        meter.write()
        made.clock.at += 7200
        meter.count(who, False, (0, 0))
        meter.turn()
        meter.write()
        found = usage.since(made.service, who, 24)
        counts = [(one.requests, one.errors, one.tokens_in, one.tokens_out) for one in found]
        assert counts == [(2, 1, 6, 7), (1, 0, 0, 0)]
        assert len(usage.since(made.service, who, 1)) == 1
        assert usage.since(made.service, made.tenant("other"), 24) == ()


def test_the_request_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixfold.service.gateway.request_log.MOST_BYTES", 1000)
    log = RequestLog(tmp_path)
    for number in range(50):
        log.add("t", "ft:../x", {"number": number, "body": b"\xff" + b"x" * 100})
        log.flush()
    files = sorted(tmp_path.rglob("*.jsonl"))
    assert [one.parent for one in files] == [tmp_path / "t"] * 2
    assert all(one.stat().st_size <= 1000 and one.stat().st_mode & 0o77 == 0 for one in files)
    newest = (tmp_path / "t/ft____x.jsonl").read_text().splitlines()
    assert json.loads(newest[-1])["number"] == 49
