"""`build: auto` with a time budget: a portfolio, a search around its best, and their mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.build import auto
from sixfold.build.auto import PortfolioEntry
from sixfold.build.candidate import Candidate
from sixfold.data.load import from_frame
from sixfold.plan.candidates import Draft, candidate
from sixfold.plan.suggest import FieldKinds, suggest
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.load import from_object
from sixfold.select import around
from sixfold.select.around import AroundBases


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two families, one further setting, few trials."""
    monkeypatch.setattr(auto, "_for_tables", lambda rows: [("linear", {}, "a"), ("tree", {}, "b")])
    entry = PortfolioEntry("linear", {"alpha": 0.1}, "less of a penalty")
    monkeypatch.setattr(auto, "PORTFOLIO", (entry,))
    monkeypatch.setattr(around, "TRIALS", 6)
    monkeypatch.setattr(around, "FIRST_TRIALS", 2)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).round(3)
    y = np.where(x[:, 0] + (x[:, 1] > 0) + 0.7 * rng.normal(size=120) > 0.5, "yes", "no")
    return pd.DataFrame(x, columns=list("abcd")).assign(y=y)


def run(folder: Path, time: str = "10m", **sections: Any) -> pipeline.Run:
    recipe = from_object(
        {
            "version": 1,
            "build": "auto",
            "data": {"source": "frame", "target": "y", "holdout": 0.2},
            "evaluate": {"folds": 3, "metrics": ["log_loss"]},
            "budget": {"time": time},
            **sections,
        }
    )
    return pipeline.run(recipe, folder, dataset=from_frame(frame(), recipe.recipe.data, None))


def notes(folder: Path) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines())
    found = [event for event in lines if event["event"] == "note"]
    return [event for event in found if event["text"].startswith("The search ended")]


@pytest.mark.slow
def test_it_tries_the_portfolio_then_around_the_best_then_the_mean(tmp_path: Path) -> None:
    done = run(tmp_path / "one")
    standings = {one.name: one for one in done.leaderboard.standings}
    assert {"linear", "linear alpha=0.1", "tree", "ensemble"} < set(standings)
    assert len(standings) == 4 + 6  # no proposal comes twice here
    assert {one.family for one in standings.values()} == {"linear", "tree", "ensemble"}
    (note,) = notes(tmp_path / "one")
    assert note["text"].startswith("The search ended after 6 trials")
    assert note["text"].endswith("more time is not expected to help.")
    assert not note.get("cut")

    again = run(tmp_path / "two")  # another folder, the same recipe: the same bytes
    assert {one.name: one.folds for one in again.leaderboard.standings} == {
        name: one.folds for name, one in standings.items()
    }
    first, second = ((each.bundle / "model.onnx").read_bytes() for each in (done, again))
    assert first == second

    more = run(tmp_path / "one")  # and what is done is not done again
    assert more.receipt == done.receipt


def test_it_stops_where_nothing_gets_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(around, "PATIENCE", 2)
    monkeypatch.setattr(
        around, "_best", lambda plan, evaluations: 0.0
    )  # a log loss of 0 is the best
    run(tmp_path)
    (note,) = notes(tmp_path)
    assert note["text"] == (
        "The search ended after 2 trials, 2 in a row brought nothing better: more time is not expected to help."
    )


def test_it_says_so_where_the_time_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixfold.select.comparison.TrialClock.is_past", lambda clock: True)
    done = run(tmp_path)
    (note,) = notes(tmp_path)
    assert note["cut"]
    assert note["text"].startswith("The search ended after 0 trials: no time for another one.")
    assert len(done.leaderboard.standings) == 4


def test_neither_without_a_time_nor_with_families_named(tmp_path: Path) -> None:
    done = run(tmp_path / "free", budget={})
    assert {one.name for one in done.leaderboard.standings} == {"linear", "tree"}
    done = run(tmp_path / "named", build=["linear", "tree"])
    assert {one.name for one in done.leaderboard.standings} == {"linear", "tree"}
    assert not notes(tmp_path / "named")


@pytest.mark.slow
def test_what_is_compressed_has_no_ensemble_unless_it_is_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, compress={"keep": {"log_loss": 0.5}})
    assert "ensemble" not in {one.name for one in done.leaderboard.standings}


@pytest.mark.slow
def test_an_outer_fold_chooses_as_the_run_does(tmp_path: Path) -> None:
    done = run(tmp_path, evaluate={"folds": 2, "metrics": ["log_loss"], "nested": 2})
    assert done.receipt.nested is not None
    assert len(done.receipt.nested.folds) == 2
    assert all(fold.candidates > 4 for fold in done.receipt.nested.folds)


def built(family: str, options: dict[str, Any]) -> Candidate:
    recipe = from_object({"version": 1, "data": {"source": "a.csv", "target": "y"}}).recipe
    data = from_frame(frame(), recipe.data, None)
    return candidate(recipe, data.target, family, Draft((family, options, ""), {}, {}))


@pytest.mark.parametrize("family", sorted(auto.KNOBS))
def test_ranges_lie_around_the_candidate_and_can_be_made(family: str) -> None:
    settings = FAMILY.load(family)
    for options in ({}, *(one.options for one in PORTFOLIO if one.family == family)):
        own = settings(**options).model_dump()
        ranges = auto.around(family, own)
        assert ranges
        for name, asked in ranges.items():
            factor = auto.KNOBS[family][name].factor
            if factor is not None and isinstance(own[name], int | float):
                assert asked["low"] <= own[name] <= asked["high"]
                assert asked["high"] / asked["low"] <= factor**2 * 2
        kinds = FieldKinds(lambda key: False, lambda key: auto.KNOBS[family][key].whole)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(5):
            settings(**{**own, **suggest(study.ask(), ranges, kinds)})


PORTFOLIO = auto.PORTFOLIO  # before a test makes it smaller


def test_equal_settings_have_equal_names_and_others_have_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = built("tree", {})
    propose = AroundBases([base], {"tree": None})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    first = propose(study.ask())
    fixed = optuna.trial.FixedTrial({"0.complexity": 0.004, "0.min_rows_leaf": 7})
    one, two = propose(fixed), propose(fixed)
    assert one.name == two.name == "tree complexity=0.004 min_rows_leaf=7"
    assert one.key() == two.key() != first.key()
    assert one.why == "a search around tree"
    assert replace(one, name="x").key() == one.key()
    held = AroundBases([base], {one.name: None})
    assert held(fixed).name == f"{one.name} #2"
