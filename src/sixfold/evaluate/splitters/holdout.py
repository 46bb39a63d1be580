"""One split: some rows validate, the others train."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.evaluate._parts import strata
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset
from sixfold.parts.units import cut_off


class Settings(Splitter):
    """One fold: a share of the rows validates (with the classes' shares), the others train."""

    share: float = Field(0.2, gt=0, lt=1, description="Share of the rows that validates.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        rows = dataset.table.rows
        count = min(rows - 1, max(1, round(rows * self.share)))
        layers = strata(dataset.target)
        if dataset.together is not None:
            inside = np.zeros(rows, dtype=np.bool_)
            inside[cut_off(layers, dataset.together, count, seed)] = True
            return [Fold(np.flatnonzero(~inside), np.flatnonzero(inside))]
        shuffled = np.random.default_rng(seed).permutation(rows)
        by_layer = shuffled[np.argsort(layers[shuffled], kind="stable")]
        chosen = by_layer[np.floor((np.arange(count) + 0.5) * rows / count).astype(np.int64)]
        inside = np.zeros(rows, dtype=np.bool_)
        inside[chosen] = True
        return [Fold(np.flatnonzero(~inside), np.flatnonzero(inside))]
