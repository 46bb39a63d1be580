"""Accuracy on rows never seen: the Adult census, family by family, with features made by
scikit-learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.runs.context import Context

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GOALS = {
    "boosting": (0.872, {}),
    "tree": (0.850, {}),
    "linear": (0.845, {}),
    "svm": (0.840, {"kernel": "linear", "C": 0.1}),
}


@pytest.fixture(scope="module")
def census() -> tuple[Any, Any]:
    if not DATA.is_dir():
        pytest.skip(f"the Adult census is not in {DATA}")
    return tuple(
        pd.read_csv(DATA / f"adult_{part}.csv.gz", na_values="?") for part in ("train", "test")
    )  # type: ignore[return-value]


@pytest.mark.parametrize("name", sorted(GOALS))
def test_accuracy_on_the_test_file(name: str, census: tuple[Any, Any]) -> None:
    goal, options = GOALS[name]
    settings = FAMILY.load(name)(**options)
    train, test = census
    numbers = [column for column in train.columns if train[column].dtype.kind in "if"]
    categories = [column for column in train.columns if column not in (*numbers, "income")]
    if settings.needs.category == ("one_hot",):
        columns = (
            (StandardScaler(), numbers),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        )
    else:
        ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        columns = ("passthrough", numbers), (ordinal, categories)
    transformer = make_column_transformer(*columns)
    x = transformer.fit_transform(train.drop(columns="income")).astype(settings.needs.precision)
    y, truth = (
        (part["income"].str.startswith(">")).to_numpy().astype(np.int64) for part in (train, test)
    )
    fitted = next(iter(settings.fit([Fit(x, y, "classification", 2)], Context())))
    unseen = transformer.transform(test.drop(columns="income")).astype(settings.needs.precision)
    accuracy = (fitted.predict(unseen).argmax(axis=1) == truth).mean()
    assert accuracy >= goal
