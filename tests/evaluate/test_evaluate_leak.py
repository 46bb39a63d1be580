"""Through the whole path, every splitter, every fold: what the fold's validation rows hold moves no
bit of its model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluating import EVERYTHING, candidate, dataset, saved, with_other_rows
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_cache import FoldCache
from sixfold.evaluate.folds import make
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.prepare import preparer
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context

# leave_last is of interactions: tests/evaluate/test_recommenders.py
SPLITTERS = [name for name in SPLITTER.names() if name != "leave_last"]
OPTIONS: dict[str, dict[str, Any]] = {
    "repeated": {"folds": 2, "repeats": 2},
    "holdout": {},
    "leave_one_out": {},
}


def rows_and_folds(scheme: str) -> tuple[Dataset, list[Fold]]:
    data = dataset(24 if scheme == "leave_one_out" else 80)
    rows = data.table.rows
    data = replace(data, times=np.arange(rows)[::-1].astype(np.float64))
    if scheme == "group":
        data = replace(data, groups=np.arange(rows) % 9)
    return data, make(Evaluate(scheme=scheme, **OPTIONS.get(scheme, {"folds": 3})), data)


@pytest.mark.parametrize("family", ["linear", "tree"])
@pytest.mark.parametrize("scheme", SPLITTERS)
def test_validation_rows_move_no_bit(scheme: str, family: str, tmp_path: Path) -> None:
    data, folds = rows_and_folds(scheme)
    folds = folds if scheme != "leave_one_out" else folds[:3]
    chosen = candidate({"family": family}, EVERYTHING)
    models = cross_validate(chosen, data, folds, ["accuracy"], Context(seed=4), FoldCache()).models
    for number, fold in enumerate(folds):
        other = with_other_rows(data, fold.validation)
        again = cross_validate(
            chosen, other, folds[: number + 1], ["accuracy"], Context(seed=4)
        ).models[number]
        before = saved(models[number], tmp_path / f"before-{number}")
        assert before == saved(again, tmp_path / f"after-{number}"), f"fold {number}"
        if number and scheme != "time_series":  # where these rows train, the change is seen
            moved = cross_validate(chosen, other, folds[:1], ["accuracy"], Context(seed=4)).models[
                0
            ]
            assert saved(moved, tmp_path / f"moved-{number}") != saved(
                models[0], tmp_path / f"first-{number}"
            )


def labels_of_chance(seed: int, rows: int = 900) -> Dataset:
    """A category with three rows a level, forty columns of noise, labels that depend on nothing."""
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": Column("number", rng.normal(size=rows)) for i in range(40)}
    levels = tuple(f"v{i}" for i in range(300))
    columns["many"] = Column("category", rng.integers(0, 300, rows).astype(np.int32), levels)
    return Dataset(
        Table(columns, rows), Target("classification", rng.integers(0, 2, rows), ("y",), ("a", "b"))
    )


@pytest.mark.parametrize("family", ["linear", "tree"])
@pytest.mark.parametrize("select", ["mutual_information", "model_importance"])
def test_shuffled_labels_are_chance(select: str, family: str) -> None:
    """Target encoding without smoothing and a selection of 3 of 41 columns are on, and whisper
    nothing.
    """
    data = labels_of_chance(1)
    features = {
        "category": {"name": "target", "smoothing": 0.0},
        "select": {"name": select, "keep": 3},
    }
    build = {"family": family, **({"max_depth": 4} if family == "tree" else {})}
    found = cross_validate(
        candidate(build, {"features": features}),
        data,
        make(Evaluate(), data),
        ["accuracy", "roc_auc"],
        Context(),
    )
    assert abs(found.means()["accuracy"] - 0.5) < 3 * 0.5 / np.sqrt(900)
    assert abs(found.means()["roc_auc"] - 0.5) < 0.06


def test_the_test_of_chance_would_see_a_leak() -> None:
    """The same rows, prepared once before they are divided, as it must not be: far above chance."""
    data = labels_of_chance(1)
    chosen = candidate(
        {"family": "linear"}, {"features": {"category": {"name": "target", "smoothing": 0.0}}}
    )
    fitted, _, _ = preparer.fit(data.table, data.target, chosen.prepare, chosen.family.needs, 0)
    x = np.asarray(fitted.transform(data.table), dtype=np.float64)
    leaked = Table(
        {f"f{i}": Column("number", x[:, i].copy()) for i in range(x.shape[1])}, data.table.rows
    )
    prepared = replace(data, table=leaked)
    found = cross_validate(
        candidate({"family": "linear"}), prepared, make(Evaluate(), data), ["accuracy"], Context()
    )
    assert found.means()["accuracy"] > 0.6
