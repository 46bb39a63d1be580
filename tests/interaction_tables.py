"""Small tables of interactions, and recommenders fitted on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sixfold.build.candidate import Candidate
from sixfold.data.load import from_frame, load
from sixfold.parts.recommender import Recommender
from sixfold.parts.table import Dataset
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Data, Initialize, Prepare, Train

QUICK: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {"neighbors": 20, "shrink": 2.0},
    "als": {"factors": 6, "iterations": 4},
    "bpr": {"factors": 6, "epochs": 4, "batch_size": 64},
    "two_tower": {"width": 8, "hidden": 8, "length": 6, "negatives": 16},
    "sasrec": {"width": 8, "layers": 1, "length": 6, "negatives": 16},
}
SECTION = Data(source="table", time="time")


def planted(users: int = 60, items: int = 40, each: int = 8, seed: int = 0, **data: Any) -> Dataset:
    """Of users whose tastes are known, at random moments."""
    source = f"planted:{users}x{items}x{each}"
    section = Data(source=source, time="time", seed=seed, **data)
    return load(section, "recommendation", Path())


def of_rows(rows: Sequence[tuple[Any, ...]], **data: Any) -> Dataset:
    """Users, items, times."""
    frame = pd.DataFrame(rows, columns=["user", "item", "time"][: len(rows[0])])
    options = {"time": "time", **data} if len(rows[0]) > 2 else data
    return from_frame(frame, Data(source="table", **options), "recommendation")


def candidate(family: str, **options: Any) -> Candidate:
    """With settings that take no time."""
    made: Any = FAMILY.load(family).model_validate({**QUICK[family], **options})
    train = Train.model_validate({**made.train_defaults.options, "epochs": 2})
    return Candidate(family, family, made, Prepare(), Initialize(), train)


def recommender(model: Any) -> Recommender:
    assert isinstance(model.fitted, Recommender)
    return model.fitted


def dense(fitted: Recommender) -> Any:
    """[users, items] what each did in training, with the zeros."""
    seen = fitted.seen
    table = np.zeros((seen.count, len(fitted.user_counts)))
    table[seen.users(), seen.items] = seen.weights
    return table
