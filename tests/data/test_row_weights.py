"""`data.weight`: read, checked, told, and no feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.core.errors import DataError, RecipeError
from sixfold.data import test_rows
from sixfold.data.load import load
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Data


def table(folder: Path, weights: list[str], **keys: Any) -> Dataset:
    rows = "".join(
        f"{i * 7 % 5 + i / 9:.3f},{weight},{'pq'[i % 2] if i != 5 else ''}\n"
        for i, weight in enumerate(weights)
    )
    (folder / "t.csv").write_text("a,w,y\n" + rows)
    return load(Data(source="t.csv", target="y", **{"weight": "w", **keys}), None, folder)


def test_they_are_no_feature_and_stay_with_their_rows(tmp_path: Path) -> None:
    """The row without a target is left out with its weight."""
    found = table(tmp_path, [str(i) for i in range(20)])
    assert list(found.table.columns) == ["a"]
    assert found.target.weights is not None
    assert found.target.weights.tolist() == [float(i) for i in range(20) if i != 5]
    assert (
        "Not used as a feature, since it weighs the rows: w, from 0 to 19; 19 rows count as 185."
        in found.notes
    )
    assert not any("count as" in text for text in found.warnings)


def test_without_them_there_are_none(tmp_path: Path) -> None:
    assert table(tmp_path, ["1"] * 20, weight=None, drop=("w",)).target.weights is None


def test_few_rows_that_count_are_told_loudly(tmp_path: Path) -> None:
    found = table(tmp_path, ["0.001"] * 20)
    assert found.warnings == (
        "w: 19 rows count as 0.019 only, beside which penalties and the fewest rows in a leaf are large. Multiply the "
        "column, unless so little is meant.",
    )


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (
            "-1",
            "t.csv, line 5, column 'w': expected a finite number, 0 or more, as it is data.weight; found -1. "
            "Correct it; a row that is not to count has the weight 0.",
        ),
        (
            "",
            "t.csv, line 5, column 'w': expected a finite number, 0 or more, as it is data.weight; found a missing one. "
            "Correct it; a row that is not to count has the weight 0.",
        ),
    ],
)
def test_a_cell_that_is_no_weight(tmp_path: Path, cell: str, text: str) -> None:
    with pytest.raises(DataError) as error:
        table(tmp_path, ["1"] * 3 + [cell] + ["1"] * 16)
    assert str(error.value) == f"{tmp_path}/{text}"


@pytest.mark.parametrize("cell", ["x", "inf", "1e999"])
def test_a_cell_that_is_no_finite_number(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 5, column 'w': .*as it is data\.weight"):
        table(tmp_path, ["1"] * 3 + [cell] + ["1"] * 16)


def test_all_of_them_0(tmp_path: Path) -> None:
    """Of the rows with a target: the others do not count anyway."""
    with pytest.raises(DataError) as error:
        table(tmp_path, ["0"] * 5 + ["1"] + ["0"] * 14)
    assert str(error.value) == (
        f"{tmp_path}/t.csv, column 'w': expected a row whose weight is above 0, as it is data.weight; found 19 rows with "
        "the weight 0. Correct the column, or name another in data.weight."
    )


def test_a_column_that_is_not_there_or_is_the_target(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.weight: expected the name of a column; found 'v'"):
        table(tmp_path, ["1"] * 20, weight="v")
    with pytest.raises(RecipeError, match=r"data\.weight: expected a column other than the target"):
        table(tmp_path, ["1"] * 20, weight="y")


def test_a_file_of_test_rows_has_weights_of_its_own(tmp_path: Path) -> None:
    table(tmp_path, ["1"] * 20)
    (tmp_path / "u.csv").write_text(
        "a,w,y\n" + "".join(f"{i},{i + 2},{'pq'[i % 2]}\n" for i in range(6))
    )
    data = Data(source="t.csv", target="y", weight="w", test="u.csv")
    training, held_out = test_rows.load(data, None, tmp_path)
    assert training.target.weights is not None
    assert held_out.target.weights is not None
    np.testing.assert_array_equal(training.target.weights, np.ones(19))
    np.testing.assert_array_equal(held_out.target.weights, np.arange(2.0, 8.0))
    (tmp_path / "u.csv").write_text("a,y\n1,p\n2,q\n")
    with pytest.raises(DataError, match="the column 'w', as in the training file"):
        test_rows.load(data, None, tmp_path)
