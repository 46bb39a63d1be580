"""A run whose winner is the ensemble: one bundle, killed and continued, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sixfold
from sixfold import pipeline
from sixfold.recipe.load import Loaded, from_object
from sixfold.recipe.schema import Compress, Evaluate


def recipe(train: dict[str, Any], **evaluate: Any) -> Loaded:
    loaded = from_object({
        "version": 1, "build": [{"family": "svm"}, {"family": "linear"}, {"family": "boosting", "rounds": 40}],
        "data": {"source": "sklearn:breast_cancer", "target": "target", "holdout": 0.2},
    })  # fmt: skip
    asked = {"train": train, "evaluate": Evaluate(folds=3, **evaluate), "compress": Compress()}
    return replace(loaded, recipe=loaded.recipe.model_copy(update=asked))


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    from sixfold.runs.folder import RunFolder

    with RunFolder(folder) as run:
        return [event for event in run.history() if event["event"] == kind]


def test_the_ensemble_wins_is_served_and_is_not_compressed(tmp_path: Path) -> None:
    asked = recipe({"calibrate": "platt", "threshold": "mcc"}, metrics=("log_loss", "mcc"), ensemble=True)
    run = pipeline.run(asked, tmp_path / "run")
    standings = {standing.name: standing.mean for standing in run.leaderboard.standings}
    assert set(standings) == {"svm", "linear", "boosting", "ensemble"}
    assert run.leaderboard.standings[0].name == run.receipt.candidate == "ensemble"
    (step,) = run.receipt.steps
    assert not step.accepted
    assert step.why.endswith("is not compressed")
    table = pd.read_parquet(tmp_path / "run" / "outcome" / "out_of_fold.parquet")
    assert len(table) == run.receipt.rows_trained
    assert {"svm: probability benign", "ensemble: label", "boosting: label"} <= set(table.columns)
    bundle = sixfold.load(run.bundle)
    rows = [dict.fromkeys((each.name for each in bundle.signature.inputs), 1.0)]
    predictions = bundle.predict(rows)
    assert predictions.probabilities is not None
    np.testing.assert_allclose(predictions.probabilities.sum(), 1)
    quality = run.receipt.quality[0]
    assert quality.holdout_after is not None
    assert quality.holdout_after < 0.25

    started = len(events(tmp_path / "run", "stage_started"))
    again = pipeline.run(asked, tmp_path / "run")
    assert again.receipt == run.receipt
    assert len(events(tmp_path / "run", "stage_started")) == started  # nothing is done twice


def test_an_ensemble_of_one_is_none(tmp_path: Path) -> None:
    asked = recipe({}, metrics=("accuracy",), ensemble=True)
    two = replace(asked, recipe=asked.recipe.model_copy(update={"build": asked.recipe.build[:2], "compress": None}))
    run = pipeline.run(two, tmp_path / "run")
    assert {standing.name for standing in run.leaderboard.standings} == {"svm", "linear"}
    said = [event["text"] for event in events(tmp_path / "run", "said")]
    assert "No ensemble: it takes two candidates or more." in said
    assert any(text.startswith("svm is no member of the ensemble") for text in said)
