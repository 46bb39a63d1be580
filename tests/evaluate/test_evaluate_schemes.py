"""Schemes at their edges through a whole run: folds of one row, folds of whole groups, folds in
time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.core.errors import RecipeError
from sixfold.recipe.load import from_object


def run(folder: Path, target: str, evaluate: dict[str, Any], **data: Any) -> pipeline.Run:
    rng = np.random.default_rng(0)
    a = rng.normal(size=40)
    frame = pd.DataFrame(
        {
            "a": a,
            "who": np.arange(40) // 4,
            "day": pd.date_range("2026-01-01", periods=40).astype(str),
        }
    )
    frame["class"] = np.where(a + 0.3 * rng.normal(size=40) > 0, "yes", "no")
    frame["value"] = 2 * a + rng.normal(size=40)
    frame.to_csv(folder / "t.csv", index=False)
    unused = [
        name for name in ("class", "value", "who", "day") if name not in (target, *data.values())
    ]
    recipe = from_object(
        {
            "version": 1,
            "data": {"source": str(folder / "t.csv"), "target": target, "drop": unused, **data},
            "build": {"family": "linear"},
            "evaluate": evaluate,
        }
    )
    return pipeline.run(recipe, folder / "run")


@pytest.mark.parametrize(("target", "undefined"), [("class", "roc_auc"), ("value", "r2")])
def test_leave_one_out_leaves_out_what_one_row_does_not_define(
    target: str, undefined: str, tmp_path: Path
) -> None:
    receipt = run(tmp_path, target, {"scheme": "leave_one_out"}).receipt
    for quality in receipt.quality:
        assert len(quality.folds_before) == (
            0 if quality.metric == undefined else receipt.rows_trained
        )
        assert (quality.baseline is None) is (quality.metric == undefined)
        assert quality.holdout_after is not None  # rows enough


def test_what_cannot_decide_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="a first metric that the validation rows of every fold define"
    ):
        run(tmp_path, "class", {"scheme": "leave_one_out", "metrics": ["roc_auc", "accuracy"]})
    assert "stage_started" not in (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("data", [{"group": "who"}, {"time": "day"}])
def test_auto_takes_groups_and_times(data: dict[str, str], tmp_path: Path) -> None:
    receipt = run(tmp_path, "value", {"folds": 3}, **data).receipt
    assert [len(quality.folds_before) for quality in receipt.quality] == [3, 3, 3]
