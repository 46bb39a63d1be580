"""What outlier methods share: numbers without gaps on one scale, and bounds from the rows that are
no outliers.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.clip import Clip

Action = Literal["drop", "clip"]


class Denoiser(Protocol):
    """An outlier method: a plug-in's Settings."""

    action: Action

    def outliers(self, x: FloatArray, seed: int) -> BoolArray:
        """[rows] which rows are outliers; `x`: [rows, m] raw numbers with NaN."""

    def bounds(self, x: FloatArray, seed: int) -> Clip:
        """Where numbers are clipped."""


def complete(x: FloatArray) -> FloatArray:
    """Gaps become the median; every column has median 0 and its interquartile range (or standard
    deviation) is 1.
    """
    filled = np.where(np.isnan(x), np.nanmedian(x, axis=0), x)
    low, middle, high = np.percentile(filled, [25, 50, 75], axis=0)
    spread = np.where(high > low, high - low, filled.std(axis=0))
    return np.asarray((filled - middle) / np.where(spread > 0, spread, 1.0))


def range_of(x: FloatArray, inside: BoolArray) -> Clip:
    """The range of the rows that are no outliers."""
    kept = x[inside] if inside.any() else x
    known = ~np.isnan(kept)
    low = np.where(known, kept, np.inf).min(axis=0)
    high = np.where(known, kept, -np.inf).max(axis=0)
    return Clip(np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf))
