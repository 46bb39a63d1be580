"""Traffic by the minute beside NumPy, a shadow's answers beside those that were given, and when drift is an alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.domain.deployments import DriftLimits
from sixfold.service.gateway import drift_figures
from sixfold.service.gateway.shadow_watch import ShadowWatch
from sixfold.service.gateway.traffic import MINUTES, VersionTraffic

SECONDS = st.lists(st.floats(1e-5, 30.0), min_size=1, max_size=200)


@given(SECONDS, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_minutes_quantile_is_numpys_within_a_twentieth(
    seconds: list[float], share: float
) -> None:
    seen = VersionTraffic()
    for one in seconds:
        seen.count(200, one, 120.0)
    (minute,) = seen.minutes
    exact = float(np.quantile(seconds, share, method="inverted_cdf"))
    assert minute.quantile_s(share) == pytest.approx(exact, rel=0.051)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.sampled_from([200, 404, 500, 503])), max_size=60))
def test_minutes_add_up_to_all(asked: list[tuple[float, int]]) -> None:
    seen = VersionTraffic()
    for at, status in sorted(asked):
        seen.count(status, 0.01, at)
    whole = {int(at // 60) for at, _ in asked}
    assert {one.minute for one in seen.minutes} == set(sorted(whole)[-MINUTES:])
    assert sum(one.requests for one in seen.minutes) == seen.requests == len(asked)
    failed = sum(status >= 500 for _, status in asked)
    assert sum(one.errors for one in seen.minutes) == seen.errors == failed


def answer(*rows: object) -> bytes:
    return json.dumps({"predictions": list(rows)}).encode()


def test_a_shadow_is_compared_row_by_row() -> None:
    watch = ShadowWatch()
    watch.sample(
        answer({"label": "a"}, {"label": "b"}, {"label": "c"}),
        answer({"label": "a"}, {"label": "x"}, {"label": "c"}),
    )
    watch.read()
    assert (watch.rows, watch.same, watch.difference) == (3, 2, None)
    watch = ShadowWatch()
    watch.sample(
        answer({"value": 1.0}, {"value": 2.0}), answer({"value": 1.0 + 1e-9}, {"value": 5.0})
    )
    watch.read()
    assert (watch.rows, watch.same) == (2, 1) and watch.difference == pytest.approx(1.5)


def test_several_values_of_a_row_are_compared_by_their_names() -> None:
    watch = ShadowWatch()
    given = [{"value": {"q0.1": 1.0, "q0.9": 4.0}}, {"value": {"q0.1": 0.0, "q0.9": 4.0}}]
    shadow = [{"value": {"q0.1": 1.0 + 1e-9, "q0.9": 4.0}}, {"value": {"q0.1": 1.0, "q0.9": 4.0}}]
    watch.sample(answer(*given), answer(*shadow))
    watch.read()
    assert (watch.rows, watch.same) == (2, 1)
    assert watch.difference == pytest.approx(0.25)
    watch.sample(answer({"value": {"a": 1.0}}), answer({"value": {"b": 1.0}}))
    watch.read()
    assert (watch.rows, watch.same) == (3, 1)


@pytest.mark.parametrize("odd", [b"", b"[]", b'{"predictions": 3}', b"\xff", answer({}), answer(1)])
def test_what_is_no_answer_to_rows_is_left_out(odd: bytes) -> None:
    watch = ShadowWatch()
    for pair in ((odd, answer({"label": "a"})), (answer({"label": "a"}), odd), (odd, odd)):
        watch.sample(*pair)
    watch.read()
    assert watch.rows == 0


@pytest.mark.parametrize(
    ("limits", "alarm"),
    [
        (DriftLimits(), False),
        (DriftLimits(psi=0.05), True),
        (DriftLimits(psi=0.05, least_rows=201), False),
        (DriftLimits(ks=0.05), True),
        (DriftLimits(ks=0.9), False),
        (DriftLimits(unseen=0.0), False),  # of numbers nothing is unseen
    ],
)
def test_limits_say_when_numbers_drifted(limits: DriftLimits, alarm: bool) -> None:
    draw = np.random.default_rng(5)
    first, second = draw.normal(size=1000), draw.normal(0.2, size=200)
    found = drift_figures.of_numbers("x", "input", first, second, limits)
    assert 0.05 < found.psi < 0.25 and found.ks is not None and 0.05 < found.ks < 0.9
    assert found.drifted == alarm


@pytest.mark.parametrize(("limit", "alarm"), [(None, False), (0.02, True), (0.04, False)])
def test_limits_say_how_many_unseen_values_are_too_many(limit: float | None, alarm: bool) -> None:
    seen = ["a", "b"] * 97 + ["new"] * 6
    levels = frozenset({"rare"})  # met in training, but not among the rows that the bundle keeps
    limits = DriftLimits(psi=1000, unseen=limit)
    found = drift_figures.of_categories("c", "input", ["a", "b"] * 50, seen, limits, levels)
    assert found.unseen == pytest.approx(0.03) and found.drifted == alarm
    known = drift_figures.of_categories("c", "input", ["a"], ["rare"] * 4, limits, levels)
    assert known.unseen == 0.0
