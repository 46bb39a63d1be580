"""Which of two classes is the positive one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError
from sixfold.data.load import load
from sixfold.data.positive import positive_last
from sixfold.evaluate import scoring
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Data


def read(folder: Path, rows: str) -> Dataset:
    (folder / "t.csv").write_text(rows)
    return load(Data(source="t.csv", target="y"), "classification", folder)


def two(folder: Path, classes: tuple[str, str], of_first: int = 10, rows: int = 30) -> Dataset:
    first, second = classes
    lines = [f"{i},{first if i < of_first else second}" for i in range(rows)]
    return read(folder, "a,y\n" + "\n".join(lines) + "\n")


def test_where_the_frequent_class_is_looked_at_it_is_told(tmp_path: Path) -> None:
    def notes(frauds: int, rare: str) -> tuple[str, ...]:
        return positive_last(two(tmp_path, (rare, "ok"), frauds), None).notes

    assert notes(10, "fraud")[-1] == (
        "The metrics f1, precision, recall and average_precision look at the second class, 'ok', which is the frequent "
        "one. To look at 'fraud', say evaluate.positive: fraud; or choose mcc, balanced_accuracy or roc_auc."
    )
    assert notes(11, "fraud")[-1].startswith("'y' is predicted")
    assert notes(5, "wrong")[-1].startswith("'y' is predicted")


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (("fraud", "ok"), "fraud"),
        (("0", "1"), 0),
        (("0.5", "2"), 0.5),
        (("False", "True"), False),
        (("no", "yes"), "no"),
    ],
)
def test_it_is_the_last_however_it_is_written(
    tmp_path: Path, classes: tuple[str, str], positive: Any
) -> None:
    plain = two(tmp_path, classes)
    found = positive_last(plain, positive)
    assert found.target.classes == plain.target.classes[::-1]
    named = [found.target.classes[code] for code in found.target.values]
    assert named == [plain.target.classes[code] for code in plain.target.values]
    assert found.notes[-1] == f"The positive class is '{classes[0]}', as evaluate.positive says."
    again = positive_last(plain, classes[1]).target
    assert (again.classes, again.values.tolist()) == (
        plain.target.classes,
        plain.target.values.tolist(),
    )


@given(st.integers(0, 2**32 - 1))
def test_every_metric_of_labels_looks_at_it(seed: int) -> None:
    """With the other class as the positive one, precision is what it was of the negative one."""
    rng = np.random.default_rng(seed)
    codes, p = rng.integers(0, 2, 40), rng.dirichlet((1, 1), 40)
    target = Target("classification", codes, ("y",), ("ill", "well"))
    data = Dataset(Table({"x": Column("number", rng.normal(size=40))}, 40), target)
    names = ("precision", "recall", "specificity", "f1", "average_precision")
    found = scoring.score_all(
        names, positive_last(data, "ill").target, p[:, ::-1].copy(), "probability"
    )
    best = p.argmax(axis=1)
    right = np.sum((best == 0) & (codes == 0))
    assert found["precision"] == pytest.approx(right / max(1, np.sum(best == 0)))
    assert found["recall"] == pytest.approx(right / max(1, np.sum(codes == 0)))


@pytest.mark.parametrize(
    ("classes", "positive", "text"),
    [
        (
            ("a", "b"),
            "c",
            "evaluate.positive: expected a class of 'y'; found 'c'. All: a, b.",
        ),
        (
            ("a", "b", "c"),
            "c",
            "evaluate.positive: expected a target with two classes, of which one is positive; found classification with 3 "
            "classes. Leave positive out: of more classes every metric takes the mean over all.",
        ),
        (
            (),
            "c",
            "evaluate.positive: expected a target with two classes, of which one is positive; found regression. Leave "
            "positive out: of more classes every metric takes the mean over all.",
        ),
    ],
)
def test_what_is_no_positive_class(classes: tuple[str, ...], positive: str, text: str) -> None:
    values = np.arange(9) % len(classes) if classes else np.arange(9.0)
    target = Target("classification" if classes else "regression", values, ("y",), classes)
    data = Dataset(Table({"x": Column("number", np.arange(9.0))}, 9), target)
    with pytest.raises(RecipeError) as error:
        positive_last(data, positive)
    assert str(error.value) == text
