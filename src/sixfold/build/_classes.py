"""Which classes a fit's rows hold: a fold may lack a rare class, and every family must still give
it a column.
"""

from __future__ import annotations

import numpy as np

from sixfold.core.errors import FitError
from sixfold.parts.fit import Fit
from sixfold.parts.table import IntArray


def present(fit: Fit, family: str) -> IntArray:
    """The sorted class indices that occur among the fit's rows. Raises FitError when there are
    fewer than two.
    """
    classes = np.unique(fit.y).astype(np.int64)
    if len(classes) < 2:
        raise FitError(
            f"build.{family}",
            "rows of at least two classes in every fit",
            f"one class in {len(fit.y)} rows",
            "Use a stratified scheme in `evaluate`, fewer folds, or more rows of the rare class.",
        )
    return classes
