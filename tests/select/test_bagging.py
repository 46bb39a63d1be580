"""The mean of the winner's fold models: compared with one model on rows that neither has seen, served where it is better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

import sixfold
from evaluating import candidate, dataset
from sixfold import pipeline
from sixfold.compress import served_cost
from sixfold.core.errors import BudgetError, DataError
from sixfold.data.load import from_frame
from sixfold.evaluate.averaged import Averaged
from sixfold.evaluate.cross_validation import FoldScoresOfAll, cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import fit_model
from sixfold.plan.run_context import Plan
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context
from sixfold.select import bagging
from sixfold.select.bagging import Bag
from sixfold.select.ensemble import Blend, ChosenMembers, blend
from sixfold.select.served_limits import ServedCost

DEEP = {"family": "tree", "min_rows_leaf": 1, "complexity": 0.0}
SHRUNK = {"family": "linear", "alpha": 30.0}  # the more rows, the less


def frame(noise: float) -> pd.DataFrame:
    """Values on a line: with noise a deep tree varies, without a shrunk line errs less by every row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3)).round(3)
    y = x @ [1.0, 2.0, -1.0] + noise * rng.normal(size=150)
    return pd.DataFrame(x, columns=list("abc")).assign(y=y)


def run(folder: Path, build: Any, noise: float = 1.0, **sections: Any) -> pipeline.Run:
    recipe = from_object(
        {
            "version": 1,
            "build": build,
            "data": {"source": "frame", "target": "y", "holdout": 0.2},
            "evaluate": {"folds": 4, "metrics": ["rmse"], "bag": True},
            **sections,
        }
    )
    rows = from_frame(frame(noise), recipe.recipe.data, None)
    return pipeline.run(recipe, folder, dataset=rows)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def about_the_bag(done: pipeline.Run) -> list[str]:
    return [text for text in done.receipt.how if text.startswith("The model is the mean of")]


def chosen(data: Any, folds: Any, *builds: dict[str, Any]) -> ChosenMembers:
    made = [candidate(build) for build in builds]
    parts = [cross_validate(one, data, folds, ["log_loss"], Context()) for one in made]
    weights = np.arange(1.0, len(made) + 1)
    weighted = Blend(tuple((weights / weights.sum()).tolist()), None)
    return ChosenMembers(tuple(made), tuple(parts), weighted)


@pytest.mark.parametrize("models", [4, 2])
def test_both_are_scored_on_rows_that_they_have_not_seen(models: int) -> None:
    data = dataset(120)
    folds = tuple(make(Evaluate(folds=4), data))
    members = chosen(data, folds, {"family": "linear", "C": 0.01}, {"family": "linear", "C": 10})
    plan = Plan(members.candidates, folds, ("log_loss",), {})
    found = bagging.compared(data, plan, members, models, Context())

    few, alone = np.zeros((min(models, 3), 120, 2)), np.zeros((120, 2))
    for at, fold in enumerate(folds):
        others = [(at + step) % 4 for step in range(1, min(models, 3) + 1)]
        weights = blend(members.parts, data.target, fold.train, "log_loss").weights
        for weight, one, part in zip(weights, members.candidates, members.parts, strict=True):
            alone[fold.validation] += weight * part.predictions[fold.validation]
            for place, other in enumerate(others):
                rows = np.setdiff1d(fold.train, folds[other].validation)
                model = fit_model(one, data.take(rows), Context())
                answers = model.predict(data.table.take(fold.validation))
                few[place, fold.validation] += weight * answers
    assert found.score == pytest.approx(log_loss(data.target.values, few.mean(axis=0)))
    each = [log_loss(data.target.values, answers) for answers in few]
    assert found.few == pytest.approx(np.mean(each))
    assert found.alone == pytest.approx(log_loss(data.target.values, alone))
    assert (found.models, found.folds, found.metric) == (models, 4, "log_loss")


def test_what_averaging_gains_is_compared_with_what_more_rows_gain() -> None:
    """An error of a + b / rows of one model, of which averaging J takes v / rows (1 - 1 / J)."""
    for folds in (3, 5, 10):
        for models in range(2, folds + 1):
            compared = min(models, folds - 1)
            for b, v in ((1.0, 0.1), (1.0, 0.9), (3.0, 0.5), (1.0, 0.4)):
                for a in (0.0, 2.0):
                    fewer, less = (folds - 2) / folds, (folds - 1) / folds
                    few, alone = a + b / fewer, a + b / less
                    mean = few - v / fewer * (1 - 1 / compared)
                    served = a + b / less - v / less * (1 - 1 / models)
                    better = served < a + b - 1e-9
                    assert Bag(models, folds, "rmse", mean, few, alone, None).is_better == better
                    scores = 9 - mean, 9 - few, 9 - alone
                    assert Bag(models, folds, "accuracy", *scores, None).is_better == better
    assert not Bag(4, 4, "rmse", 1.0, 1.0, 1.0, None).is_better
    assert not Bag(4, 4, "rmse", float("nan"), 1.0, 1.0, None).is_better


def test_a_fold_is_answered_for_by_as_many_models_as_are_served() -> None:
    for folds in range(3, 8):
        for models in range(2, folds + 1):
            pairs = bagging.pairs_of(folds, models)
            assert len(set(pairs)) == len(pairs)
            assert all(one.first < one.second for one in pairs)
            for at in range(folds):
                places = bagging._of(pairs, at, folds, models)
                assert len(set(places)) == len(places) == min(models, folds - 1)
                assert all(at in pairs[place] for place in places)
        assert len(bagging.pairs_of(folds, folds)) == folds * (folds - 1) // 2


def test_a_class_without_rows_outside_of_two_folds_is_told() -> None:
    data, at = dataset(40, classes=("a", "b", "c")), np.arange(40)
    y = np.where(at < 2, 2, at // 2 % 2)  # the class c in the first two folds
    data = replace(data, target=replace(data.target, values=y))
    folds = [Fold(np.flatnonzero(at % 4 != own), np.flatnonzero(at % 4 == own)) for own in range(4)]
    found = bagging._without(folds, bagging.FoldPair(0, 2), data)
    np.testing.assert_array_equal(found.train, np.flatnonzero(at % 2 == 1))
    np.testing.assert_array_equal(found.validation, np.flatnonzero(at % 2 == 0))
    with pytest.raises(DataError, match=r"rows of every class outside of any two folds"):
        bagging._without(folds, bagging.FoldPair(0, 1), data)


def test_the_mean_is_served_where_it_is_better(tmp_path: Path) -> None:
    done = run(tmp_path, DEEP)
    (text,) = about_the_bag(done)
    assert text.startswith(
        "The model is the mean of 4 fold models, none of which has seen all rows. On rows that none has seen the mean "
        "of models without two folds scored "
    )
    (part,) = FoldScoresOfAll.load(tmp_path / "evaluate-0").parts
    recipe = from_object({"version": 1, "data": {"source": "frame", "target": "y"}}).recipe
    rows = frame(1.0)
    table = from_frame(rows, recipe.data, None).table
    mean = np.mean([model.predict(table) for model in part.models], axis=0)
    found = sixfold.load(done.bundle).predict(rows.drop(columns="y")).values
    assert found is not None
    np.testing.assert_allclose(found, mean, atol=1e-6)
    assert any(
        "The mean of 4 fold models is served." in e["text"] for e in events(tmp_path, "note")
    )

    started = len(events(tmp_path, "stage_started"))
    again = run(tmp_path, DEEP)
    assert again.receipt == done.receipt
    assert len(events(tmp_path, "stage_started")) == started


@pytest.mark.slow
def test_equal_recipes_give_equal_bytes_and_an_ensemble_is_bagged_as_one(tmp_path: Path) -> None:
    evaluate = {"folds": 3, "metrics": ["rmse"], "bag": True, "ensemble": True}
    build = [DEEP, {**DEEP, "max_depth": 3}]
    first, second = (run(tmp_path / name, build, evaluate=evaluate) for name in ("one", "two"))
    assert first.receipt.candidate == "ensemble"
    assert about_the_bag(first) == about_the_bag(second) != []
    graphs = [(each.bundle / "model.onnx").read_bytes() for each in (first, second)]
    assert graphs[0] == graphs[1]


def test_one_model_is_trained_where_that_is_better_and_where_nothing_is_asked(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, SHRUNK, noise=0.0)
    assert not about_the_bag(done)
    assert any("The winner is trained again" in event["text"] for event in events(tmp_path, "note"))
    done = run(tmp_path / "plain", DEEP, evaluate={"folds": 4, "metrics": ["rmse"]})
    assert not about_the_bag(done)
    assert not (tmp_path / "plain" / "bag").exists()


@pytest.mark.slow
def test_fold_models_leave_for_the_limits_and_the_receipt_says_so(tmp_path: Path) -> None:
    one = run(tmp_path / "one", DEEP, evaluate={"folds": 4, "metrics": ["rmse"]})
    size = one.receipt.after.file_bytes
    few = run(tmp_path / "few", DEEP, budget={"bundle": f"{round(4.1 * size)}B"})
    (text,) = about_the_bag(few)
    assert text.startswith("The model is the mean of 3 fold models")
    assert text.endswith(
        "1 of 4 are left out: with them it takes more than 67% of budget.bundle or budget.latency, as measured on a fold's "
        "models."
    )
    assert few.receipt.after.file_bytes <= 4.1 * size
    none = run(tmp_path / "none", DEEP, budget={"bundle": f"{round(1.5 * size)}B"})
    assert not about_the_bag(none)
    notes = [event["text"] for event in events(tmp_path / "none", "note")]
    assert any(text.startswith("No mean of fold models: two of them take more") for text in notes)


def test_where_the_mean_takes_more_than_was_expected_one_model_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = served_cost.served_cost

    def large(model: Any, *given: Any) -> ServedCost:
        return (
            ServedCost(10**9, None) if isinstance(model.fitted, Averaged) else plain(model, *given)
        )

    monkeypatch.setattr(served_cost, "served_cost", large)
    done = run(tmp_path, DEEP, budget={"bundle": "1MB"})
    assert not about_the_bag(done)
    notes = [event["text"] for event in events(tmp_path, "note")]
    assert any(text.startswith("The mean of fold models is not chosen: its") for text in notes)
    assert done.receipt.candidate == "tree"


@pytest.mark.slow
def test_without_time_to_compare_one_model_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bagging, "compared_s", lambda needed_s, folds: 1e6)
    done = run(tmp_path, DEEP, budget={"time": "10m"})
    assert not about_the_bag(done)
    (note,) = [e for e in events(tmp_path, "note") if e["text"].startswith("No mean of fold")]
    assert note["cut"]
    monkeypatch.undo()
    assert about_the_bag(run(tmp_path, DEEP, budget={"time": "10m"}))


def test_a_comparison_that_the_time_cuts_short_is_none() -> None:
    data = dataset(60)
    folds = tuple(make(Evaluate(folds=3), data))
    members = chosen(data, folds, {"family": "mlp", "hidden": [4]})
    plan = Plan(members.candidates, folds, ("log_loss",), {})
    with pytest.raises(BudgetError):
        bagging.compared(data, plan, members, 3, Context(deadline=0.0))
