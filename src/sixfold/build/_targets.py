"""Targets far from 0 against their variation, moved before a solver that would lose the variation sees them.

LightGBM keeps targets as float32; scikit-learn's trees take the variance as E[y²] - E[y]², in which a unit near 1e9 drowns.
"""

from __future__ import annotations

import numpy as np

from sixfold.parts.fit import Fit
from sixfold.parts.offsets import offsets
from sixfold.parts.table import FloatArray, IntArray


def centred(fit: Fit) -> tuple[FloatArray | IntArray, float | FloatArray]:
    """The targets less an offset, and the offset, float64 [outputs], to be added to what is predicted; 0 for most."""
    if fit.task == "classification":
        return fit.y, 0.0
    y = np.asarray(fit.y, dtype=np.float64)
    offset = offset_of(y)
    return (y - offset, offset) if np.any(offset) else (fit.y, 0.0)


def offset_of(y: FloatArray) -> float | FloatArray:
    """[rows] → a number, [rows, outputs] → [outputs]: as `offsets` of parts."""
    return offsets(y) if y.ndim == 2 else float(offsets(y[:, None])[0])
