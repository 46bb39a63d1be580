"""The H-statistic of pairs, of functions whose interaction is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sixfold.bundle.explain import interaction
from sixfold.bundle.explain.report_limits import MOST_S, explaining_s
from sixfold.bundle.explain.sampling import Floats, Player, Players

X = np.random.default_rng(0).normal(size=(80, 3))


def players(answer: Callable[[Floats], Floats]) -> Players:
    columns = [Player("numbers", at) for at in range(3)]
    return Players(columns, {"numbers": X.copy()}, lambda feeds: answer(feeds["numbers"])[:, None])


def test_a_sum_has_none_and_a_product_of_centered_values_is_nothing_else() -> None:
    for pair in interaction.pairs(players(lambda x: x[:, 0] ** 3 + np.sin(x[:, 1])), [0, 1, 2]):
        assert pair.strength == pytest.approx(0.0, abs=1e-9)
    centered = X[: interaction.ROWS].mean(axis=0)
    product = players(lambda x: (x[:, 0] - centered[0]) * (x[:, 1] - centered[1]))
    first = interaction.pairs(product, [0, 1, 2])[0]
    assert {first.one, first.other} == {0, 1}
    assert first.strength == pytest.approx(1.0, abs=1e-9)
    assert first.size > 0.1


def test_the_formula_as_it_is_written() -> None:
    def answer(x: Floats) -> Floats:
        return np.asarray(np.tanh(x[:, 0] * x[:, 2]) + x[:, 1] * x[:, 2])

    rows = X[: interaction.ROWS]

    def dependence(*columns: int) -> Floats:
        found = []
        for row in rows:
            some = rows.copy()
            some[:, columns] = row[list(columns)]
            found.append(answer(some).mean())
        return np.array(found) - np.mean(found)

    both = dependence(0, 2)
    together = both - dependence(0) - dependence(2)
    expected = np.sqrt((together**2).sum() / (both**2).sum())
    found = {
        (pair.one, pair.other): pair.strength
        for pair in interaction.pairs(players(answer), [0, 2, 1])
    }
    assert found[0, 2] == pytest.approx(expected, abs=1e-9)


def test_what_the_report_asks_is_counted_and_bounded() -> None:
    asked = 0

    def count(x: Floats) -> Floats:
        nonlocal asked
        asked += len(x)
        return np.asarray(x[:, 0])

    interaction.pairs(players(count), [0, 1, 2])
    assert asked == interaction.answered(3)
    assert 0 < explaining_s(5, False, 1e-6) < explaining_s(5, True, 1e-6) < 1.0
    assert explaining_s(5, False, 1e-5) > 5 * explaining_s(5, False, 1e-6)
    assert explaining_s(5, True, 1e3) == 2 * MOST_S
    assert explaining_s(0, True, 1e3) == MOST_S
