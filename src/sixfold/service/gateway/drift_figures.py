"""How far what is asked now is from what a bundle was made with: numbers of one column.

PSI: sum over bins of (p - q) ln(p / q); its usual reading is: below 0.1 no change, above 0.25 a large one. Bins of a number are
the reference's deciles, of a category its values; what is missing, and what was never seen, have bins of their own. Half a row is
added to every bin, so that an empty one is no infinity. KS: the largest distance between two distribution functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.service.domain.deployments import DriftLimits

Numbers = npt.NDArray[np.float64]
DECILES: Final = np.arange(1, 10) / 10
PRIOR: Final = 0.5
USUAL: Final = DriftLimits()


@dataclass(frozen=True)
class ColumnDrift:
    """`ks`: of numbers alone. `unseen`, `missing`: shares of the window's rows. `drifted`: beyond the deployment's limits."""

    column: str
    role: str  # input or prediction
    psi: float
    ks: float | None
    unseen: float
    missing: float
    rows: int
    drifted: bool


def of_numbers(
    name: str, role: str, reference: Numbers, window: Numbers, limits: DriftLimits = USUAL
) -> ColumnDrift:
    """NaN is missing."""
    first, second = reference[~np.isnan(reference)], window[~np.isnan(window)]
    edges = np.unique(np.quantile(first, DECILES)) if len(first) else np.array([])
    counts = []
    for whole, known in ((reference, first), (window, second)):
        binned = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        counts.append([*binned.tolist(), len(whole) - len(known)])
    value, distance, rows = psi(*counts), ks(first, second), len(window)
    return ColumnDrift(
        name,
        role,
        value,
        distance,
        0.0,
        _share(rows - len(second), rows),
        rows,
        limits.exceeded(value, distance, 0.0, rows),
    )


def of_categories(
    name: str,
    role: str,
    reference: Sequence[Any],
    window: Sequence[Any],
    limits: DriftLimits = USUAL,
    levels: frozenset[str] | None = None,
) -> ColumnDrift:
    """An empty text is missing; a value of the window that the reference lacks has a bin of its own. `levels`: what training met,
    where that is more than the reference; whatever is in neither is unseen.
    """
    known, seen = Counter(reference), Counter(window)
    values = sorted(value for value in known if value != "")
    strange = sum(count for value, count in seen.items() if value != "" and value not in known)
    expected = [*(known[value] for value in values), known[""], 0]
    found = [*(seen[value] for value in values), seen[""], strange]
    value, rows, unseen = psi(expected, found), len(window), _share(strange, len(window))
    if levels is not None:
        met = levels | known.keys() | {""}
        unseen = _share(sum(count for one, count in seen.items() if one not in met), rows)
    return ColumnDrift(
        name,
        role,
        value,
        None,
        unseen,
        _share(seen[""], rows),
        rows,
        limits.exceeded(value, None, unseen, rows),
    )


def psi(reference: Sequence[int], window: Sequence[int]) -> float:
    """Of counts in the same bins. Bins that both leave empty do not count."""
    counts = np.array([reference, window], dtype=np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    if not counts.size or not counts.sum(axis=1).all():
        return 0.0
    shares = counts + PRIOR
    shares /= shares.sum(axis=1, keepdims=True)
    q, p = shares
    return float(((p - q) * np.log(p / q)).sum())


def ks(reference: Numbers, window: Numbers) -> float:
    """The two-sample statistic; 0 where one of them is empty."""
    if not len(reference) or not len(window):
        return 0.0
    first, second = np.sort(reference), np.sort(window)
    every = np.concatenate([first, second])
    below = [np.searchsorted(one, every, side="right") / len(one) for one in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
