"""`optimizer: auto` and `learning_rate: auto` from the recipe to the bundle: names, folds, search,
forecast, schedule.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.core.errors import RecipeError
from sixfold.data.load import from_frame
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.parts.table import Dataset
from sixfold.plan import forecast
from sixfold.plan.candidates import resolve
from sixfold.recipe.load import Loaded, from_object
from sixfold.recipe.schema import Data
from sixfold.runs.context import Context
from sixfold.train import range_test

Events = list[dict[str, Any]]


def recipe(optimizer: Any, **sections: Any) -> Loaded:
    parts: dict[str, Any] = {
        "version": 1,
        "data": {"source": "sklearn:digits", "target": "target", "holdout": 0.5},
        "build": {"family": "mlp", "hidden": [16]},
        "evaluate": {"folds": 3, "metrics": ["accuracy"]},
    }
    train = {"optimizer": optimizer, "epochs": 4, **sections.pop("train", {})}
    return from_object({**parts, "train": train, **sections})


def run(loaded: Loaded, folder: Path) -> tuple[pipeline.Run, Events]:
    events: Events = []
    return pipeline.run(loaded, folder, [events.append]), events


def frame(rows: int = 240) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    table = pd.DataFrame(
        {**{f"x{n}": x[:, n] for n in range(4)}, "y": np.where(x[:, 0] * x[:, 1] > 0, "a", "b")}
    )
    return from_frame(table, Data(source="frame", target="y"), None)


@pytest.mark.slow
def test_a_grid_with_auto_runs_to_a_bundle(tmp_path: Path) -> None:
    """Four candidates train as one; three of their rates are found. All of them beat Adam's own in
    so few epochs.
    """
    optimizers = [
        "adam",
        "auto",
        {"name": "sgd", "learning_rate": ["auto"]},
        {"name": "auto", "learning_rate": "own"},
    ]
    done, events = run(recipe(optimizers), tmp_path / "run")
    scores = {
        each["candidate"]: each["scores"]["accuracy"]
        for each in events
        if each["event"] == "candidate_finished"
    }
    own = ("mlp optimizer=adam", "mlp optimizer=auto learning_rate=own")
    found = ("mlp optimizer=auto", "mlp optimizer=sgd learning_rate=auto")
    assert set(scores) == {*own, *found}
    assert min(scores[name] for name in found) > max(scores[name] for name in own)
    notes = [each["text"] for each in events if each["event"] == "note"]
    for name in found:
        assert any(text.startswith(f"{name}: learning_rate ") for text in notes)
    assert any(
        text.startswith("mlp optimizer=auto: optimizer adamw: Muon's extra work is ")
        for text in notes
    )
    assert (done.bundle / "model.onnx").is_file()


def test_validation_rows_do_not_move_the_rate_by_one_bit() -> None:
    """Whatever stands in the rows that a fold validates: rates and weights are the same."""
    data = frame()
    (fold,) = (Fold(np.arange(160), np.arange(160, 240)),)
    loaded = from_object(
        {
            "version": 1,
            "data": {"source": "frame", "target": "y"},
            "build": {"family": "mlp", "hidden": [8]},
            "train": {
                "optimizer": {"name": "adam", "learning_rate": "auto"},
                "epochs": 2,
                "batch_size": 32,
            },
        }
    )
    (candidate,) = resolve(loaded.recipe, data, None)
    columns = dict(data.table.columns)
    spoiled = columns["x0"].values.copy()
    spoiled[160:] = 1e9
    other = replace(
        data,
        table=replace(
            data.table, columns={**columns, "x0": replace(columns["x0"], values=spoiled)}
        ),
    )
    found = []
    for rows in (data, other):
        events: list[tuple[str, Any]] = []
        context = Context(emit_to=lambda kind, facts: events.append((kind, facts)))  # noqa: B023
        evaluation = cross_validate(candidate, rows, [fold], ["accuracy"], context)
        rates = [facts["learning_rate"] for kind, facts in events if kind == "epoch"]
        found.append((rates, evaluation.models[0].fitted.weights))  # type: ignore[attr-defined]
    assert found[0][0] == found[1][0]
    for left, right in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_a_schedule_multiplies_the_rate_that_was_found(tmp_path: Path) -> None:
    _, events = run(
        recipe({"name": "adam", "learning_rate": "auto"}, train={"schedule": "cosine"}),
        tmp_path / "run",
    )
    notes = next(
        each["text"]
        for each in events
        if each["event"] == "note" and "learning_rate" in each["text"]
    )
    rates = [
        each["learning_rate"] for each in events if each["event"] == "epoch" and "fold" in each
    ]
    found = notes.split("learning_rate ")[1].split(" for adam")[0]
    highest = max(float(part.split(" ")[0]) for part in found.split(", "))
    assert 0.8 * highest < max(rates) < highest
    assert min(rates) < 0.01 * highest


@pytest.mark.slow
def test_a_search_keeps_auto_as_a_constant(tmp_path: Path) -> None:
    search = {"folds": 3, "metrics": ["accuracy"], "search": {"trials": 3, "first_trials": 2}}
    build = {"family": "mlp", "hidden": [[8], [16]], "dropout": {"low": 0.0, "high": 0.3}}
    _, events = run(
        recipe({"name": "adamw", "learning_rate": "auto"}, build=build, evaluate=search),
        tmp_path / "run",
    )
    assert sum(each["event"] == "candidate_planned" for each in events) == 3
    tested = [each for each in events if each["event"] == "range_tested"]
    assert len(tested) >= 3
    assert all(each["took_s"] > 0 for each in tested)


def test_the_forecast_counts_a_range_test_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 epochs are forecast from 3: a test that takes half a second is no half a second an
    epoch.
    """
    data = frame(90)
    loaded = from_object(
        {
            "version": 1,
            "data": {"source": "frame", "target": "y"},
            "build": {"family": "mlp", "hidden": [4]},
            "train": {"optimizer": {"name": "adam", "learning_rate": "auto"}, "epochs": 100},
        }
    )
    (candidate,) = resolve(loaded.recipe, data, None)
    plain = range_test.curves
    monkeypatch.setattr(range_test, "curves", lambda *given: (time.sleep(0.5), plain(*given))[1])
    found = forecast.forecast(candidate, data, make(loaded.recipe.evaluate, data), Context())
    assert 0.5 < found.refit_s < 0.5 * 100 / 3


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (
            "autoo",
            "train.optimizer: expected the name of an optimizer; found 'autoo'. Did you mean 'auto'? ",
        ),
        (
            {"name": "auto", "momentum": 0.9},
            "train.optimizer.momentum: expected a known key; found 'momentum'. ",
        ),
        (
            {"name": "adam", "learning_rate": "atuo"},
            "train.optimizer.learning_rate: expected a number, at most 10, above 0, or 'auto'; found the text 'atuo'. ",
        ),
        (
            {"name": "lbfgs", "learning_rate": "auto"},
            "train.optimizer.learning_rate: expected a number, at most 10, above 0; found the text 'auto'. ",
        ),
        (
            {"name": "adafactor", "learning_rate": ["auto", 0.1]},
            "train.optimizer.learning_rate[0]: expected a number, at most 10, above 0; found the text 'auto'. ",
        ),
    ],
)
def test_what_is_refused(optimizer: Any, text: str) -> None:
    parts = {"version": 1, "data": {"source": "a.csv", "target": "y"}, "build": "mlp"}
    with pytest.raises(RecipeError) as caught:
        from_object({**parts, "train": {"optimizer": optimizer, "batch_size": "full"}})
    assert text in str(caught.value)
