"""Every selection: what any must hold, what each promises; races by the hundred are in test_selection_simulated.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sixfold.evaluate.selecting import Selected, Selection, order, select
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION

NAMES = SELECTION.names()


def make(name: str, **options: Any) -> Selection:
    made: Selection = SELECTION.make({"name": name, **options})
    return made


def replay(selection: Selection, matrix: FloatArray, seed: int = 0, bounds: Any = None) -> Selected:
    """Select as if `matrix` [candidates, folds] were scored now; every score is asked for once at most."""
    asked = np.zeros(matrix.shape, dtype=np.int64)

    def score(positions: Sequence[int], folds: Sequence[int]) -> FloatArray:
        asked[np.ix_(positions, folds)] += 1
        return matrix[np.ix_(positions, folds)]

    selected = select(selection, *matrix.shape, score, seed, bounds)
    assert asked.max(initial=0) <= 1
    assert asked.sum() == selected.fits
    return selected


def scores(candidates: int, folds: int, seed: int, places: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    values = (
        rng.normal(0.8, 0.05, (candidates, 1)) + rng.normal(0, 0.02, folds) + rng.normal(0, 0.02, (candidates, folds))
    )
    return np.round(values, places)  # few places: ties


def test_all_selections_are_covered() -> None:
    assert NAMES == ["exhaustive", "halving", "racing"]
    for name in NAMES:
        assert isinstance(make(name), Selection)


@pytest.mark.parametrize("name", NAMES)
@given(
    candidates=st.integers(1, 30),
    folds=st.integers(1, 12),
    seed=st.integers(0, 2**20),
    places=st.sampled_from([1, 2, 9]),
)
def test_what_any_selection_holds(name: str, candidates: int, folds: int, seed: int, places: int) -> None:
    matrix = scores(candidates, folds, seed, places)
    selection = make(name)
    assert sum(selection.blocks(folds)) == folds
    assert min(selection.blocks(folds)) >= 1
    selected = replay(selection, matrix, seed)
    left = [drop.position for drop in selected.drops]
    assert len(set(left)) == len(left)
    assert sorted([*left, *selected.finished]) == list(range(candidates))
    assert selected.finished
    known = np.isfinite(selected.scores)
    np.testing.assert_array_equal(selected.scores[known], matrix[known])
    assert (
        known.sum(axis=1) == [{d.position: d.folds for d in selected.drops}.get(c, folds) for c in range(candidates)]
    ).all()
    assert all(str(drop.folds) in drop.reason for drop in selected.drops)
    again = replay(selection, matrix, seed)
    assert (again.drops, again.fits) == (selected.drops, selected.fits)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_fold_cannot_score_is_dropped_alone(name: str) -> None:
    matrix = scores(6, 10, 0, 9)
    matrix[2, order(10, 0)[0]] = np.nan
    matrix[4] = np.nan
    selected = replay(make(name), matrix)
    reasons = {drop.position: drop.reason for drop in selected.drops}
    assert {reasons[2], reasons[4]} == {"a fold it cannot be scored on"}
    assert selected.finished


@pytest.mark.parametrize("name", NAMES)
def test_nobody_can_be_scored(name: str) -> None:
    selected = replay(make(name), np.full((3, 5), np.nan))
    assert selected.finished == []
    assert len(selected.drops) == 3


def test_the_order_of_folds_is_random_and_repeats() -> None:
    assert order(10, 1) == order(10, 1) != order(10, 2)
    assert sorted(order(10, 1)) == list(range(10))


def test_exhaustive_drops_nobody() -> None:
    selected = replay(make("exhaustive"), scores(5, 4, 0, 2))
    assert (selected.fits, selected.drops) == (20, ())


# ---- halving -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "folds", "blocks"),
    [
        ({}, 10, (1, 1, 2, 4, 2)),
        ({"factor": 3}, 10, (1, 2, 6, 1)),
        ({"factor": 3, "first_folds": 2}, 5, (2, 3)),
        ({"first_folds": 7}, 5, (5,)),
        ({}, 1, (1,)),
    ],
)
def test_rungs(options: dict[str, Any], folds: int, blocks: tuple[int, ...]) -> None:
    assert make("halving", **options).blocks(folds) == blocks


def test_halving_costs_what_the_rungs_say() -> None:
    """60 on 1 fold, 30 on the next, 15 on 2, 8 on 4, 4 on the last 2."""
    matrix = np.random.default_rng(0).normal(size=(60, 10))
    assert replay(make("halving"), matrix).fits == 60 + 30 + 15 * 2 + 8 * 4 + 4 * 2
    assert replay(make("halving", factor=3), matrix).fits == 60 + 20 * 2 + 7 * 6 + 3 * 1


def test_halving_keeps_the_best_and_who_equals_the_last_of_them() -> None:
    column = np.array([[0.9], [0.5], [0.7], [0.7], [0.1], [0.7]])
    dropped = make("halving").dropped(column, 4)
    assert dropped == [
        (1, "rank 5 of 6 on 1 of 4 folds, 0.2 behind the last of the best 3"),
        (4, "rank 6 of 6 on 1 of 4 folds, 0.6 behind the last of the best 3"),
    ]


def test_halving_compares_two_on_all_folds() -> None:
    assert len(replay(make("halving"), scores(16, 16, 1, 9)).finished) == 2
    assert len(replay(make("halving", factor=4), scores(3, 16, 1, 9)).finished) == 3


# ---- racing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "folds", "blocks"),
    [({}, 6, (3, 1, 1, 1)), ({"next_folds": 4}, 10, (3, 4, 3)), ({}, 3, (3,)), ({}, 2, (2,)), ({"first_folds": 2}, 4, (2, 1, 1))],
)  # fmt: skip
def test_looks(options: dict[str, Any], folds: int, blocks: tuple[int, ...]) -> None:
    assert make("racing", **options).blocks(folds) == blocks


def chance(behind: FloatArray, folds: int) -> float:
    """The formula, by hand."""
    done = len(behind)
    return float(stats.t.sf(behind.mean() / (behind.std(ddof=1) * np.sqrt(1 / done - 1 / folds)), done - 1))


@pytest.mark.parametrize("shift", [0.05, 0.08, 0.12, 0.2, 0.4])
def test_two_candidates_are_judged_by_the_formula(shift: float) -> None:
    behind = np.array([0.01, 0.03, 0.02, 0.0]) - 0.015 + shift
    matrix = np.stack([0.9 - behind, np.full(4, 0.9)])
    expected = chance(behind, 5)
    dropped = make("racing").dropped(matrix, 5)
    assert bool(dropped) is (expected <= 0.05 / 2)
    if dropped:
        assert dropped == [(0, f"{shift:.3g} behind the leader on 4 of 5 folds, chance to end ahead {expected:.1g}")]


def test_the_chance_is_that_of_ending_ahead() -> None:
    """Normal folds with a part that all folds share: the pivot is Student's t, whatever that part is."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(40_000, 10)) + rng.normal(0, 3, (40_000, 1))
    pivot = (d[:, :4].mean(axis=1) - d.mean(axis=1)) / (d[:, :4].std(axis=1, ddof=1) * np.sqrt(1 / 4 - 1 / 10))
    assert stats.kstest(pivot, stats.t(3).cdf).pvalue > 0.01


def test_equal_differences_drop_nobody() -> None:
    matrix = np.stack([np.full(4, 0.5), np.full(4, 0.9)])
    assert make("racing").dropped(matrix, 8) == []
    assert make("racing").dropped(matrix, 8, (0.0, 1.0)) == []


def test_who_cannot_catch_up_is_dropped_for_certain() -> None:
    matrix = np.stack([np.full(8, 0.5), np.full(8, 0.9), np.full(8, 0.8)])  # 3.2 and 0.8 behind, 2 can be made up
    assert make("racing").dropped(matrix, 10, (0.0, 1.0)) == [
        (0, "0.4 behind the leader on 8 of 10 folds, more than can be made up")
    ]
    assert make("racing").dropped(matrix - 1, 10, (-1.0, 0.0)) != []


@given(seed=st.integers(0, 2**20), folds=st.integers(2, 12))
def test_certain_is_certain(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((5, folds)) < rng.random((5, 1))).astype(np.float64)
    selected = replay(make("racing", first_folds=2, error_rate=1e-12), matrix, seed, (0.0, 1.0))
    means = matrix.mean(axis=1)
    for drop in selected.drops:
        if "made up" in drop.reason:
            assert means[drop.position] < means.max()


def test_a_smaller_error_rate_drops_no_more() -> None:
    matrix = scores(20, 10, 3, 9)
    fits = [replay(make("racing", error_rate=rate), matrix).fits for rate in (0.5, 0.05, 0.001)]
    assert fits == sorted(fits)
    assert fits[0] < fits[2]


def test_one_fold_or_the_last_drop_nobody() -> None:
    matrix = scores(10, 6, 3, 9)
    racing = make("racing", error_rate=0.5)
    assert racing.dropped(matrix[:, :1], 6) == []
    assert racing.dropped(matrix, 6) == []
    assert racing.dropped(matrix[:1, :3], 6) == []
