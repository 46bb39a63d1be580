"""Targets far from 0 against their variation, moved before a solver that would lose the variation
sees them.

scikit-learn's trees take the variance as E[y²] - E[y]², in which a unit near 1e9 drowns. Who learns
targets less their mean (boosting, ridge, kernel machines) or standardized (networks) does not need
it.
"""

from __future__ import annotations

import numpy as np

from sixfold.parts.fit import Fit
from sixfold.parts.offsets import offsets
from sixfold.parts.table import FloatArray, IntArray


def centered(fit: Fit) -> tuple[FloatArray | IntArray, float | FloatArray]:
    """The targets less an offset, and the offset, a number or float64 [outputs], to be added to
    what is predicted.
    """
    if fit.task == "classification":
        return fit.y, 0.0
    y_RK = np.asarray(fit.y, dtype=np.float64).reshape(fit.rows, -1)
    offset = offsets(y_RK)
    if not offset.any():
        return fit.y, 0.0
    return (y_RK - offset).reshape(fit.y.shape), offset
