"""The table of out-of-fold predictions, read back by pandas: each answer is that of the fold model
that did not see the row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from evaluating import candidate, dataset
from sixfold.evaluate import out_of_fold
from sixfold.evaluate.cross_validation import Evaluation, cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.parts.table import Dataset, Task
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context

THRESHOLD = {"threshold": "f1"}


def written(
    data: Dataset, chosen: list[Any], scheme: dict[str, Any], path: Path
) -> tuple[Any, list[Evaluation], list[Fold]]:
    folds = make(Evaluate(**scheme), data)
    metric = "accuracy" if data.target.task == "classification" else "mae"
    evaluations = [cross_validate(one, data, folds, [metric], Context()) for one in chosen]
    out_of_fold.write(path / "out_of_fold.parquet", data, evaluations, folds)
    return pd.read_parquet(path / "out_of_fold.parquet"), evaluations, folds


def test_classes_of_two_candidates(tmp_path: Path) -> None:
    data = dataset(90)
    chosen = [candidate({"family": "svm"}), candidate({"family": "linear"}, calibration=THRESHOLD)]
    table, (svm, linear), folds = written(data, chosen, {"folds": 3}, tmp_path)
    assert list(table.columns) == [
        "row",
        "fold",
        "validated",
        "target",
        "svm: label",
        "svm: decision nein",
        "svm: decision ja",
        "linear: label",
        "linear: probability nein",
        "linear: probability ja",
    ]
    assert table["row"].tolist() == list(range(90))
    assert table["validated"].tolist() == [1] * 90
    assert table["target"].tolist() == [data.target.classes[code] for code in data.target.values]
    np.testing.assert_array_equal(
        table[["svm: decision nein", "svm: decision ja"]], svm.predictions
    )
    np.testing.assert_array_equal(
        table[["linear: probability nein", "linear: probability ja"]], linear.predictions
    )
    for number, fold in enumerate(folds):
        part = table.iloc[fold.validation]
        assert set(part["fold"]) == {number}
        for evaluation in (svm, linear):
            own = evaluation.models[number].labels(data.table.take(fold.validation))
            assert part[f"{evaluation.name}: label"].tolist() == own.tolist()
            score = accuracy_score(
                part["target"].astype(str), part[f"{evaluation.name}: label"].astype(str)
            )
            assert evaluation.scores["accuracy"][number] == pytest.approx(score)


def test_rows_that_no_fold_validates_are_null(tmp_path: Path) -> None:
    data = dataset(80)
    table, (found,), (fold,) = written(
        data,
        [candidate({"family": "linear"}, calibration=THRESHOLD)],
        {"scheme": "holdout"},
        tmp_path,
    )
    inside = np.zeros(80, dtype=bool)
    inside[fold.validation] = True
    for name in ("fold", "linear: label", "linear: probability ja"):
        assert table[name].notna().tolist() == inside.tolist()
    assert table["validated"].tolist() == inside.astype(int).tolist()
    np.testing.assert_array_equal(
        table["linear: probability ja"][inside], found.predictions[inside, 1]
    )


def test_means_of_several_folds(tmp_path: Path) -> None:
    data = dataset(60)
    scheme = {"scheme": "repeated", "folds": 2, "repeats": 3}
    table, (found,), folds = written(
        data, [candidate({"family": "linear"}, calibration=THRESHOLD)], scheme, tmp_path
    )
    assert table["validated"].tolist() == [3] * 60
    assert set(table["fold"]) == {0, 1}
    for row in (0, 17, 59):
        own = [m for m, fold in zip(found.models, folds, strict=True) if row in fold.validation]
        assert len(own) == 3
        p = np.mean([model.predict(data.table.take(np.array([row])))[0, 1] for model in own])
        t = np.mean([model.threshold for model in own if model.threshold is not None])
        assert table["linear: probability ja"][row] == pytest.approx(p)
        assert table["linear: label"][row] == ("ja" if p > t else "nein")


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("regression", ["target", "tree: value"]),
        (
            "reconstruction",
            ["target p", "target q", "target r", "mlp: value p", "mlp: value q", "mlp: value r"],
        ),
    ],
)
def test_values(task: Task, columns: list[str], tmp_path: Path) -> None:
    data = dataset(40, task)
    family = "tree" if task == "regression" else "mlp"
    table, (found,), _ = written(
        data, [candidate({"family": family}, train={"epochs": 1})], {"folds": 2}, tmp_path
    )
    assert list(table.columns) == ["row", "fold", "validated", *columns]
    half = len(columns) // 2
    np.testing.assert_array_equal(table[columns[:half]], data.target.values.reshape(40, -1))
    np.testing.assert_array_equal(table[columns[half:]], found.predictions)
