"""Sampled Shapley values against the sum over all subsets, within their own stated error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from games import shapley

from sixfold.bundle.explain.sampling import Player, Players, SamplingEffort, sampled

COLUMNS = 5
BACKGROUND = {
    "numbers": np.random.default_rng(1).normal(size=(40, 4)),
    "categories": np.array([["a"], ["b"], ["c"], ["a"]] * 10, dtype=object),
}
ROW = {"numbers": np.array([[1.0, -2.0, 0.5, 3.0]]), "categories": np.array([["c"]], dtype=object)}
PLACES = [*(Player("numbers", place) for place in range(4)), Player("categories", 0)]


def answer(feeds: Any) -> Any:
    x, code = feeds["numbers"], (feeds["categories"][:, 0] == "c").astype(float)
    first = x[:, 0] * x[:, 1] + code * x[:, 2]
    return np.stack([first, np.tanh(x[:, 2] - code)], axis=1)  # the fourth number does nothing


def exact() -> Any:
    def value(known: frozenset[int]) -> Any:
        mixed = {name: array.copy() for name, array in BACKGROUND.items()}
        for player in known:
            place = PLACES[player]
            mixed[place.group][:, place.place] = ROW[place.group][0, place.place]
        return answer(mixed).mean(axis=0)

    return shapley(COLUMNS, value)


def test_they_are_the_exact_ones_within_their_error() -> None:
    found = sampled(Players(PLACES, BACKGROUND, answer), ROW, SamplingEffort(rows=40_000))
    apart = np.abs(found.values - exact())
    assert (apart <= 4 * found.error + 1e-12).all()
    assert (found.error.max(axis=0) < 0.1 * np.abs(found.values).max(axis=0)).all()
    np.testing.assert_array_equal(found.values[3], 0.0)
    np.testing.assert_array_equal(found.error[3], 0.0)


@pytest.mark.parametrize("rows", [1, 100, 5_000])
def test_whatever_the_effort_they_add_up_and_ask_no_more(rows: int) -> None:
    asked = []

    def counting(feeds: Any) -> Any:
        asked.append(len(feeds["numbers"]))
        return answer(feeds)

    players = Players(PLACES, BACKGROUND, counting)
    found = sampled(players, ROW, SamplingEffort(rows=rows))
    np.testing.assert_allclose(found.base + found.values.sum(axis=0), answer(ROW)[0], atol=1e-12)
    least = 1 + 2 * 2 * (COLUMNS - 1)
    assert found.asked <= max(rows, least)
    assert sum(asked) == found.asked + 40  # and the stored rows, once


def test_time_that_is_over_ends_after_the_first_round() -> None:
    found = sampled(Players(PLACES, BACKGROUND, answer), ROW, SamplingEffort(end=0.0))
    assert found.asked == 1 + 2 * 2 * (COLUMNS - 1)


def test_a_single_column_is_all_the_difference() -> None:
    one = {"numbers": BACKGROUND["numbers"][:, :1]}
    row = {"numbers": ROW["numbers"][:, :1]}
    found = sampled(
        Players([Player("numbers", 0)], one, lambda feeds: feeds["numbers"]), row, SamplingEffort()
    )
    np.testing.assert_allclose(found.values[0], 1.0 - one["numbers"].mean(), atol=1e-12)


def test_equal_seeds_give_equal_values() -> None:
    players = Players(PLACES, BACKGROUND, answer)
    one, other = (sampled(players, ROW, SamplingEffort(rows=500, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.values, other.values)
