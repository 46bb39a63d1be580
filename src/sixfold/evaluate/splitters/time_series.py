"""Folds that train on the past and validate on what follows."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.core.errors import RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.recipe.section import Section


class Settings(Section):
    """K expanding windows in the order of `data.time`: fold k trains on the first k of K + 1 blocks, validates on the next."""

    folds: int = Field(5, ge=2, description="Number of folds K.")

    def split(self, dataset: Dataset, seed: int) -> list[Fold]:
        """The folds of `dataset`; equal seeds give equal folds."""
        if dataset.times is None:
            raise RecipeError(
                "evaluate.scheme", "data.time for the scheme time_series", "none", "Name the column in data.time."
            )
        order = np.argsort(dataset.times, kind="stable")
        blocks = np.array_split(order, self.folds + 1)
        past = [np.sort(np.concatenate(blocks[: number + 1])) for number in range(self.folds)]
        return [Fold(past[number], np.sort(blocks[number + 1])) for number in range(self.folds)]
