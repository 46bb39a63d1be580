"""A recipe that nests: a plain double loop finds the same, chance is not mistaken for skill, it
resumes, it ends in time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quick_command import quick
from sixfold import pipeline
from sixfold.cli import group
from sixfold.core.errors import BudgetError, DataError, FitError, RecipeError
from sixfold.data.load import load as load_data
from sixfold.evaluate import cross_validation
from sixfold.evaluate.cross_validation import FoldScoresOfAll, evaluate_folds
from sixfold.evaluate.folds import make
from sixfold.evaluate.nested import inside, outer_folds
from sixfold.package import report
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.run_context import DataSplit, RunContext, digest
from sixfold.recipe.load import Loaded, from_object, load
from sixfold.recipe.receipt import Nested
from sixfold.recipe.schema import Budget
from sixfold.runs.budget import Limits
from sixfold.runs.context import Context
from sixfold.runs.disk import DiskLimit
from sixfold.runs.folder import RunFolder
from sixfold.runs.stages import Here
from sixfold.select import comparison, nested
from sixfold.select.nested import nest


def recipe(**sections: Any) -> Loaded:
    parts: dict[str, Any] = {
        "version": 1,
        "data": {"source": "sklearn:breast_cancer", "target": "target", "holdout": 0.5},
        "build": [{"family": "linear", "C": [0.1, 1, 10]}, {"family": "tree", "max_depth": [1, 3]}],
        "evaluate": {"folds": 3, "nested": 2, "metrics": ["accuracy"]},
    }
    return from_object({**parts, **sections})


def nested_alone(
    loaded: Loaded, data: Dataset, folder: Path
) -> tuple[pipeline.Winner, Nested | None, list[str]]:
    """The run's winner and what nesting says of it, without what comes after; and the warnings."""
    with RunFolder(folder) as run:
        work = RunContext(loaded, run, Limits.start(loaded.recipe.budget), Context(0, run.emit))
        rows = DataSplit(data, data.take(np.empty(0, dtype=np.int64)), digest(data))
        winner = Here(run).complete(pipeline.find_winner(work, rows))
        found = Here(run).complete(nest(work, rows, winner.plan.metrics, pipeline.choose_again))
        return winner, found, list(report.texts(run.history(), "warning"))


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_it_is_a_plain_double_loop(tmp_path: Path) -> None:
    """scikit-learn's grid search inside a loop over outer folds; ridge is exact, so scores are
    equal to rounding.
    """
    penalties = [0.1, 1.0, 10.0, 100.0]
    loaded = recipe(
        data={"source": "sklearn:diabetes", "target": "target"},
        build={"family": "linear", "alpha": penalties},
        evaluate={"folds": 4, "nested": 3, "metrics": ["rmse"]},
    )
    data = load_data(loaded.recipe.data, None, loaded.base)
    _, found, _ = nested_alone(loaded, data, tmp_path)
    assert found is not None
    x = np.column_stack([column.values for column in data.table.columns.values()])
    y, section = data.target.values, loaded.recipe.evaluate
    assert x.shape == load_diabetes().data.shape
    for number, fold in enumerate(outer_folds(section, data)):
        inner = make(inside(section, number), data.take(fold.train))
        search = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge__alpha": penalties},
            scoring="neg_root_mean_squared_error",
            cv=[(each.train, each.validation) for each in inner],
        ).fit(x[fold.train], y[fold.train])
        error = search.predict(x[fold.validation]) - y[fold.validation]
        assert found.folds[number].score == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-8)
        assert found.folds[number].inner == pytest.approx(-search.best_score_, rel=1e-8)
        assert found.folds[number].chosen == f"linear alpha={search.best_params_['ridge__alpha']}"
    assert found.mean == pytest.approx(np.mean([fold.score for fold in found.folds]))


@pytest.mark.slow
def test_chance_looks_like_skill_only_to_the_folds_that_chose(tmp_path: Path) -> None:
    """28 machines on labels that depend on nothing: the winner's mean is far above a half, the
    nested one within three standard errors of it.
    """
    rng, rows = np.random.default_rng(1), 120
    table = Table({f"x{i}": Column("number", rng.normal(size=rows)) for i in range(6)}, rows)
    data = Dataset(
        table, Target("classification", rng.permutation(np.arange(rows) % 2), ("y",), ("a", "b"))
    )
    loaded = recipe(
        data={"source": "frame", "target": "y"},
        build={"family": "svm", "C": [0.1, 1, 10, 100], "gamma": [0.01, 0.03, 0.1, 0.3, 1, 3, 10]},
        evaluate={"folds": 4, "nested": 4, "metrics": ["accuracy"]},
    )
    winner, found, _ = nested_alone(loaded, data, tmp_path)
    assert found is not None
    assert abs(found.mean - 0.5) < 3 * 0.5 / np.sqrt(rows)
    assert found.inner > 0.55
    assert winner.evaluation.means()["accuracy"] > 0.55
    assert found.optimism > 0.03
    assert {fold.candidates for fold in found.folds} == {28}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    return pipeline.run(recipe(), tmp_path_factory.mktemp("whole") / "run")


def test_it_moves_no_candidate_and_no_byte_of_the_model(
    whole: pipeline.Run, tmp_path: Path
) -> None:
    """And a finished run that is asked to nest trains nothing else again."""
    plain = pipeline.run(recipe(evaluate={"folds": 3, "metrics": ["accuracy"]}), tmp_path / "run")
    assert plain.receipt.nested is None
    assert "Nested" not in (plain.bundle / "report.html").read_text()
    names = [(one.name, one.folds) for one in plain.leaderboard.standings]
    assert names == [(one.name, one.folds) for one in whole.leaderboard.standings]
    assert (plain.bundle / "model.onnx").read_bytes() == (whole.bundle / "model.onnx").read_bytes()
    before = len(events(tmp_path / "run"))
    again = pipeline.run(recipe(), tmp_path / "run")
    started = {
        event["stage"]
        for event in events(tmp_path / "run")[before:]
        if event["event"] == "stage_started"
    }
    assert {name for name in started if "/" not in name} == {"nested-0", "nested-1", "outcome"}
    assert again.receipt.nested == whole.receipt.nested
    assert (again.bundle / "model.onnx").read_bytes() == (whole.bundle / "model.onnx").read_bytes()


def test_what_is_found_stands_in_receipt_report_and_notebook(whole: pipeline.Run) -> None:
    found = whole.receipt.nested
    assert found is not None
    assert len(found.folds) == 2
    names = {one.name for one in whole.leaderboard.standings}
    assert {fold.chosen for fold in found.folds} <= names
    assert found.mean > 0.85
    stored = json.loads((whole.bundle / "receipt.json").read_text())
    assert stored["nested"]["optimism"] == pytest.approx(
        np.mean([fold.inner - fold.score for fold in found.folds])
    )
    page = (whole.bundle / "report.html").read_text()
    report = json.loads((whole.bundle / "report.json").read_text())
    assert report["verdict"][2:4] == list(found.sentences()[:2])
    assert "Choosing among 5 candidates made the winner" in found.sentences()[1]
    for text in (
        "<h2>Nested cross-validation</h2>",
        *(f"{fold.score:.4f}</td>" for fold in found.folds),
    ):
        assert text in page
    assert any(text.startswith("Nested: every outer fold") for text in whole.receipt.how)
    assert [row["name"] for row in report["leaderboard"]] == [
        one.name for one in whole.leaderboard.standings
    ]
    assert "Chosen: " in whole._repr_html_()
    scored = [event for event in events(whole.folder) if event["event"] == "nested_scored"]
    assert [event["outer"] for event in scored] == [0, 1]
    assert not list(whole.folder.glob("*.saved"))


def test_the_command_line_says_it(whole: pipeline.Run, tmp_path: Path) -> None:
    """`run` at its end, `check` before."""
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(recipe().recipe.model_dump(mode="json", exclude_none=True)))
    done = CliRunner().invoke(group, ["run", str(path), "--out", str(whole.folder), "--quiet"])
    assert done.exit_code == 0, done.output
    assert whole.receipt.nested is not None
    for text in whole.receipt.nested.sentences():
        assert text in done.output
    done = CliRunner().invoke(
        group, ["run", str(path), "--out", str(whole.folder), "--quiet", "--json"]
    )
    assert json.loads(done.output)["receipt"]["nested"]["folds"][1]["candidates"] == 5
    done = CliRunner().invoke(group, ["check", str(path)])
    assert "nested: 2 outer folds × (5 × 3 folds + the chosen one) = 32 fits more" in done.output
    assert "to train, outer folds included, compression not counted" in done.output


@pytest.mark.parametrize("inside_fold", [pytest.param(3, marks=pytest.mark.slow), 8])
def test_killed_in_an_outer_fold_it_goes_on_there(
    inside_fold: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done, inside of the fold, too, is not done again, and the figures are those of a run
    that nobody killed.
    """
    loaded = recipe(
        build=[{"family": "mlp", "hidden": [4]}, {"family": "tree", "max_depth": [1, 3]}],
        train={"epochs": 3},
        evaluate={"folds": 2, "nested": 3, "metrics": ["log_loss"], "ensemble": True},
    )
    data = load_data(loaded.recipe.data, None, loaded.base)
    data = data.take(np.arange(0, data.table.rows, 3))
    _, undisturbed, _ = nested_alone(loaded, data, tmp_path / "whole")
    calls = 0

    def killed(together: Any, *rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if (
            calls == 3 + inside_fold
        ):  # three groups are compared in the run itself, and three in every outer fold
            raise KeyboardInterrupt
        return evaluate_folds(together, *rest)

    monkeypatch.setattr(cross_validation, "evaluate_folds", killed)
    with pytest.raises(KeyboardInterrupt):
        nested_alone(loaded, data, tmp_path / "run")
    assert list((tmp_path / "run").glob("nested-*.saved/evaluate-*"))
    _, found, _ = nested_alone(loaded, data, tmp_path / "run")
    assert undisturbed is not None
    assert found == undisturbed
    assert calls == 1 + 3 * 4
    assert not list((tmp_path / "run").glob("nested-*.saved"))


KILLED = """version: 1
name: killed
data: {source: "sklearn:breast_cancer", target: target, holdout: 0.5}
build: [{family: mlp, hidden: [8], dropout: 0.1}, {family: tree}]
train: {epochs: 2}
evaluate: {folds: 2, nested: 2, metrics: [accuracy]}
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "r.yaml").write_text(KILLED)
    command = quick("run", "r.yaml", "--out", "run", "--save-every", "0", "--quiet")
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_kill_9_in_an_outer_fold_ends_with_the_same_figures(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    (tmp_path / "whole" / "r.yaml").write_text(KILLED)
    pipeline.run(load(tmp_path / "whole" / "r.yaml"), tmp_path / "whole" / "run", save_every_s=0.0)
    child, run = start(tmp_path / "killed"), tmp_path / "killed" / "run"
    training = "nested-1.saved/evaluate-0.saved/*/training*/*/step-*"
    while child.poll() is None and not list(run.glob(training)):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it had not ended before
    assert start(tmp_path / "killed").wait() == 0
    bundles = [tmp_path / name / "run" / "bundle" for name in ("whole", "killed")]
    one, other = (json.loads((bundle / "receipt.json").read_text()) for bundle in bundles)
    assert one["nested"] == other["nested"]
    assert one["nested"] is not None
    assert one["quality"] == other["quality"]
    assert (
        bundles[0].joinpath("model.onnx").read_bytes()
        == bundles[1].joinpath("model.onnx").read_bytes()
    )
    epochs = [
        event
        for event in events(tmp_path / "whole" / "run")
        if event["event"] == "epoch" and event.get("fold") == 0
    ]
    curve = json.loads(bundles[0].joinpath("report.json").read_text())["curves"][0]
    assert curve["loss"] == [
        event["loss"] for event in epochs if "outer" not in event
    ]  # its own, no outer fold's
    assert {event["outer"] for event in epochs if "outer" in event} == {0, 1}
    skipped = [
        event for event in events(tmp_path / "killed" / "run") if event["event"] == "stage_skipped"
    ]
    assert "nested-0" in {event["stage"] for event in skipped}


# ---- budgets and what fails --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_where_the_run_was_cut_short_it_ends_with_its_model_and_says_so(tmp_path: Path) -> None:
    """A network that would train for days; also when the same command is given once more, with all
    its time.
    """
    loaded = recipe(
        build=[{"family": "tree"}, {"family": "mlp", "hidden": [8]}],
        train={"epochs": 10**6},
        budget={"time": "10s"},
    )
    for _ in range(2):
        run = pipeline.run(loaded, tmp_path / "run")
        assert run.receipt.nested is None
        assert (run.bundle / "model.onnx").is_file()
        assert (
            "Nested cross-validation is left out: the time cut the run's own trainings short. Raise budget.time."
            in run.warnings
        )
    assert not list((tmp_path / "run").glob("nested-*"))


@pytest.mark.slow
def test_what_is_cut_short_in_an_outer_fold_is_not_kept(tmp_path: Path) -> None:
    """A network that is cut short tells nothing of the recipe's choice, and would be taken for a
    whole one later.
    """
    loaded = recipe(
        build=[{"family": "tree"}, {"family": "mlp", "hidden": [8]}], train={"epochs": 10**6}
    )
    data = load_data(loaded.recipe.data, None, loaded.base)
    with RunFolder(tmp_path) as run:
        work = RunContext(loaded, run, Limits.start(Budget(time="8s")), Context(0, run.emit))
        rows = DataSplit(data, data.take(np.empty(0, dtype=np.int64)), digest(data))
        assert Here(run).complete(nest(work, rows, ("accuracy",), pipeline.choose_again)) is None
        (text,) = report.texts(run.history(), "warning")
    assert text == (
        "Nested cross-validation is left out, in outer fold 1 of 2: budget.time: expected time to train as in the run; "
        "found none left. Raise budget.time."
    )
    kept = [
        path
        for path in tmp_path.glob("nested-0.saved/evaluate-*")
        if (path / "manifest.json").exists()
    ]
    assert [FoldScoresOfAll.load(path).parts[0].family for path in kept] == ["tree"]


def failing(error: Exception, where: str, plain: Any = evaluate_folds) -> Any:
    """Stands for `evaluate_folds`: `error` for trees, inside of outer folds, at `where`."""

    def work(together: Any, *rest: Any) -> Any:
        if together.context.facts.get("outer") is not None and together.candidates[
            0
        ].family_name.startswith(where):
            raise error
        return plain(together, *rest)

    return work


def test_an_outer_fold_with_fewer_candidates_for_want_of_time_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = recipe()
    data = load_data(loaded.recipe.data, None, loaded.base)
    error = BudgetError("budget.time", "time for another fit", "1 s left", "Raise budget.time.")
    monkeypatch.setattr(cross_validation, "evaluate_folds", failing(error, "tree"))
    _, found, warnings = nested_alone(loaded, data, tmp_path)
    assert found is None
    assert warnings == [f"Nested cross-validation is left out, in outer fold 1 of 2: {error}"]


def test_who_cannot_be_trained_in_an_outer_fold_is_left_out_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = recipe()
    data = load_data(loaded.recipe.data, None, loaded.base)
    error = FitError("train, step 3", "a loss that is a number", "nan", "Lower the rate.")
    monkeypatch.setattr(cross_validation, "evaluate_folds", failing(error, "tree"))
    _, found, warnings = nested_alone(loaded, data, tmp_path / "some")
    assert found is not None
    assert {fold.candidates for fold in found.folds} == {3}
    assert warnings == [
        f"Outer fold {fold}: tree max_depth={depth} is left out: {error}"
        for fold in (1, 2)
        for depth in (1, 3)
    ]
    monkeypatch.setattr(cross_validation, "evaluate_folds", failing(error, ""))
    _, found, warnings = nested_alone(loaded, data, tmp_path / "none")
    assert found is None
    assert warnings[-1] == f"Nested cross-validation is left out, in outer fold 1 of 2: {error}"


def test_a_disk_that_is_full_of_outer_folds_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def room(limit: DiskLimit, size: int, *rest: Any, **more: Any) -> None:
        if list(limit.folder.glob("nested-1.saved/*")):
            raise BudgetError("budget.disk", "at most 1 MB", "2 MB", "Raise budget.disk.")

    monkeypatch.setattr(DiskLimit, "room", room)
    loaded = recipe()
    _, found, warnings = nested_alone(
        loaded, load_data(loaded.recipe.data, None, loaded.base), tmp_path
    )
    assert found is None
    assert warnings[0].startswith(
        "Nested cross-validation is left out, in outer fold 2 of 2: budget.disk: expected at most"
    )
    assert not (tmp_path / "nested-1.saved").exists()
    assert (tmp_path / "nested-0" / "outer.json").exists()


def test_a_search_that_ends_early_in_an_outer_fold_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = {"family": "tree", "max_depth": {"low": 1, "high": 9}}
    loaded = recipe(
        build=build,
        evaluate={"folds": 2, "nested": 2, "metrics": ["accuracy"], "search": {"trials": 4}},
    )
    data, plain = load_data(loaded.recipe.data, None, loaded.base), pipeline.choose_again

    def late(work: RunContext, rows: DataSplit) -> Any:
        over = SimpleNamespace(is_over=lambda: True, trials_left=0)
        monkeypatch.setattr(comparison, "TrialClock", lambda end, trials: over)
        return plain(work, rows)

    monkeypatch.setattr(pipeline, "choose_again", late)
    _, found, warnings = nested_alone(loaded, data, tmp_path)
    assert found is None
    assert warnings == [
        "Nested cross-validation is left out, in outer fold 1 of 2: budget.time: expected time for 4 trials; "
        "found none after 1. Raise budget.time."
    ]


def test_an_outer_fold_that_would_not_end_in_time_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = recipe()
    data, now = load_data(loaded.recipe.data, None, loaded.base), [0.0]
    monkeypatch.setattr(nested, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with RunFolder(tmp_path) as run:
        work = RunContext(loaded, run, Limits.start(Budget(time="1h")), Context(0, run.emit))
        rows = DataSplit(data, data.take(np.empty(0, dtype=np.int64)), digest(data))

        def choose(work: RunContext, rows: DataSplit) -> Any:
            now[0] += 3500.0
            return pipeline.choose_again(work, rows)

        assert Here(run).complete(nest(work, rows, ("accuracy",), choose)) is None
    (text,) = (event["text"] for event in events(tmp_path) if event["event"] == "warning")
    assert text.startswith(
        "Nested cross-validation is left out, in outer fold 2 of 2: budget.time: expected time for another"
    )
    assert (tmp_path / "nested-0" / "outer.json").exists()  # for the same command with more time


def test_rows_too_few_to_divide_twice_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=60), "y": ["a"] * 54 + ["b"] * 6})
    table.to_csv(tmp_path / "t.csv", index=False)
    loaded = recipe(data={"source": str(tmp_path / "t.csv"), "target": "y", "holdout": 0})
    with pytest.raises(
        DataError,
        match=r"training rows of outer fold 1 of 2: evaluate\.folds: expected at least 40 rows; found 30",
    ):
        pipeline.run(
            recipe(
                data={"source": str(tmp_path / "t.csv"), "target": "y", "holdout": 0},
                evaluate={"folds": 40, "nested": 2},
            ),
            tmp_path / "run",
        )
    assert not list((tmp_path / "run").glob("evaluate-*"))
    (tmp_path / "r.yaml").write_text(
        json.dumps(loaded.recipe.model_dump(mode="json", exclude_none=True))
    )
    done = CliRunner().invoke(
        group, ["check", str(tmp_path / "r.yaml"), "--set", "evaluate.folds=40"]
    )
    assert done.exit_code == 3
    assert (
        "evaluate.nested, training rows of outer fold 1 of 2: evaluate.folds: expected"
        in done.output
    )


@pytest.mark.parametrize("scheme", ["leave_one_out", "holdout"])
def test_a_scheme_without_folds_is_refused_with_its_line(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"version: 1\ndata: {{source: a.csv, target: y}}\nevaluate:\n  scheme: {scheme}\n  nested: 5\n"
    )
    with pytest.raises(
        RecipeError,
        match=r"r\.yaml, line 5, column 3: evaluate\.nested: expected a scheme with a number of",
    ):
        load(path)
