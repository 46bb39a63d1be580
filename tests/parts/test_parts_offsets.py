"""Which columns ask for an offset, and that what is left keeps in float32 what the column says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.parts.offsets import RATIO, offsets

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(4)
NORMAL = np.round(RNG.normal(size=600) * 64) / 64


def of(values: Any) -> float:
    return float(offsets(np.asarray(values, dtype=np.float64)[:, None])[0])


STAY: dict[str, Array] = {
    "near 0": NORMAL,
    "years": RNG.integers(1990, 2025, 600),
    "two years": RNG.integers(2023, 2025, 600),
    "codes": RNG.integers(0, 4000, 600),
    "ids": RNG.integers(10**7, 10**8, 600),
    "prices": RNG.lognormal(10, 2, 600),
    "0 and 1": RNG.integers(0, 2, 600),
    "one hot, rare": np.arange(600) == 5,
    "all 1": np.ones(600),
    "one price": np.full(600, 19.99),
    "degrees": 52 + RNG.normal(size=600),
    "very large and varied": RNG.normal(size=600) * 1e30,
    "seconds of ten years": RNG.uniform(1.4e9, 1.7e9, 600),
    "sums of rounded numbers": RNG.integers(0, 50, 600) * 0.1 + 1e-17 * RNG.normal(size=600),
    "mostly 0, else large": np.where(RNG.random(600) < 0.6, 0.0, RNG.uniform(1e8, 2e9, 600)),
    "nothing known": np.full(600, np.nan),
    "infinite": np.full(600, np.inf),
}
MOVE: dict[str, Array] = {
    "seconds": NORMAL + 1.7e9,
    "milliseconds": NORMAL * 1000 + 1.7e12,
    "below 0": NORMAL - 1.7e9,
    "two values": np.where(RNG.random(600) < 0.5, 1e9, 1e9 + 1),
    "mostly one value": np.where(RNG.random(600) < 0.9, 1e9, 1e9 + NORMAL),
    "with 0 for never": np.where(RNG.random(600) < 0.7, 0.0, NORMAL + 1.7e9),
    "with missing ones": np.where(RNG.random(600) < 0.7, np.nan, NORMAL + 1.7e9),
    "with a broken one": np.where(np.arange(600) == 7, 1e300, NORMAL + 1.7e9),
    "one large value": np.full(600, 1.7e9),
    "two groups": np.where(RNG.random(600) < 0.5, 1e9, 1e9 + 1e6) + RNG.integers(0, 11, 600),
}


@pytest.mark.parametrize("name", STAY)
def test_what_float32_holds_stays(name: str) -> None:
    assert of(STAY[name]) == 0.0


@pytest.mark.parametrize("name", MOVE)
def test_what_float32_blurs_moves_and_is_told_apart_then(name: str) -> None:
    values, offset = np.unique(MOVE[name][np.isfinite(MOVE[name])]), of(MOVE[name])
    assert (
        offset in values
    )  # a value of the column: what is near to it loses nothing by the subtraction
    with np.errstate(over="ignore"):
        single, moved = values.astype(np.float32), (values - offset).astype(np.float32)
    told_apart = len(np.unique(moved))
    assert told_apart >= 0.99 * len(values)
    assert told_apart > len(np.unique(single)) or len(values) == 1


def test_each_column_by_itself() -> None:
    x = np.stack([NORMAL, NORMAL + 1.7e9, NORMAL - 1e12], axis=1)
    found = offsets(x)
    assert found[0] == 0.0
    np.testing.assert_allclose(found[1:], [1.7e9, -1e12], atol=1.0)
    assert offsets(x[:0]).tolist() == [0.0, 0.0, 0.0]
    assert offsets(x[:1]).tolist() == [0.0, x[0, 1], x[0, 2]]


@given(st.integers(-(2**50), 2**50), st.integers(2, 300), st.integers(0, 99), st.booleans())
def test_the_offset_moves_with_the_column(far: int, rows: int, seed: int, gaps: bool) -> None:
    """Where a column asks, it asks for the same value of it wherever it stands; and float32 never
    keeps less than 11 bits of how far the middle half lies apart.
    """
    rng = np.random.default_rng(seed)
    values = rng.integers(-500, 501, rows).astype(np.float64)
    moved = values + far
    if gaps:
        moved[rng.random(rows) < 0.3] = np.nan
    offset = of(moved)
    known = np.unique(moved[~np.isnan(moved)])
    if offset != 0.0:
        assert offset == known[len(known) // 2]
    elif len(known) > 1:
        reach = np.sort(np.abs(known - known[len(known) // 2]))[len(known) // 2]
        assert abs(known[len(known) // 2]) < RATIO * reach
