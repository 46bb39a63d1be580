"""The rows that a plan is made for."""

from __future__ import annotations

import time
from typing import NamedTuple

from sixfold.core.memory import MemoryLimit
from sixfold.data import holdout, load, test_rows
from sixfold.data.asked import as_asked
from sixfold.parts.table import Dataset
from sixfold.recipe.load import Loaded


class RowsRead(NamedTuple):
    """`whole`: as it was read; `training`: what is not held out; `read_s`: seconds that it took."""

    whole: Dataset
    training: Dataset
    read_s: float


def read_rows(loaded: Loaded) -> RowsRead:
    """The rows of a recipe. Raises a SixfoldError."""
    recipe, started = loaded.recipe, time.monotonic()
    memory = MemoryLimit.of(recipe.budget.memory)
    if recipe.data.test is not None:
        training, _ = test_rows.load(recipe.data, recipe.task_name, loaded.base, memory)
        training = as_asked(training, recipe)
        return RowsRead(training, training, time.monotonic() - started)
    read = load.load(recipe.data, recipe.task_name, loaded.base, memory)
    whole = as_asked(read, recipe)
    training = whole.take(holdout.split(whole, recipe.data)[0])
    return RowsRead(whole, training, time.monotonic() - started)
