"""Partial dependence and single curves against answers that are asked one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from sixfold.bundle.explain.dependence import LINES, ROWS, answered, dependence
from sixfold.bundle.explain.sampling import Player, Players

GENERATOR = np.random.default_rng(0)
STORED = {
    "numbers": GENERATOR.normal(size=(150, 2)),
    "categories": GENERATOR.choice(["a", "b", ""], size=(150, 1)).astype(object),
}
PLACES = [Player("numbers", 0), Player("numbers", 1), Player("categories", 0)]


def answer(feeds: Any) -> Any:
    x, code = feeds["numbers"], (feeds["categories"][:, 0] == "a").astype(float)
    return np.stack([np.nan_to_num(x[:, 0]) * x[:, 1] + code, x[:, 1] ** 2], axis=1)


def test_curves_are_the_answers_with_one_value_in_all_rows() -> None:
    for column, place in enumerate(PLACES):
        asked = []

        def counting(feeds: Any, asked: list[int] = asked) -> Any:
            asked.append(len(feeds["numbers"]))
            return answer(feeds)

        found = dependence(Players(PLACES, STORED, counting), column)
        assert sum(asked) <= answered()
        for at, value in enumerate(found.values):
            feeds = {name: array[:ROWS].copy() for name, array in STORED.items()}
            feeds[place.group][:, place.place] = value
            np.testing.assert_allclose(found.mean[at], answer(feeds).mean(axis=0))
            np.testing.assert_allclose(found.lines[:, at], answer(feeds)[:LINES])


def test_values_are_stored_ones() -> None:
    numbers = dependence(Players(PLACES, STORED, answer), 0).values
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(STORED["numbers"][:, 0].tolist())
    assert {numbers[0], numbers[-1]} == {
        STORED["numbers"][:, 0].min(),
        STORED["numbers"][:, 0].max(),
    }
    assert set(dependence(Players(PLACES, STORED, answer), 2).values) == {"a", "b", ""}


def test_missing_numbers_are_no_value() -> None:
    holes = {name: array.copy() for name, array in STORED.items()}
    holes["numbers"][::3, 0] = np.nan
    found = dependence(Players(PLACES, holes, answer), 0)
    assert not np.isnan(found.values).any()
