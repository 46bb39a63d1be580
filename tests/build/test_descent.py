"""Rows to their leaves: the pairs that a change can move, against all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from sixfold.build import _trees
from sixfold.build._descent import Descent
from sixfold.build._trees import Trees, from_sklearn

ROWS, FEATURES = 60, 6


def grown(seed: int, trees: int) -> tuple[Trees, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    models = [
        DecisionTreeRegressor(
            max_depth=1 + number % 6, max_features=2, random_state=seed + number
        ).fit(x, rng.normal(size=ROWS))
        for number in range(trees)
    ]
    return from_sklearn(models, [model.tree_.value[:, :, 0] for model in models], FEATURES), x


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.sets(st.integers(0, FEATURES - 1)))
def test_changed_columns_move_the_pairs_that_ask_for_them(
    seed: int, count: int, columns: set[int]
) -> None:
    trees, x = grown(seed, count)
    descent, other, rng = Descent(trees), x.copy(), np.random.default_rng(seed)
    for column in columns:
        other[:, column] = rng.permutation(x[:, column])
    before, after = descent.leaves(x), descent.leaves(other)
    asking = descent.asking(np.isin(np.arange(FEATURES), list(columns)))
    np.testing.assert_array_equal(descent.moved(other, before, asking), after)
    assert not (before != after)[~asking[before]].any()
    np.testing.assert_array_equal(trees.near(x)(other), trees.total(other))
    np.testing.assert_array_equal(trees.near(x)(x), trees.total(x))


def test_a_way_asks_what_its_branches_ask() -> None:
    trees, x = grown(0, 5)
    descent = Descent(trees)
    for feature in range(FEATURES):
        asking = descent.asking(np.arange(FEATURES) == feature)
        for row in x:
            for tree, leaf in enumerate(descent.leaves(row[None])[0]):
                node, asked = int(trees.first[tree]), False
                while trees.left[node] != node:
                    asked |= bool(trees.feature[node] == feature)
                    value, left = row[trees.feature[node]], bool(trees.missing_left[node])
                    goes_left = left if np.isnan(value) else value <= trees.threshold[node]
                    node = int(trees.left[node] if goes_left else trees.right[node])
                assert (node, asked) == (leaf, asking[leaf])


def test_many_blocks_and_too_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    trees, x = grown(1, 7)
    other = np.where(np.arange(FEATURES) == 3, x[::-1], x)
    whole = trees.total(other)
    monkeypatch.setattr(_trees, "BLOCK", 7 * 11)
    np.testing.assert_array_equal(trees.near(x)(other), whole)
    monkeypatch.setattr(_trees, "KNOWN", 10)
    assert trees.near(x) == trees.total
