"""K folds in which every class has nearly the same share."""

from __future__ import annotations

from pydantic import Field

from sixfold.evaluate._parts import from_parts, strata, stratified_parts
from sixfold.evaluate.fold import Fold, Splitter
from sixfold.parts.table import Dataset


class Settings(Splitter):
    """K folds with the classes' shares; for values, with the shares of ten quantiles."""

    folds: int = Field(5, ge=2, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        return from_parts(
            stratified_parts(strata(dataset.target), self.folds, seed, dataset.together)
        )
