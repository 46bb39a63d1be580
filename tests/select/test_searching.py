"""A recipe that searches: proposals from its ranges, on the same folds, resumed, in its time;
failures left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sixfold import pipeline
from sixfold.core.errors import FitError, RecipeError
from sixfold.data.load import load
from sixfold.evaluate import cross_validation
from sixfold.evaluate.cross_validation import evaluate_folds
from sixfold.plan.proposals import Proposer
from sixfold.recipe.load import Loaded, from_object

RATE = {"low": 1e-3, "high": 0.3, "log": True}


def recipe(trials: int = 8, **sections: Any) -> Loaded:
    parts: dict[str, Any] = {
        "version": 1,
        "data": {"source": "sklearn:breast_cancer", "target": "target"},
        "build": [
            {
                "family": "svm",
                "kernel": ["linear", "rbf"],
                "C": {"low": 1e-2, "high": 100, "log": True},
            },
            {"family": "mlp", "hidden": [[8], [8, 4]]},
        ],
        "train": {
            "optimizer": {"name": "adam", "learning_rate": RATE},
            "epochs": {"low": 2, "high": 6},
        },
        "evaluate": {
            "folds": 3,
            "metrics": ["accuracy"],
            "search": {"trials": trials, "first_trials": 4},
        },
    }
    return from_object({**parts, **sections})


def proposer(**sections: Any) -> Proposer:
    loaded = recipe(**sections)
    return Proposer(loaded.recipe, load(loaded.recipe.data, None, loaded.base))


def test_corners_are_the_ends_of_every_range() -> None:
    assert [one.name for one in proposer().samples()] == [
        "svm kernel=linear C=0.01",
        "svm kernel=rbf C=100.0",
        "mlp hidden=8 learning_rate=0.001 epochs=2",
        "mlp hidden=8-4 learning_rate=0.3 epochs=6",
    ]


def test_whole_numbers_are_known_inside_of_mappings() -> None:
    train = {
        "optimizer": {"name": "sgd", "momentum": {"low": 0, "high": 0.9}},
        "stop": {"patience": {"low": 1, "high": 5}},
    }
    first, last = proposer(build="mlp", train=train).samples()
    assert (first.train.stop.patience, last.train.stop.patience) == (1, 5)
    assert type(last.train.stop.patience) is int
    assert (first.train.optimizer["momentum"], last.train.optimizer["momentum"]) == (0.0, 0.9)


def test_settings_that_contradict_each_other_are_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    build = {"family": "boosting", "rounds": {"low": 1, "high": 3}}
    with pytest.raises(RecipeError, match="families for reconstruction"):
        data = {"source": "sklearn:digits", "drop": ["target"]}
        pipeline.run(
            recipe(build=build, data=data, task="reconstruction", train={}), tmp_path / "run"
        )
    assert not list((tmp_path / "run").glob("evaluate-*"))


def kinds(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_search_is_a_run_and_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.run(recipe(), tmp_path / "whole")
    planned = [
        event["candidate"]
        for event in kinds(tmp_path / "whole")
        if event["event"] == "candidate_planned"
    ]
    assert 2 < len(planned) <= 8
    assert {one.name for one in whole.leaderboard.standings} == set(planned)
    assert whole.leaderboard.standings[0].mean > 0.93
    for one in whole.leaderboard.standings:
        assert bool(one.dropped) == (len(one.folds) < 3)
    calls = 0

    def killed(*rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return evaluate_folds(*rest)

    monkeypatch.setattr(cross_validation, "evaluate_folds", killed)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(recipe(), tmp_path / "run")
    again = pipeline.run(recipe(), tmp_path / "run")
    folders = list((tmp_path / "whole").glob("evaluate-*"))
    assert calls == 1 + len(
        folders
    )  # the one that was killed is done again, those before it are not
    assert (again.bundle / "model.onnx").read_bytes() == (whole.bundle / "model.onnx").read_bytes()


def test_without_pruning_all_folds_of_a_network_train_as_one(tmp_path: Path) -> None:
    search = {"folds": 3, "metrics": ["accuracy"], "search": {"trials": 3, "prune": "none"}}
    run = pipeline.run(recipe(build="mlp", evaluate=search), tmp_path / "run")
    assert all(len(one.folds) == 3 and not one.dropped for one in run.leaderboard.standings)
    assert sorted(folder.name for folder in (tmp_path / "run").glob("evaluate-*")) == [
        f"evaluate-{at}" for at in range(len(run.leaderboard.standings))
    ]


@pytest.mark.slow
def test_a_search_ends_with_its_time_and_says_so(tmp_path: Path) -> None:
    run = pipeline.run(recipe(trials=10_000, budget={"time": "8s"}), tmp_path / "run")
    assert any(text.startswith("The search ended after") for text in run.warnings)
    assert run.receipt.quality[0].holdout_after is not None


def test_a_rate_that_diverges_is_left_out_alone(tmp_path: Path) -> None:
    """Also of networks that train as one; a run with nothing else fails as it did."""
    train = {"optimizer": {"name": "sgd", "learning_rate": [0.01, 1000]}, "epochs": 3}
    grid = {"folds": 3, "metrics": ["accuracy"]}
    run = pipeline.run(recipe(build="mlp", train=train, evaluate=grid), tmp_path / "run")
    assert [one.name for one in run.leaderboard.standings] == ["mlp learning_rate=0.01"]
    assert any(text.startswith("mlp learning_rate=1000 is left out") for text in run.warnings)
    alone = {"optimizer": {"name": "sgd", "learning_rate": 1000}, "epochs": 3}
    with pytest.raises(FitError, match="learning_rate"):
        pipeline.run(recipe(build="mlp", train=alone, evaluate=grid), tmp_path / "other")
