"""Columns far from 0 against their variation: centered before the chain and the cast, the others
left as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from preparing import NAN, Array, ask, category, number, target

from sixfold.parts.fit import Needs
from sixfold.parts.table import Column, Table
from sixfold.prepare.centering import Centering
from sixfold.prepare.preparer import Preparer, fit
from sixfold.recipe.schema import Prepare

ROWS = 160
TREES = Needs(number=(), category=("ordinal",), impute_number=None, precision="float32")
RNG = np.random.default_rng(6)
MINUTES = RNG.integers(0, 1800, ROWS).astype(np.float64)
PLAIN = RNG.normal(size=ROWS)


def table(seconds: Array = MINUTES + 1.7e9, **more: Column) -> Table:
    return Table({"plain": number(PLAIN), "seconds": number(seconds), **more}, ROWS)


def fitted(data: Table, needs: Needs = TREES, **prepare: Any) -> tuple[Preparer, Array]:
    preparer, x, _ = fit(data, target(ROWS), Prepare.model_validate(prepare), needs, seed=1)
    assert isinstance(x, np.ndarray)
    return preparer, x


def shifts(preparer: Preparer) -> list[Array]:
    return [
        step.shift
        for block in preparer.blocks
        for step in block.steps
        if isinstance(step, Centering)
    ]


def test_float32_tells_seconds_apart() -> None:
    preparer, x = fitted(table())
    assert x.dtype == np.float32
    (shift,) = shifts(preparer)
    np.testing.assert_array_equal(x[:, 1], MINUTES + 1.7e9 - shift[1])
    assert x[:, 0].tobytes() == PLAIN.astype(np.float32).tobytes()
    np.testing.assert_array_equal(preparer.transform(table()), x)
    np.testing.assert_array_equal(ask(preparer, table()), x)


def test_other_tables_are_not_touched() -> None:
    preparer, x = fitted(table(MINUTES))
    assert shifts(preparer) == []
    np.testing.assert_array_equal(x[:, 1], MINUTES)


def test_beside_a_centered_column_the_others_keep_every_bit() -> None:
    """Seeds too: what a method draws does not depend on whether columns are centered."""
    features = {"number": ["none", {"name": "quantile", "quantiles": 20}], "category": "target"}
    town = {"town": category([["Bern", "Graz", ""][i] for i in RNG.integers(0, 3, ROWS)])}
    far, moved = fitted(table(**town), Needs(), features=features)
    (shift,) = shifts(far)
    near, x = fitted(table(MINUTES + 1.7e9 - shift[1], **town), Needs(), features=features)
    assert shifts(near) == []
    assert near.feature_names == far.feature_names
    np.testing.assert_array_equal(x, moved)


def test_the_imputer_comes_before() -> None:
    """A constant is the raw column's, and the indicator says what was missing."""
    gaps = np.where(np.arange(ROWS) % 7 == 0, NAN, MINUTES + 1.7e9)
    impute = {"number": {"name": "constant", "value": 1.7e9 - 1.0}, "indicator": True}
    preparer, x = fitted(table(gaps), Needs(number=()), impute=impute)
    (shift,) = shifts(preparer)
    np.testing.assert_array_equal(x[::7, 1], 1.7e9 - 1.0 - shift[1])
    np.testing.assert_array_equal(x[:, 2], np.isnan(gaps))
    np.testing.assert_array_equal(ask(preparer, table(gaps)), x)


def test_missing_stays_missing() -> None:
    gaps = np.where(np.arange(ROWS) % 7 == 0, NAN, MINUTES + 1.7e9)
    preparer, x = fitted(table(gaps))
    np.testing.assert_array_equal(np.isnan(x[:, 1]), np.isnan(gaps))
    np.testing.assert_array_equal(ask(preparer, table(gaps)), x)


def test_codes_are_never_moved() -> None:
    """A network looks them up: 5,000 levels, of which a fold's rows may hold the last ones."""
    levels = tuple(f"{number:05}" for number in range(5000))
    many = Column("category", np.arange(4990 - ROWS, 4990).astype(np.int32), levels)
    preparer, x = fitted(table(many=many))
    assert preparer.feature_levels[-1] == ROWS
    np.testing.assert_array_equal(x[:, 2], np.arange(ROWS))


@pytest.mark.parametrize("parts", [["days"], ["year", "days"], ["hour", "days", "weekday"]])
def test_days_of_a_date_keep_the_minutes(parts: list[str]) -> None:
    data = Table({"when": Column("date", MINUTES * 60 + 1.7e9)}, ROWS)
    preparer, x = fitted(
        data,
        features={"date": {"name": "date_parts", "parts": parts}},
        denoise={"constants": "keep"},
    )
    days = x[:, list(preparer.feature_names).index("when days")]
    assert len(np.unique(days)) == len(np.unique(MINUTES))
    np.testing.assert_allclose(np.diff(days.astype(np.float64)), np.diff(MINUTES) / 1440, atol=1e-6)
    np.testing.assert_array_equal(ask(preparer, data), x)


def test_clipped_columns_are_centered_afterwards() -> None:
    seconds = np.where(np.arange(ROWS) == 3, 4e12, MINUTES + 1.7e9)
    outliers = {"outliers": {"name": "iqr", "action": "clip"}}
    preparer, x = fitted(table(seconds), denoise=outliers)
    assert x[:, 1].max() < 1e4
    np.testing.assert_array_equal(ask(preparer, table(seconds)), x)
