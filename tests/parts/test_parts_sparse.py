"""Rows without their zeros hold the same numbers in less memory, and are used only where they
do.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import issparse

from sixfold.parts import sparse
from sixfold.parts.sparse import SparseStack, bounds, dense, held_bytes

NUMBERS = st.sampled_from([0.0, 0.0, 0.0, 1.0, -2.5, np.inf, -np.inf, np.nan])


def stacked(x: np.ndarray, allowed: bool = True, precision: str = "float64") -> sparse.Features:
    stack = SparseStack(*x.shape, precision, allowed)
    for start in range(0, len(x), 7):
        stack.add(slice(start, start + 7), x[start : start + 7])
    return stack.result()


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=NUMBERS)
)
def test_both_forms_hold_the_same_numbers(x: np.ndarray) -> None:
    before, sparse.DENSE_BYTES = sparse.DENSE_BYTES, 0
    try:
        found, plain = stacked(x), stacked(x, allowed=False)
    finally:
        sparse.DENSE_BYTES = before
    np.testing.assert_array_equal(dense(found), x)
    np.testing.assert_array_equal(dense(plain), x)
    np.testing.assert_array_equal(bounds(found), bounds(plain))
    assert not issparse(plain)


def test_one_hot_rows_take_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "DENSE_BYTES", 1000)
    x = np.eye(40)[np.random.default_rng(0).integers(0, 40, 300)]
    found = stacked(x, precision="float32")
    assert issparse(found)
    assert found.dtype == np.float32
    assert held_bytes(found) < held_bytes(stacked(x, allowed=False)) / 10


@pytest.mark.parametrize("x", [np.ones((300, 40)), np.eye(10)])
def test_full_or_small_features_stay_dense(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "DENSE_BYTES", 1000)
    assert not issparse(stacked(x))
