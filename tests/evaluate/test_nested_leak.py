"""What an outer fold's validation rows hold moves no bit of what its training rows choose and
train.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluating import EVERYTHING, dataset, with_other_rows
from sixfold import pipeline
from sixfold.evaluate.nested import outer_folds
from sixfold.parts import state
from sixfold.parts.table import Dataset
from sixfold.plan.run_context import DataSplit, RunContext, digest
from sixfold.recipe.load import from_object
from sixfold.runs.budget import Limits
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder
from sixfold.runs.stages import Here
from sixfold.select.nested import NestedChoice, nest

TREES = [{"family": "linear"}, {"family": "tree", "max_depth": [1, 3]}]
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "candidates": (TREES, {}),
    "racing": (TREES, {"select": "racing"}),
    "ensemble": (TREES, {"ensemble": True}),
    "auto": ("auto", {}),
    "search": (
        [
            {"family": "linear", "C": {"low": 0.01, "high": 10, "log": True}},
            {"family": "tree", "max_depth": [1, 3]},
        ],
        {"search": {"trials": 5, "first_trials": 3}},
    ),
}
Found = tuple[str, dict[str, float], str, float]


def nested_by(data: Dataset, name: str, folder: Path) -> list[Found]:
    """Of every outer fold that was not done before: who won, its inner means, its fitted state, and
    its outer score.
    """
    build, options = ASKED[name]
    loaded = from_object(
        {
            "version": 1,
            "data": {"source": "frame", "target": "y"},
            "build": build,
            "prepare": EVERYTHING,
            "evaluate": {
                "scheme": "kfold",
                "folds": 2,
                "nested": 3,
                "metrics": ["log_loss"],
                **options,
            },
        }
    )
    chosen: dict[int, NestedChoice] = {}

    def choose(work: RunContext, rows: DataSplit) -> Any:
        number = int(work.context.facts["outer"])
        chosen[number] = yield from pipeline.choose_again(work, rows)
        return chosen[number]

    with RunFolder(folder) as run:
        work = RunContext(loaded, run, Limits.start(loaded.recipe.budget), Context(3, run.emit))
        rows = DataSplit(data, data.take(np.empty(0, dtype=np.int64)), digest(data))
        found = Here(run).complete(nest(work, rows, ("log_loss",), choose))
    assert found is not None
    return [
        (
            found.folds[number].chosen,
            each.evaluation.means(),
            state.digest(each.model),
            found.folds[number].score,
        )
        for number, each in chosen.items()
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "candidates" else pytest.mark.slow) for name in ASKED],
)
def test_outer_validation_rows_move_no_bit(name: str, tmp_path: Path) -> None:
    """Another target, other values, new levels and levels in another order: the fold chooses and
    trains as it did.
    """
    data = dataset(90)
    before = nested_by(data, name, tmp_path / "before")
    fold = outer_folds(
        from_object(
            {
                "version": 1,
                "data": {"source": "frame", "target": "y"},
                "evaluate": {"scheme": "kfold", "nested": 3},
            }
        ).recipe.evaluate,
        data,
    )[1]
    after = nested_by(with_other_rows(data, fold.validation), name, tmp_path / "after")
    assert before[1][:3] == after[1][:3]
    assert before[1][3] != after[1][3]  # they score it, and nothing else
    for other in (0, 2):  # where they train, the change is seen
        assert before[other][2] != after[other][2]


@pytest.mark.slow
def test_an_outer_fold_depends_on_no_other(tmp_path: Path) -> None:
    """Folds 1 and 3 done after fold 2 find what they found in turn."""
    data = dataset(90)
    whole = nested_by(data, "candidates", tmp_path / "run")
    for name in ("nested-0", "nested-2"):
        shutil.rmtree(tmp_path / "run" / name)
    assert nested_by(data, "candidates", tmp_path / "run") == [whole[0], whole[2]]
