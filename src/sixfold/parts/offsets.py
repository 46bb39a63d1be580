"""What to subtract from columns whose variation is small against their size, so that float32 keeps
it.

float32 has 24 bits: near 1.7e9 (seconds since 1970) its neighbors are 128 apart, and half an hour
is 14 values. Sums of squares in double suffer alike: near 1e9 they are whole multiples of 128. A
constant subtracted in double undoes both.

Shape letters: R rows, F columns, N rows looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.parts.table import BoolArray, FloatArray, IntArray

LOOKED_AT: Final = (
    1000  # rows, evenly spaced: what is asked of them are medians and shares (guessed to be enough)
)
# How often the size is the variation where float32 keeps 12 of its 24 bits for it: its rounding, at
# most 2^-24 of the size, is then 2^-12 of the variation, and as a share of a sum of squares in
# double (2^-53 · 2^24) 2^-29. Derived.
RATIO: Final = 2.0**12
WHOLE: Final = 2.0**24  # beyond it float32 does not tell whole numbers apart
BLURRED: Final = 0.1  # share of the different values that fall together in float32, above which it is too coarse (guessed)


def offsets(x: npt.NDArray[np.float64]) -> FloatArray:
    """[R, F] float64, NaN where missing → [F]: the middle one of a column's values where the column
    asks for it, else 0.

    It does where at least half of its different values lie nearer to the middle one than 1/4096 of
    that one's size: a few values far away (0 for "never") do not hide it. Or where a tenth of them
    fall together in float32, but for most without the offset: groups far from each other, and fine
    differences within. A column of one value does where that is beyond 2^24.
    """
    some, found = x[rows_asked(len(x))], np.zeros(x.shape[1])
    asking = np.flatnonzero(_may_ask(some))
    if len(asking):
        found[asking] = _middles(np.ascontiguousarray(some[:, asking].T))
    return found


def rows_asked(rows: int) -> IntArray:
    """The rows, of so many, that `offsets` looks at; given these alone it finds the same."""
    return np.linspace(0, rows - 1, min(LOOKED_AT, rows)).astype(np.int64)


def _may_ask(x_NF: FloatArray) -> BoolArray:
    """Not columns of whole numbers below 4096 (codes, counts, 0 and 1): they differ by 1 at least,
    and float32 holds them.
    """
    plain = np.isnan(x_NF) | ((x_NF == np.rint(x_NF)) & (np.abs(x_NF) < RATIO))
    return np.asarray(~plain.all(axis=0))


def _middles(x_FN: FloatArray) -> FloatArray:
    """As `offsets`; different values count once, so that a value that most rows have decides
    nothing.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rising = np.sort(np.where(np.isfinite(x_FN), x_FN, np.nan), axis=1)  # NaN come last
        new = ~np.isnan(rising)
        new[:, 1:] &= rising[:, 1:] != rising[:, :-1]
        count, each = new.sum(axis=1), np.arange(len(rising))
        middle = rising[each, (np.cumsum(new, axis=1) > (count // 2)[:, None]).argmax(axis=1)]
        distance = np.sort(np.where(new, np.abs(rising - middle[:, None]), np.inf), axis=1)
        reach = distance[
            each, np.minimum(count // 2, distance.shape[1] - 1)
        ]  # place 0 is the middle one itself
        size = np.abs(middle)
        asks = np.where(count > 1, size >= RATIO * reach, size > WHOLE)
        blurred = _blurred(rising, new)
        coarse = np.flatnonzero(~asks & (blurred > BLURRED * count))
        left = _blurred(rising[coarse] - middle[coarse, None], new[coarse])
        asks[coarse] = left < blurred[coarse] / 2
    return np.asarray(np.where(asks & (count > 0), middle, 0.0), dtype=np.float64)


def _blurred(rising_FN: FloatArray, new: BoolArray) -> npt.NDArray[np.int64]:
    """[F] how many different values have the same float32 as the one before."""
    single = rising_FN.astype(np.float32)
    return np.asarray((new[:, 1:] & (single[:, 1:] == single[:, :-1])).sum(axis=1), dtype=np.int64)
