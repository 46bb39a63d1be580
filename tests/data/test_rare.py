"""Classes with few rows: kept, merged, left out; and whatever is done is told, with classes and
counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold.core.errors import DataError
from sixfold.data.load import from_frame
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Data

CLASSES = ["a"] * 20 + ["b"] * 9 + ["c"] * 3 + ["d"]


def read(rare: str, classes: list[str] = CLASSES, **data: Any) -> Dataset:
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=len(classes)), "y": classes})
    return from_frame(table, Data(source="frame", target="y", rare=rare, **data), None)


def labels(dataset: Dataset) -> list[str]:
    return [dataset.target.classes[code] for code in dataset.target.values]


def test_keep() -> None:
    found = read("keep")
    assert labels(found) == CLASSES
    assert found.notes[-1] == (
        "Rare classes: c (3 rows), d (1 row), fewer than 5 (data.rare_rows): kept; data.rare can merge them or drop them."
    )


def test_merge() -> None:
    found = read("merge")
    assert found.target.classes == ("a", "b", "(rare)")
    assert labels(found) == [name if name in "ab" else "(rare)" for name in CLASSES]
    assert (
        found.notes[-1]
        == "Rare classes: c (3 rows), d (1 row): merged into the class (rare), as data.rare says."
    )
    assert read("merge", rare_rows=10).target.classes == ("a", "(rare)")


def test_drop() -> None:
    found = read("drop")
    assert found.target.classes == ("a", "b")
    assert labels(found) == [name for name in CLASSES if name in "ab"]
    assert found.table.rows == 29
    assert found.warnings[-1] == (
        "Rare classes: c (3 rows), d (1 row): left out with their rows, as data.rare says; the model does not know them."
    )


def test_what_cannot_be_merged() -> None:
    assert read("merge", rare_rows=2).warnings[-1] == (
        "Rare class: d (1 row): not merged (data.rare), as there is no other rare class."
    )
    assert "no other class would be left" in read("merge", rare_rows=50).warnings[-1]
    with pytest.raises(DataError, match=r"no class called \(rare\)"):
        read("merge", [*CLASSES, *["(rare)"] * 9])


def test_too_few_classes_left() -> None:
    with pytest.raises(DataError) as caught:
        read("drop", rare_rows=10)
    assert str(caught.value) == (
        "column 'y': expected at least two classes that are left after data.rare: drop; found 1. Use data.rare: keep, or lower "
        "data.rare_rows."
    )
