"""K folds, several times, each time with other folds."""

from __future__ import annotations

from pydantic import Field

from sixfold.core.seeds import derive
from sixfold.evaluate._parts import from_parts, strata, stratified_parts
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.recipe.section import Section


class Settings(Section):
    """K folds (stratified for classes), repeated: every row is validated `repeats` times."""

    folds: int = Field(5, ge=2, description="Number of folds K.")
    repeats: int = Field(3, ge=1, description="How many times.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        layers = strata(dataset.target)
        seeds = [derive(seed, "repeat", number) for number in range(self.repeats)]
        return [fold for each in seeds for fold in from_parts(stratified_parts(layers, self.folds, each))]
