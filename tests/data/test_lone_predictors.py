"""A column that alone predicts the target is warned of with its score, and only such a one."""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.data.lone_predictors import warning
from sixfold.parts.table import Column, Dataset, Table, Target

ROWS = 400
RNG = np.random.default_rng(0)
CODES = RNG.permutation(np.arange(ROWS) % 3)
RARE = (np.arange(ROWS) % 40 == 0).astype(np.int64)
VALUES = RNG.lognormal(sigma=2.0, size=ROWS)
NOISE = RNG.normal(size=ROWS)


def found(column: Column, y: np.ndarray, groups: np.ndarray | None = None) -> str:
    columns = {**{f"x{i}": Column("number", RNG.normal(size=ROWS)) for i in range(4)}, "it": column}
    if y.dtype.kind == "f":
        target = Target("regression", y, ("y",))
    else:
        target = Target("classification", y, ("y",), tuple("abc")[: int(y.max()) + 1])
    return warning(Dataset(Table(columns, ROWS), target, groups))


LEAKS = {
    "the class with noise": (Column("number", CODES + 0.02 * NOISE), CODES),
    "the class in another order": (Column("number", np.array([5.0, -7.0, 1e12])[CODES]), CODES),
    "a category": (Column("category", (2 - CODES).astype(np.int32), ("u", "v", "w")), CODES),
    "missing where the class is rare": (Column("number", np.where(RARE == 1, np.nan, NOISE)), RARE),
    "a flag of a rare class": (Column("boolean", RARE.astype(np.float64)), RARE),
    "the value in another unit": (Column("number", 32.0 + 1.8 * VALUES), VALUES),
    "the value's logarithm": (Column("number", np.log(VALUES + 30.0)), VALUES.clip(0, 50)),
}
FAIR = {
    "noise": (Column("number", NOISE), CODES),
    "many levels": (
        Column("category", np.arange(ROWS).astype(np.int32), tuple(map(str, range(ROWS)))),
        CODES,
    ),
    "a good predictor": (Column("number", CODES + 0.3 * NOISE), CODES),
    "a good predictor of values": (Column("number", VALUES + 0.3 * VALUES.std() * NOISE), VALUES),
    "noise beside a rare class": (Column("number", NOISE), RARE),
}


@pytest.mark.parametrize("name", LEAKS)
def test_told(name: str) -> None:
    text = found(*LEAKS[name])
    assert text.startswith("it (")
    assert "alone predicts y almost perfectly" in text
    assert "data.drop: ['it']" in text


@pytest.mark.parametrize("name", FAIR)
def test_not_told(name: str) -> None:
    assert found(*FAIR[name]) == ""


def test_groups_stay_in_one_fold() -> None:
    """A value of its own for every group predicts the group's target, and no other group's."""
    groups = np.arange(ROWS) // 20
    own = np.random.default_rng(5).normal(size=20)
    column, y = Column("number", own[groups]), np.random.default_rng(6).normal(size=20)[groups]
    assert found(column, y).startswith("it (")
    assert found(column, y, groups) == ""


def test_several_are_named_with_the_best_first() -> None:
    columns = {f"x{i}": Column("number", CODES + 0.01 * RNG.normal(size=ROWS)) for i in range(5)}
    text = warning(
        Dataset(Table(columns, ROWS), Target("classification", CODES, ("y",), ("a", "b", "c")))
    )
    assert " and 2 more each alone predict y almost perfectly" in text


def test_one_column_is_all_there_is() -> None:
    target = Target("classification", CODES, ("y",), ("a", "b", "c"))
    assert (
        warning(Dataset(Table({"it": Column("number", CODES.astype(np.float64))}, ROWS), target))
        == ""
    )
