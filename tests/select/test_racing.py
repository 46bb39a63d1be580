"""A recipe that races: who is dropped, by what the run hands over, in a run that was killed,
whatever the holdout.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold import pipeline
from sixfold.data.load import load
from sixfold.evaluate import cross_validation
from sixfold.evaluate.cross_validation import evaluate_folds
from sixfold.recipe.load import Loaded, from_object
from sixfold.select import comparison
from sixfold.select.selecting import Scored


def recipe(metric: str = "log_loss", **options: Any) -> Loaded:
    return from_object(
        {
            "version": 1,
            "data": {"source": "sklearn:breast_cancer", "target": "target"},
            "build": [
                {"family": "linear", "C": [1e-6, 1e-4, 1e-2, 0.1, 0.3, 1, 3, 10]},
                {"family": "tree", "max_depth": [1, 2, 4]},
            ],
            "evaluate": {
                "folds": 6,
                "metrics": [metric],
                "select": {"method": "racing", **options},
                "ensemble": True,
            },
        }
    )


def found(run: pipeline.Run) -> list[Any]:
    return [(one.name, one.mean, one.folds, one.dropped) for one in run.leaderboard.standings]


@pytest.mark.slow
def test_a_race_is_a_run_and_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.run(recipe(), tmp_path / "whole")
    dropped = [one for one in whole.leaderboard.standings if one.dropped]
    assert any(
        len(one.folds) == 2 and "behind the leader on 2 of 6 folds" in one.dropped
        for one in dropped
    )
    assert not whole.leaderboard.standings[0].dropped
    calls = 0

    def killed(*rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:  # after two families' first two folds, and one fold of the first family
            raise KeyboardInterrupt
        return evaluate_folds(*rest)

    monkeypatch.setattr(cross_validation, "evaluate_folds", killed)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(recipe(), tmp_path / "killed")
    monkeypatch.undo()
    again = pipeline.run(recipe(), tmp_path / "killed")
    assert found(again) == found(whole)
    assert (again.bundle / "model.onnx").read_bytes() == (whole.bundle / "model.onnx").read_bytes()


@pytest.mark.slow
def test_the_holdout_moves_no_decision(tmp_path: Path) -> None:
    loaded = recipe()
    data = load(loaded.recipe.data, None, loaded.base)
    held_out = pipeline.holdout.split(data, loaded.recipe.data)[1]
    order = np.arange(data.table.rows)
    order[held_out] = held_out[::-1]  # other measurements to the same labels
    other = replace(data, table=data.table.take(order))
    runs = [
        pipeline.run(loaded, tmp_path / name, dataset=each)
        for name, each in (("as it is", data), ("other", other))
    ]
    assert found(runs[0]) == found(runs[1])
    assert runs[0].receipt.quality[0].holdout_after != runs[1].receipt.quality[0].holdout_after


@pytest.mark.parametrize(
    ("metric", "pieces"),
    [
        ("log_loss", 16),
        pytest.param("accuracy", 16, marks=pytest.mark.slow),
        ("roc_auc", 0),
    ],
)
def test_pieces_are_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, pieces: int
) -> None:
    """Their mean, weighted by their rows, is the fold's score; of a metric that is no mean there
    are none.
    """
    seen: list[Scored] = []
    plain = comparison.Comparison.score

    def kept(self: comparison.Comparison, *rest: Any) -> Any:
        seen.append((yield from plain(self, *rest)))
        return seen[-1]

    monkeypatch.setattr(comparison.Comparison, "score", kept)
    pipeline.run(recipe(metric), tmp_path / "run")
    if not pieces:
        assert all(each.pieces is None for each in seen)
        return
    rows = round(455 / 6)
    weights = np.bincount(np.arange(rows) % pieces)
    for each in seen:
        assert each.pieces is not None
        assert each.pieces.shape == (*each.folds.shape, pieces)
        np.testing.assert_allclose(
            np.average(each.pieces, axis=2, weights=weights), each.folds, rtol=0.02
        )
    events = [
        json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert {event["folds"] for event in events if event["event"] == "candidate_dropped"} <= set(
        range(2, 6)
    )
