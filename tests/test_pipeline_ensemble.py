"""A run whose winner is the ensemble: one bundle, continued without doing a thing twice, and what
it leaves behind.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sixfold
from sixfold import pipeline
from sixfold.recipe.compression import Compress
from sixfold.recipe.load import Loaded, from_object
from sixfold.recipe.schema import Evaluate
from sixfold.runs.folder import RunFolder

BOTH = ("log_loss", "f1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the target is a straight line, half a corner: each candidate knows one of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    score = x[:, 0] + x[:, 1] + 2.5 * ((x[:, 2] > 0) & (x[:, 3] > 0)) + 0.7 * rng.normal(size=600)
    table = pd.DataFrame(x, columns=list("abcde")).assign(town=rng.choice(["Bern", "Köln"], 600))
    table["bought"] = np.where(score > np.quantile(score, 0.7), "yes", "no")
    path = tmp_path_factory.mktemp("data") / "t.csv"
    table.to_csv(path, index=False)
    return path


def recipe(
    source: Path,
    build: list[dict[str, Any]] | str,
    compress: Compress | None = None,
    train: dict[str, Any] | None = None,
    **evaluate: Any,
) -> Loaded:
    loaded = from_object(
        {
            "version": 1,
            "build": build,
            "data": {"source": str(source), "target": "bought", "holdout": 0.2},
        }
    )
    section = Evaluate(folds=3, ensemble=True, **evaluate)
    asked = {"train": train or {}, "evaluate": section, "compress": compress}
    return replace(loaded, recipe=loaded.recipe.model_copy(update=asked))


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    with RunFolder(folder) as run:
        return [event for event in run.history() if event["event"] == kind]


@pytest.mark.slow
def test_the_ensemble_wins_is_served_and_is_not_compressed(source: Path, tmp_path: Path) -> None:
    build = [{"family": "linear"}, {"family": "forest", "trees": 40}, {"family": "svm"}]
    asked = recipe(source, build, Compress(), metrics=BOTH, calibrate="platt", threshold="f1")
    run = pipeline.run(asked, tmp_path / "run")
    names = [standing.name for standing in run.leaderboard.standings]
    assert sorted(names) == ["ensemble", "forest", "linear", "svm"]
    assert names[0] == run.receipt.candidate == "ensemble"
    (step,) = run.receipt.steps
    assert not step.accepted
    assert step.why.endswith("is not compressed")
    table = pd.read_parquet(tmp_path / "run" / "outcome" / "out_of_fold.parquet")
    assert len(table) == run.receipt.rows_trained
    assert {"svm: probability yes", "ensemble: label", "forest: label"} <= set(table.columns)

    bundle = sixfold.load(run.bundle)
    rows = pd.read_csv(source)
    found = bundle.predict(rows.drop(columns="bought"))
    assert found.labels is not None
    assert found.probabilities is not None
    (notes,) = (
        e["text"]
        for e in events(tmp_path / "run", "note")
        if e["text"].startswith("Labels: yes where")
    )
    assert any(e["text"].startswith("Ensemble: 0.") for e in events(tmp_path / "run", "note"))
    threshold = float(notes.rstrip(".").rpartition(" ")[2])
    clear = np.abs(found.probabilities[:, 1] - threshold) > 1e-3
    assert (
        found.labels[clear] == np.where(found.probabilities[clear, 1] > threshold, "yes", "no")
    ).all()
    assert np.mean(found.labels == rows["bought"]) > 0.8

    started = len(events(tmp_path / "run", "stage_started"))
    again = pipeline.run(asked, tmp_path / "run")
    assert again.receipt == run.receipt
    assert len(events(tmp_path / "run", "stage_started")) == started


@pytest.mark.slow
def test_members_leave_for_the_latency_and_the_receipt_says_so(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three members of a quarter of the limit each: two have half of it."""
    monkeypatch.setattr("sixfold.compress.served_cost.one_row_ms", lambda *given: 1000.0)
    chosen = np.array([0.1, 0.85, 0.05])  # near the best, and all of them
    monkeypatch.setattr("sixfold.select.ensemble.select", lambda predictions, score: chosen.copy())
    build = [{"family": "linear"}, {"family": "forest", "trees": 40}, {"family": "svm"}]
    asked = recipe(source, build, metrics=BOTH, calibrate="platt", threshold="f1")

    def weights(latency: str) -> tuple[set[str], tuple[str, ...]]:
        budget = asked.recipe.budget.model_copy(update={"latency": latency})
        limited = replace(asked, recipe=asked.recipe.model_copy(update={"budget": budget}))
        run = pipeline.run(limited, tmp_path / latency)
        assert run.receipt.candidate == "ensemble"
        told = [event["text"] for event in events(run.folder, "note")]
        (found,) = (text for text in told if text.startswith("Ensemble: "))
        return {one["family"] for one in build if f"· {one['family']}" in found}, run.receipt.how

    every, told = weights("60s")
    assert len(every) == 3 and not any("leaves out" in text for text in told)
    fewer, told = weights("4s")
    (line,) = (text for text in told if text.startswith("The ensemble leaves out"))
    assert every - fewer == {line.removeprefix("The ensemble leaves out ").partition(":")[0]}
    assert len(fewer) == 2


def test_an_ensemble_of_one_is_none(source: Path, tmp_path: Path) -> None:
    run = pipeline.run(
        recipe(source, [{"family": "svm"}, {"family": "linear"}], metrics=("accuracy",)),
        tmp_path / "run",
    )
    assert {standing.name for standing in run.leaderboard.standings} == {"svm", "linear"}
    notes = [event["text"] for event in events(tmp_path / "run", "note")]
    assert "No ensemble: it takes two candidates or more." in notes
    assert any(text.startswith("svm is no member of the ensemble") for text in notes)


@pytest.mark.slow
def test_the_kernel_machine_of_auto_has_probabilities_and_is_a_member(
    source: Path, tmp_path: Path
) -> None:
    run = pipeline.run(recipe(source, "auto", train={"epochs": 2}, metrics=BOTH), tmp_path / "run")
    (svm,) = [standing for standing in run.leaderboard.standings if standing.name == "svm"]
    assert 0.1 < svm.mean < 0.6931  # log loss, of chance
    assert not any("is no member" in event["text"] for event in events(tmp_path / "run", "note"))
