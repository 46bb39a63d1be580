"""What can be found in a dataset before a run starts."""

from __future__ import annotations

import numpy as np

from sixfold.core.errors import DataError
from sixfold.parts.table import Dataset


def class_counts_fit(dataset: Dataset, folds: int) -> None:
    """Raises DataError when a class has fewer rows than there are folds, so that some fold could not hold any."""
    target = dataset.target
    if target.task != "classification":
        return
    counts = np.bincount(target.values.astype(np.int64), minlength=len(target.classes))
    rarest = int(np.argmin(counts))
    if counts[rarest] < folds:
        rows = "row" if counts[rarest] == 1 else "rows"
        fewer = f"Use evaluate.folds: {counts[rarest]}, add rows" if counts[rarest] >= 2 else "Add rows"
        raise DataError(
            f"column '{target.names[0]}'", f"at least {folds} rows of every class, one a fold",
            f"{counts[rarest]} {rows} of class '{target.classes[rarest]}'", f"{fewer} of that class, or leave it out.",
        )  # fmt: skip
