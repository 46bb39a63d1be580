"""Training rows to look at, where all of them would be too many."""

from __future__ import annotations

import numpy as np

from sixfold.parts.table import FloatArray, IntArray


def sample(x: FloatArray, most: int, seed: int) -> IntArray:
    """At most `most` rows of [rows, m] drawn at random, in order; for a column with none among
    them, its first one joins.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:most])
    lacking = np.flatnonzero(np.isnan(x[rows]).all(axis=0))
    first = [int(np.flatnonzero(~np.isnan(x[:, column]))[0]) for column in lacking]
    return np.asarray([*rows, *sorted(set(first))], dtype=np.int64)
