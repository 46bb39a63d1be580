"""Every selection: what any must hold, what each promises; races by the hundred are in
test_selection_simulated.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_limits

from evaluating import answered
from sixfold.evaluate.scoring import ScoreBounds
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION
from sixfold.select import endings
from sixfold.select.selecting import Scored, Seen, Selected, Selection, order, select

NAMES = SELECTION.names()


def make(name: str, **options: Any) -> Selection:
    made: Selection = SELECTION.make({"name": name, **options})
    return made


def replay(selection: Selection, matrix: FloatArray, seed: int = 0, bounds: Any = None) -> Selected:
    """Select as if `matrix` [candidates, folds] were scored now; every score is asked for once at
    most.
    """
    asked = np.zeros(matrix.shape, dtype=np.int64)

    def score(positions: Sequence[int], folds: Sequence[int]) -> Scored:
        asked[np.ix_(positions, folds)] += 1
        return Scored(matrix[np.ix_(positions, folds)])

    selected = answered(
        select(selection, *matrix.shape, seed, None if bounds is None else ScoreBounds(*bounds)),
        lambda block: score(block.positions, block.numbers),
    )
    assert asked.max(initial=0) <= 1
    assert asked.sum() == selected.fits
    return selected


def scores(candidates: int, folds: int, seed: int, places: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    values = (
        rng.normal(0.8, 0.05, (candidates, 1))
        + rng.normal(0, 0.02, folds)
        + rng.normal(0, 0.02, (candidates, folds))
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
def test_what_any_selection_holds(
    name: str, candidates: int, folds: int, seed: int, places: int
) -> None:
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
        known.sum(axis=1)
        == [{d.position: d.folds for d in selected.drops}.get(c, folds) for c in range(candidates)]
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
    dropped = make("halving").dropped(Seen(column, 4))
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
    [
        ({}, 6, (2, 1, 1, 1, 1)),
        ({"first_folds": 3, "next_folds": 4}, 10, (3, 4, 3)),
        ({"first_folds": 3}, 2, (2,)),
    ],
)
def test_looks(options: dict[str, Any], folds: int, blocks: tuple[int, ...]) -> None:
    assert make("racing", **options).blocks(folds) == blocks


def in_pieces(matrix: FloatArray, seed: int, scale: float) -> FloatArray:
    """Fold scores [n, folds] as means of 16 pieces each."""
    own = np.random.default_rng(seed).normal(0, scale, (*matrix.shape, 16))
    return np.asarray(matrix[:, :, None] + own - own.mean(axis=2, keepdims=True))


def chance(behind: FloatArray, own: FloatArray, folds: int) -> float:
    """The formula for two candidates, by hand: D ~ d̄ + √(1/t - 1/K)·√(Var d)·T(ν), and a tie of
    half a standard error.
    """
    done, freedom = len(behind), len(behind) - 1 + endings.PRIOR
    residual = own - own.mean(axis=1, keepdims=True)
    residual -= residual.mean(axis=0)
    each = (residual[0] ** 2).sum() / (done - 1)  # of two, both have the same, and of opposite sign
    variance = 4 * (done - 1) * each + 2 * endings.PRIOR * each  # of the difference, times ν
    tie = 0.5 * np.sqrt(2 * each / folds)
    return float(
        stats.t.sf(
            (behind.mean() + tie) / np.sqrt(variance / freedom * (1 / done - 1 / folds)), freedom
        )
    )


@pytest.mark.parametrize("shift", [0.001, 0.01, 0.02, 0.05])
def test_two_candidates_are_drawn_by_the_formula(shift: float) -> None:
    behind = np.array([0.01, 0.03, 0.02, 0.0]) - 0.015 + shift
    matrix = np.stack([0.9 - behind, np.full(4, 0.9)])
    expected = chance(behind, matrix, 8)
    found = endings.draw(matrix, 8, None)
    assert found is not None
    drawn = (found.means[0] > found.means[1] + 0.5 * found.error).mean()
    assert abs(drawn - expected) < 4 * np.sqrt(expected / endings.DRAWS) + 1 / endings.DRAWS
    dropped = make("racing").dropped(Seen(matrix, 8))
    assert bool(dropped) is (
        expected < 0.05 * 4 / (5 + 4 + 3 + 2 + 1)
    )  # looks after 3, 4, … 7 of 8 folds
    if dropped:
        assert dropped[0][1].startswith(
            f"{shift:.3g} behind the leader on 4 of 8 folds, chance to end ahead by more than a tie"
        )


def test_means_over_all_folds_spread_as_drawn() -> None:
    """What is drawn from t folds covers what all K say: the rank of the truth among the draws is
    uniform, for rows that make candidates alike, with folds that vary three times as rows do, and a
    part that all folds share.
    """
    rng, ranks = np.random.default_rng(0), []
    for _ in range(150):
        base = rng.normal(size=(1, 10, 16))
        pieces = (
            base
            + 0.5 * rng.normal(size=(12, 10, 16))
            + rng.normal(0, 0.18, (12, 10, 1))
            + rng.normal(0, 3, (12, 1, 1))
        )
        whole = pieces.mean(axis=2)
        found = endings.draw(whole[:, :4], 10, pieces[:, :4])
        assert found is not None
        ranks.append((found.means[0] - found.means[1] < whole[0].mean() - whole[1].mean()).mean())
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


def test_rows_tell_what_two_folds_cannot() -> None:
    """Equal fold scores, but rows that differ: with pieces that vary nobody is dropped, with quiet
    ones all but the best.
    """
    matrix = 0.9 - np.arange(6)[:, None] * 0.01 + np.array([0.0, 0.001])
    assert make("racing").dropped(Seen(matrix, 10)) == []  # of two folds alone: no look
    assert make("racing").dropped(Seen(matrix, 10, None, in_pieces(matrix, 0, 0.5))) == []
    assert [
        at for at, _ in make("racing").dropped(Seen(matrix, 10, None, in_pieces(matrix, 0, 0.002)))
    ] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_who_is_alike_is_judged_as_one() -> None:
    """Fifty twins of a candidate cost as much error rate as it does alone."""
    matrix = np.array([[0.9, 0.9, 0.91, 0.9], [0.86, 0.9, 0.88, 0.87]])
    pieces = in_pieces(matrix, 3, 0.05)
    many, many_pieces = np.repeat(matrix, [1, 50], axis=0), np.repeat(pieces, [1, 50], axis=0)
    alone = endings.draw(matrix, 10, pieces)
    fold_models = endings.draw(many, 10, many_pieces)
    assert alone is not None
    assert fold_models is not None
    single = (alone.means[1] > alone.means[0]).mean()
    assert (
        fold_models.means[1:].max(axis=0) > fold_models.means[0]
    ).mean() < 2 * single  # 4 times, if each had its own luck


def test_many_candidates_get_fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "MOST_VALUES", 2000)
    found = endings.draw(scores(20, 4, 5, 9), 10, None)
    assert found is not None
    assert found.means.shape == (20, 100)
    assert make("racing").dropped(Seen(scores(20, 4, 5, 9), 10)) != []


def test_equal_numbers_whatever_the_threads() -> None:
    matrix = scores(40, 6, 5, 9)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            drawn = endings.draw(matrix, 10, in_pieces(matrix, 1, 0.1))
            assert drawn is not None
            found.append(drawn.means)
    np.testing.assert_array_equal(found[0], found[1])


def test_equal_differences_drop_nobody() -> None:
    matrix = np.stack([np.full(4, 0.5), np.full(4, 0.9)])
    assert make("racing").dropped(Seen(matrix, 8)) == []
    assert make("racing").dropped(Seen(matrix, 8, ScoreBounds(0.0, 1.0))) == []


def test_who_cannot_catch_up_is_dropped_for_certain() -> None:
    matrix = np.stack(
        [np.full(8, 0.5), np.full(8, 0.9), np.full(8, 0.8)]
    )  # 3.2 and 0.8 behind, 2 can be made up
    assert make("racing").dropped(Seen(matrix, 10, ScoreBounds(0.0, 1.0))) == [
        (0, "0.4 behind the leader on 8 of 10 folds, more than can be made up")
    ]
    assert make("racing").dropped(Seen(matrix - 1, 10, ScoreBounds(-1.0, 0.0))) != []


@given(seed=st.integers(0, 2**20), folds=st.integers(2, 12))
def test_certain_is_certain(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((5, folds)) < rng.random((5, 1))).astype(np.float64)
    selected = replay(make("racing", first_folds=2, error_rate=1e-12), matrix, seed, (0.0, 1.0))
    means = matrix.mean(axis=1)
    for drop in selected.drops:
        assert "made up" in drop.reason  # what is drawn never says that there is no chance
        assert means[drop.position] < means.max()


def test_a_smaller_error_rate_drops_no_more() -> None:
    matrix = np.random.default_rng(3).normal(0.8, 0.02, (20, 10))
    fits = [replay(make("racing", error_rate=rate), matrix).fits for rate in (0.5, 0.05, 0.001)]
    assert fits == sorted(fits)
    assert fits[0] < fits[2]


def test_one_fold_or_the_last_drop_nobody() -> None:
    matrix = scores(10, 6, 3, 9)
    racing = make("racing", error_rate=0.5)
    assert racing.dropped(Seen(matrix[:, :1], 6)) == []
    assert racing.dropped(Seen(matrix, 6)) == []
    assert racing.dropped(Seen(matrix[:1, :3], 6)) == []
