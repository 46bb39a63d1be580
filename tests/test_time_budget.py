"""A budget always ends with the best model so far: what is not begun, what counts where time is
short, what a second try uses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.build.family import FitCost
from sixfold.core.errors import BudgetError
from sixfold.data.load import from_frame
from sixfold.evaluate import cross_validation, expected, shuffling
from sixfold.evaluate.cross_validation import FoldPace
from sixfold.evaluate.expected import expected_s, extended_s
from sixfold.evaluate.fold_models import FoldModels
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import prepare_rows
from sixfold.plan import forecast, limits
from sixfold.plan.candidates import resolve
from sixfold.plan.memory import MemoryNeeds
from sixfold.plan.run_context import Plan
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.runs import memory
from sixfold.runs.context import Context
from sixfold.runs.memory import MemoryGuard
from sixfold.select import estimates, winner

LINEAR, FOREST, TREE = {"family": "linear"}, {"family": "forest", "trees": 4}, {"family": "tree"}


def frame(rows: int = 90, columns: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    data = {f"x{at}": x[:, at] for at in range(columns)}
    return pd.DataFrame(
        {**data, "y": np.where(x[:, 0] + 0.3 * rng.normal(size=rows) > 0, "a", "b")}
    )


def loaded(build: Any, **sections: Any) -> Any:
    parts: dict[str, Any] = {
        "evaluate": {"folds": 3, "metrics": ["accuracy"]},
        "budget": {"time": "10m"},
    }
    data = {"source": "frame", "target": "y", "holdout": 0.2}
    return from_object({"version": 1, "data": data, "build": build, **parts, **sections})


def run(recipe: Any, folder: Path, started: float | None = None) -> pipeline.Run:
    data = from_frame(frame(), recipe.recipe.data, None)
    return pipeline.run(recipe, folder, dataset=data, started=started)


def of(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def scored(folder: Path) -> list[tuple[str, int]]:
    return [(event["candidate"], event["fold"]) for event in of(folder, "fold_scored")]


def candidate(build: Any, data: Any) -> Any:
    return next(iter(resolve(loaded(build).recipe, data, None)))


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Seconds that a fold of a family is expected to take."""
    found: dict[str, float] = {}
    monkeypatch.setattr(
        cross_validation,
        "expected_s",
        lambda candidates, *rest: found[candidates[0].family_name.split()[0]],
    )
    return found


def test_a_fit_begins_only_if_its_estimate_fits(tmp_path: Path, takes: dict[str, float]) -> None:
    """The refit of who has all folds is no question of the time that another would have taken."""
    takes |= {"linear": 0.001, "forest": 1000.0}
    done = run(loaded([FOREST, LINEAR]), tmp_path)
    assert scored(tmp_path) == [("linear", 0), ("linear", 1), ("linear", 2)]
    assert done.receipt.rows_trained == 72
    (text,) = [text for text in done.warnings if text.startswith("forest")]
    assert "time for 3 folds, each of which is expected to take 16m 40s" in text


def test_who_does_not_fit_into_its_part_has_what_the_others_leave(
    tmp_path: Path, takes: dict[str, float]
) -> None:
    """Three folds of 100 s, of ten minutes that two share: after the other one."""
    takes |= {"linear": 0.001, "forest": 100.0}
    done = run(loaded([FOREST, LINEAR]), tmp_path)
    assert [name for name, _ in scored(tmp_path)] == ["linear"] * 3 + ["forest"] * 3
    assert not done.warnings


def test_without_a_budget_nothing_is_tried_and_nothing_refused(
    tmp_path: Path, takes: dict[str, float]
) -> None:
    done = run(loaded([FOREST, LINEAR], budget={}), tmp_path)  # takes: would be a KeyError
    assert len(scored(tmp_path)) == 6
    assert not done.warnings


@pytest.mark.slow
def test_a_run_that_begins_late_ends_with_a_model_of_one_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All time is spent before anything is trained: one fit is late, and the same command goes on
    with it.
    """
    late = loaded([FOREST, LINEAR], budget={"time": "5s"})
    monkeypatch.setattr(
        winner, "again_s", lambda *given: 1e6
    )  # what takes a few milliseconds would still be done
    done = run(late, tmp_path, started=time.monotonic() - 1000)
    assert [fold for _, fold in scored(tmp_path)] == [0]
    assert done.receipt.rows_trained == 48
    assert done.receipt.how[-1].startswith("The model is that of fold 1, of 48 rows")
    assert len(done.receipt.quality[0].folds_before) == 1
    assert (done.bundle / "model.onnx").is_file()
    assert any("compared on 1 of 3" in text for text in done.warnings)
    monkeypatch.undo()
    again = run(loaded([FOREST, LINEAR]), tmp_path)
    assert len(again.receipt.quality[0].folds_before) == 3
    assert again.receipt.rows_trained == 72
    assert {one.family for one in again.leaderboard.standings} == {"forest", "linear"}
    assert len(scored(tmp_path)) == 6  # what the first one trained is used


@pytest.mark.slow
def test_whoever_has_most_folds_wins_where_nobody_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FoldPace.most

    def most(self: FoldPace) -> int:
        if (
            len([event for event in of(tmp_path, "fold_scored") if event["candidate"] == self.name])
            >= 2
        ):
            raise BudgetError(
                "budget.time", "time for another fit", "none left", "Raise budget.time."
            )
        return min(1, plain(self))

    monkeypatch.setattr(FoldPace, "most", most)
    done = run(loaded([TREE, LINEAR]), tmp_path)
    assert [len(one.folds) for one in done.leaderboard.standings] == [2, 2]
    assert not any(one.dropped for one in done.leaderboard.standings)
    assert done.receipt.rows_trained == 72  # there is time for the winner
    monkeypatch.undo()
    again = run(loaded([TREE, LINEAR]), tmp_path)
    assert [len(one.folds) for one in again.leaderboard.standings] == [3, 3]
    assert len(scored(tmp_path)) == 6
    whole = run(loaded([TREE, LINEAR]), tmp_path / "whole")
    assert (again.bundle / "model.onnx").read_bytes() == (whole.bundle / "model.onnx").read_bytes()


def test_a_winner_that_cannot_be_trained_again_in_time_is_served_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winner, "again_s", lambda *given: 1e6)
    done = run(loaded(LINEAR), tmp_path)
    assert done.receipt.rows_trained == 48
    assert not (tmp_path / "refit").exists()
    assert any(
        text.startswith("linear is not trained on all rows: budget.time") for text in done.warnings
    )
    monkeypatch.undo()
    again = run(loaded(LINEAR), tmp_path)
    assert again.receipt.rows_trained == 72


def test_a_trial_that_is_late_is_no_problem_of_a_recipe_without_a_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a busy machine: the trial's own time is over before it begins."""
    data = from_frame(frame(), Data(source="frame", target="y"), None)
    build = [{"family": "svm", "C": [0.1, 1.0]}, {"family": "boosting", "rounds": 3}, TREE, LINEAR]
    recipe = loaded(build, budget={}, evaluate={"calibrate": "platt"}).recipe
    candidates = list(resolve(recipe, data, None))
    folds = tuple(make(recipe.evaluate, data))
    monkeypatch.setattr(forecast, "TRIALS_S", 1e-12)
    found, failed = forecast.forecasts(candidates, data, folds, Budget())
    assert failed == []
    assert len(found) == len(candidates)


@pytest.mark.parametrize(("left_s", "all_s"), [(60.0, 10.0), (3.0, 3.0)])
@pytest.mark.parametrize(("power", "family"), [(1.0, LINEAR), (2.0, {"family": "svm"})])
def test_few_rows_say_what_all_will_take(
    power: float,
    family: dict[str, str],
    left_s: float,
    all_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fit takes 0.1 s, the first one 0.3 s, and a time that grows with a power of the rows: the line through
    two of them finds both, also where so little time is left that their own counts.
    """
    data = from_frame(frame(4000), Data(source="frame", target="y"), None)
    one, now, rows = candidate(family, data), [0.0], list[int]()

    def fit(family: Any, fits: Any, context: Any) -> Iterator[Any]:
        rows.append(fits[0].rows)
        now[0] += 0.1 + 0.2 * (len(rows) == 1) + all_s * (fits[0].rows / 4000) ** power
        yield SimpleNamespace(predict=lambda x: None)

    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(type(one.family), "fit", fit)
    monkeypatch.setattr(expected, "fits_of", lambda candidates, fits, watch: fits)
    monkeypatch.setattr(expected, "time", clock)
    prepared = prepare_rows(one, data, Context())
    context = SimpleNamespace(left_s=lambda: left_s)
    monkeypatch.setattr(expected, "replace", lambda value, **changes: value)
    monkeypatch.setattr(expected, "fit_of", lambda *given: FitOf(prepared.x, data.target.values))
    monkeypatch.setattr(expected, "_some", lambda fit, count: FitOf(fit.x[:count], fit.y[:count]))
    found = expected_s([one], prepared, data.target, context)  # type: ignore[arg-type]
    assert rows == [200, 200, 800, 1000][: len(rows)] and len(rows) > 1
    assert found == pytest.approx(0.1 + all_s, rel=0.5)


class FitOf(SimpleNamespace):
    def __init__(self, x: Any, y: Any) -> None:
        super().__init__(x=x, y=y, rows=len(x), outputs=1)


def test_a_fit_that_took_less_on_more_rows_is_not_taken_for_free() -> None:
    data = from_frame(frame(), Data(source="frame", target="y"), None)
    one = candidate(LINEAR, data)
    assert extended_s(one, [(200, 1.0)], 2000) == pytest.approx(10.0)
    assert extended_s(one, [(200, 1.0), (800, 0.8)], 8000) == pytest.approx(4.0)
    assert extended_s(one, [(200, 0.5), (800, 0.8)], 8000) == pytest.approx(4.4)


def test_columns_are_shuffled_as_long_as_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is asked before every column; what was shuffled counts."""
    data = from_frame(frame(columns=6), Data(source="frame", target="y"), None)
    one, folds = candidate(LINEAR, data), tuple(make(loaded(LINEAR).recipe.evaluate, data))
    models = cross_validation.cross_validate(one, data, folds, ["accuracy"], Context()).models
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(shuffling, "time", SimpleNamespace(monotonic=monotonic))
    found = shuffling.losses(models, data, folds, "accuracy", 0, shuffling.Effort(deadline=5.5))
    assert [len(found[name]) for name in data.table.columns] == [1, 1, 1, 1, 0, 0]
    now[0] = 0.0
    found = shuffling.losses(models, data, folds, "accuracy", 0, shuffling.Effort(deadline=11.5))
    assert [len(found[name]) for name in data.table.columns] == [
        1
    ] * 6  # half of a second fold is not counted


@pytest.mark.slow
def test_a_candidate_that_has_no_room_leaves_the_disk_to_the_others(tmp_path: Path) -> None:
    """At no moment more is held than the budget says; 1,000 trees do not fit, a linear model
    does.
    """
    most = 400_000
    recipe = loaded([{"family": "forest", "trees": 1000}, LINEAR], budget={"disk": f"{most}B"})
    done = run(recipe, tmp_path)
    assert [one.family for one in done.leaderboard.standings] == ["linear"]
    assert any(text.startswith("forest is left out: budget.disk") for text in done.warnings)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= most
    assert (done.bundle / "model.onnx").is_file()


@pytest.mark.slow
def test_memory_over_the_budget_ends_with_the_best_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forest takes too much: linear wins, and is trained again."""
    held = [100]

    def start(limit: int | None, _: Any) -> MemoryGuard:
        return MemoryGuard(limit, lambda: held[0])

    plain = MemoryGuard.recover

    def recover(self: MemoryGuard) -> None:
        held[0] = 100
        plain(self)

    monkeypatch.setattr(pipeline, "MemoryGuard", start)
    monkeypatch.setattr(MemoryGuard, "recover", recover)
    monkeypatch.setattr(memory, "EVERY_S", 0.001)
    monkeypatch.setattr(limits, "needs_of", lambda *given: MemoryNeeds({}, {}))
    grow = type(
        candidate(FOREST, from_frame(frame(), Data(source="frame", target="y"), None)).family
    )._estimator

    def hungry(self: Any, *given: Any) -> Any:
        held[0] = 10**12
        return grow(self, *given)

    monkeypatch.setattr("sixfold.build.forest.Settings._estimator", hungry)
    monkeypatch.setattr("sixfold.build.forest.Settings.cost", lambda *given: FitCost())
    done = run(loaded([FOREST, LINEAR], budget={"memory": "100GB"}), tmp_path)
    assert [one.family for one in done.leaderboard.standings] == ["linear"]
    assert any(text.startswith("forest is left out: budget.memory") for text in done.warnings)
    assert done.receipt.rows_trained == 72


def test_seconds_of_another_training_follow_those_of_the_folds() -> None:
    data = from_frame(frame(), Data(source="frame", target="y"), None)
    one, folds = candidate(LINEAR, data), tuple(make(loaded(LINEAR).recipe.evaluate, data))
    found = estimates.Estimates(data, folds)
    assert found.refit_s(one) == 0.0
    found.saw([cross_validation.FoldScores("linear", "linear", (0, 1), FoldModels(), (), {}, 4.0)])
    assert found.known(one) == pytest.approx(2.0)
    assert found.refit_s(one) == pytest.approx(3.0)  # 90 rows, and 60 in a fold


def test_who_trained_alone_is_not_expected_to_take_the_time_of_all_who_are_alike() -> None:
    """Trials of a search vary one family, and each is a piece of work of its own."""
    data = from_frame(frame(), Data(source="frame", target="y"), None)
    folds = tuple(make(loaded(LINEAR).recipe.evaluate, data))
    rates = [0.01 * (1 + at) for at in range(20)]
    made = [candidate({"family": "boosting", "learning_rate": rate}, data) for rate in rates]
    plan = Plan(
        tuple(replace(one, name=f"{at}") for at, one in enumerate(made)), folds, ("accuracy",), {}
    )
    took = [
        cross_validation.Evaluation(
            f"{at}",
            "boosting",
            "probability",
            (),
            {},
            np.zeros((90, 2)),
            FoldModels(),
            3.0,
            (0, 1, 2),
        )
        for at in range(20)
    ]
    first, last = (estimates.again_s([plan.candidates[at]], plan, took, data) for at in (0, 19))
    assert first == pytest.approx(1.5)  # a second a fold of 60 rows, and 90
    assert last == pytest.approx(3.0)  # and what the first one may have saved it
