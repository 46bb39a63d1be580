"""Whole units: whatever the layers and the units are, none is torn, and each layer is as even as
the units allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.parts.units import choose, cut_off, deal, merged, with_every_class

QUICK = settings(max_examples=60, deadline=None)
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=4, max_size=80)
Array = np.ndarray[Any, Any]


def apart(rows: list[tuple[int, int]]) -> tuple[Array, Array]:
    layers, units = np.array(rows, dtype=np.int64).T
    return layers, units


def whole(units: Array, side: Array) -> bool:
    return all(len(np.unique(side[units == unit])) == 1 for unit in np.unique(units))


@QUICK
@given(rows=ROWS, folds=st.integers(2, 6), seed=st.integers(0, 9))
def test_deal(rows: list[tuple[int, int]], folds: int, seed: int) -> None:
    layers, units = apart(rows)
    found = deal(layers, units, folds, seed)
    assert whole(units, found)
    np.testing.assert_array_equal(found, deal(layers, units, folds, seed))
    alone = deal(layers, np.arange(len(layers)), folds, seed)
    for part in (alone, *(alone[layers == layer] for layer in np.unique(layers))):
        counts = np.bincount(part, minlength=folds)
        assert counts.max() - counts.min() <= 1


@QUICK
@given(
    layers=st.lists(st.integers(0, 2), min_size=30, max_size=60),
    folds=st.integers(2, 5),
    copies=st.integers(2, 4),
)
def test_rows_that_come_several_times_are_dealt_as_evenly_as_single_ones(
    layers: list[int], folds: int, copies: int
) -> None:
    codes = np.repeat(np.array(layers, dtype=np.int64), copies)
    found = deal(codes, np.repeat(np.arange(len(layers)), copies), folds, 1)
    for layer in np.unique(codes):
        counts = np.bincount(found[codes == layer], minlength=folds)
        assert counts.max() - counts.min() <= copies


@QUICK
@given(rows=ROWS, share=st.floats(0.05, 0.9), seed=st.integers(0, 9))
def test_what_is_cut_off(rows: list[tuple[int, int]], share: float, seed: int) -> None:
    layers, units = apart(rows)
    for function in (choose, cut_off):
        inside = np.zeros(len(rows), dtype=np.bool_)
        inside[function(layers, units, round(share * len(rows)), seed)] = True
        assert whole(units, inside)
        assert not inside.all()
        kept = with_every_class(layers, inside, units)
        assert whole(units, kept)
        assert set(layers[~kept]) == set(layers)
        assert not (kept & ~inside).any()


def test_a_share_is_met_where_units_are_small() -> None:
    layers = np.repeat([0, 1], [200, 100])
    rows = choose(layers, np.arange(300) // 2, 60, 3)
    assert np.bincount(layers[rows]).tolist() == [40, 20]


def test_few_large_units() -> None:
    """The smallest is spared where it is at most a third; else none."""
    none = np.zeros(30, dtype=np.int64)
    assert len(cut_off(none, np.repeat([0, 1, 2], [12, 8, 10]), 3, 0)) == 8
    assert len(cut_off(none, np.repeat([0, 1], [15, 15]), 3, 0)) == 0


@QUICK
@given(rows=ROWS)
def test_merged_is_the_closure_of_both(rows: list[tuple[int, int]]) -> None:
    first, second = apart(rows)
    found = merged(first, second)
    for units in (first, second):
        assert whole(units, found)
    for label in np.unique(found):  # no finer division keeps both whole, so each part is connected
        inside = found == label
        reached = np.flatnonzero(inside)[:1]
        while True:
            more = np.flatnonzero(np.isin(first, first[reached]) | np.isin(second, second[reached]))
            if len(more) == len(reached):
                break
            reached = more
        assert len(reached) == inside.sum()
