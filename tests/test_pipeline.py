"""The whole path: a killed run continues, budgets hold, one artifact, bad tables are told and
nothing is lost.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sixfold
from quick_command import quick
from sixfold import pipeline
from sixfold.core.errors import BudgetError, DataError, SixfoldError
from sixfold.evaluate import cross_validation
from sixfold.recipe.load import from_object, load

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
NETWORK = """version: 1
name: killed
data: {source: "sklearn:digits", target: target, holdout: 0.2}
build: {family: mlp, hidden: [[32], [16], [8]]}
train: {epochs: 6}
evaluate: {folds: 3, metrics: [accuracy]}
compress: {keep: {accuracy: -0.05}, prune: {target: neurons, epochs: 2}, fixed_point: {factor: 256}}
"""


def frame(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, categories with gaps, a boolean, a date, and a target that depends on some
    of them.
    """
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "age": rng.integers(18, 90, rows).astype(float),
            "income": rng.lognormal(10, 1, rows).round(2),
            "city": rng.choice(["Bern", "Köln", "São Paulo", "x,y"], rows),
            "member": rng.choice(["yes", "no"], rows),
            "joined": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(rng.integers(0, 1500, rows), unit="D"),
        }
    )
    score = (
        data.age / 20
        + (data.city == "Bern") * 2
        + (data.member == "yes")
        + rng.normal(0, 0.5, rows)
    )
    data["bought"] = np.where(score > score.median(), "yes", "no")
    data["joined"] = data.joined.dt.strftime("%Y-%m-%d")
    data.loc[rng.random(rows) < 0.1, "age"] = np.nan
    data.loc[rng.random(rows) < 0.1, "city"] = None
    return data


def recipe(source: Path, **sections: Any) -> Any:
    parts: dict[str, Any] = {
        "version": 1,
        "build": {"family": "linear"},
        "evaluate": {"folds": 2},
        "data": {"source": str(source), "target": "bought", "holdout": 0.2},
    }
    return from_object({**parts, **sections})


@pytest.mark.parametrize(
    "family",
    [
        *("linear", "boosting", "tree", "forest", "svm", "mlp"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("residual_mlp", "tabm", "extra_trees")
        ),
    ],
)
def test_a_bundle_answers_from_raw_text_as_the_pipeline_does(tmp_path: Path, family: str) -> None:
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    run = pipeline.run(
        recipe(
            tmp_path / "t.csv", build={"family": family}, train={"epochs": 60, "batch_size": 16}
        ),
        tmp_path / "run",
    )
    bundle = sixfold.load(run.bundle)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        texts = list(csv.DictReader(file))
    from_text = bundle.predict(texts)
    from_frame = bundle.predict(table.drop(columns="bought"))
    assert from_text.labels is not None
    assert from_frame.labels is not None
    assert from_text.labels.tolist() == from_frame.labels.tolist()
    assert np.mean(from_text.labels.reshape(-1) == table.bought) > 0.8
    alone = [bundle.predict([row]).labels for row in texts[:20]]
    assert [str(label[0]) for label in alone if label is not None] == [
        str(x) for x in from_text.labels[:20]
    ]
    assert run.receipt.parity_rows >= 1000
    assert run.receipt.quality[0].holdout_after is not None


def start(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "r.yaml").write_text(NETWORK)
    command = quick("run", "r.yaml", "--out", "run", "--quiet")
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_a_killed_run_continues_and_repeats_no_finished_stage(tmp_path: Path) -> None:
    child = start(tmp_path)
    while not (tmp_path / "run" / "evaluate-1").exists() and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it had not ended before
    assert start(tmp_path).wait() == 0
    events = [
        json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    done: set[str] = (
        set()
    )  # a kill between a stage's last rename and its event leaves the event to the next command
    for event in events:
        assert event["event"] != "stage_started" or event["stage"] not in done
        done |= {event["stage"]} if event["event"] in ("stage_finished", "stage_skipped") else set()
    assert [(e["event"], e["stage"]) for e in events if e.get("stage") == "evaluate-0"].count(
        ("stage_started", "evaluate-0")
    ) == 1
    assert done == {
        "plan",
        "evaluate-0",
        "evaluate-1",
        "evaluate-2",
        "refit",
        "compress",
        "outcome",
    }
    assert not list((tmp_path / "run").glob("*.tmp"))
    whole = pipeline.run(load(tmp_path / "r.yaml"), tmp_path / "whole")
    assert (whole.bundle / "model.onnx").read_bytes() == (
        tmp_path / "run" / "bundle" / "model.onnx"
    ).read_bytes()


def test_changing_compress_does_not_train_again(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    pipeline.run(recipe(tmp_path / "t.csv"), tmp_path / "run")
    heard: list[tuple[str, str]] = []
    with_more = recipe(tmp_path / "t.csv", compress={"fixed_point": {"factor": 64}})
    run = pipeline.run(
        with_more, tmp_path / "run", [lambda e: heard.append((e["event"], e.get("stage", "")))]
    )
    assert ("stage_skipped", "evaluate-0") in heard
    assert ("stage_skipped", "refit") in heard
    assert ("stage_finished", "compress") in heard
    assert run.receipt.steps


@pytest.mark.slow
def test_scores_as_high_as_long_trainings_make_them_are_packed(tmp_path: Path) -> None:
    """In single precision they differ by 1e-4 of a probability between libraries: such a network computes in double."""
    recipe = {
        "version": 1,
        "data": {"source": "sklearn:digits", "target": "target"},
        "build": {"family": "mlp"},
        "train": {"epochs": 2500},
        "evaluate": {"folds": 2, "metrics": ["accuracy"]},
    }
    done = pipeline.run(from_object(recipe), tmp_path / "run")
    assert done.receipt.parity_worst < 1e-6


@pytest.mark.slow
def test_a_time_budget_ends_cleanly_with_the_best_so_far(tmp_path: Path) -> None:
    hungry = from_object(
        {
            "version": 1,
            "data": {"source": "sklearn:digits", "target": "target"},
            "build": [{"family": "linear"}, {"family": "mlp", "hidden": [64]}],
            "train": {"epochs": 100_000},
            "evaluate": {"folds": 2, "metrics": ["accuracy"]},
            "budget": {"time": "10s"},
        }
    )
    run = pipeline.run(hungry, tmp_path / "run")
    assert run.receipt.quality[0].holdout_after is not None
    assert run.receipt.quality[0].holdout_after > 0.8
    epochs = [
        json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert any(event["event"] == "epoch" for event in epochs)


def test_a_candidate_without_time_leaves_the_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = cross_validation.evaluate_folds

    def late(group: Any, *rest: Any) -> Any:
        if group.candidates[0].family_name == "linear":
            raise BudgetError(
                "budget.time", "time for another fit", "1 s left", "Raise budget.time."
            )
        return plain(group, *rest)

    monkeypatch.setattr(cross_validation, "evaluate_folds", late)
    frame().to_csv(tmp_path / "t.csv", index=False)
    run = pipeline.run(
        recipe(tmp_path / "t.csv", build=[{"family": "linear"}, {"family": "tree"}]),
        tmp_path / "run",
    )
    assert [one.family for one in run.leaderboard.standings] == ["tree"]
    assert any(text.startswith("linear is left out: budget.time") for text in run.warnings)
    with pytest.raises(BudgetError, match="time for another fit"):
        pipeline.run(recipe(tmp_path / "t.csv", build={"family": "linear"}), tmp_path / "other")


def test_a_budget_that_allows_nothing_is_an_error(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(BudgetError, match=r"budget\.memory: expected at most 1\.0 MB"):
        pipeline.run(recipe(tmp_path / "t.csv", budget={"memory": "1MB"}), tmp_path / "run")


BAD: dict[str, tuple[str, str]] = {
    "empty": ("", "t.csv"),
    "header only": ("a,bought\n", "t.csv"),
    "duplicate columns": ("a,a,bought\n1,2,x\n", "a"),
    "target absent": ("a,b\n1,2\n", "bought"),
    "one class": ("a,bought\n1,x\n2,x\n3,x\n", "x"),
    "infinite": ("a,bought\n1,x\ninf,y\n3,x\n4,y\n", "a"),
    "ragged": ("a,bought\n1,x\n2\n3,y\n", "line 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_told_and_a_finished_run_is_kept(tmp_path: Path, name: str) -> None:
    content, part = BAD[name]
    frame().to_csv(tmp_path / "t.csv", index=False)
    plain = recipe(
        tmp_path / "t.csv",
        data={"source": str(tmp_path / "t.csv"), "target": "bought", "holdout": 0},
    )
    before = pipeline.run(plain, tmp_path / "run")
    model = (before.bundle / "model.onnx").read_bytes()
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        pipeline.run(plain, tmp_path / "run")
    assert part in str(caught.value)
    assert (before.bundle / "model.onnx").read_bytes() == model


def test_an_all_missing_column_and_many_levels_are_warned_about(tmp_path: Path) -> None:
    table = frame(400)
    table["nothing"] = np.nan
    table["many"] = [f"v{i}" for i in range(398)] + ["v0", "v1"]
    table.to_csv(tmp_path / "t.csv", index=False)
    run = pipeline.run(recipe(tmp_path / "t.csv"), tmp_path / "run")
    report = json.loads((run.bundle / "report.json").read_text())
    assert report["warnings"] == ["nothing: no value in any row; the column is left out."]
    assert "Not used, as identifiers: many (data.types can say otherwise)." in report["notes"]
    assert {"nothing", "many"} & {column["name"] for column in report["columns"]} == set()


def test_every_error_of_a_run_is_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,bought\n\xff,x\n")
    with pytest.raises(SixfoldError, match="UTF-8"):
        pipeline.run(recipe(tmp_path / "t.csv"), tmp_path / "run")


def test_fit_and_run_from_python(tmp_path: Path) -> None:
    run = sixfold.fit(
        frame(), target="bought", budget="1m", out=tmp_path / "run", build={"family": "linear"}
    )
    assert run.leaderboard.standings[0].name == "linear"
    assert "<table>" in run._repr_html_()
    assert sixfold.load(run.bundle).predict(frame(5, seed=1)).labels is not None
    again = sixfold.run(
        {
            "version": 1,
            "name": "again",
            "data": {"source": "sklearn:iris", "target": "target"},
            "build": {"family": "tree"},
            "evaluate": {"folds": 2},
        },
        out=tmp_path / "again",
    )
    assert again.receipt.candidate == "tree"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, sixfold; print([m for m in ('torch', 'sklearn', 'pandas', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


@pytest.mark.slow
def test_adult_reaches_what_is_claimed(tmp_path: Path) -> None:
    """The goals of the README: accuracy of every family, size and latency of the chosen bundle,
    int8 of the network.
    """
    if not (SHARED / "adult_train.csv.gz").exists():
        pytest.skip("the Adult census is not beside this checkout")
    loaded = load(
        Path(__file__).parents[1] / "recipes" / "income.yaml",
        [f"data.source={SHARED / 'adult_train.csv.gz'}"],
    )
    with gzip.open(SHARED / "adult_test.csv.gz", "rt") as file:
        unseen = list(csv.DictReader(file))
    truth = np.array([row.pop("income") for row in unseen])
    goals = {"boosting": 0.872, "mlp": 0.852, "tree": 0.850, "linear": 0.845, "svm": 0.840}
    items: Any = loaded.recipe.build
    for options in items:
        value = loaded.recipe.model_dump(mode="json", exclude_defaults=True)
        value["build"] = options
        value["evaluate"]["folds"] = 2
        value["compress"] = (
            {"quantize": {"weights": "int8"}, "keep": {"accuracy": -0.005}}
            if options["family"] == "mlp"
            else None
        )
        run = pipeline.run(from_object(value), tmp_path / options["family"])
        labels = sixfold.load(run.bundle).predict(unseen).labels
        assert labels is not None
        accuracy = float(np.mean(labels.reshape(-1) == truth))
        assert accuracy >= goals[options["family"]], (options, accuracy)
        assert (run.bundle / "model.onnx").stat().st_size < 3_000_000


@pytest.mark.parametrize("threshold", ["none", "accuracy"])
def test_the_report_tells_the_two_best_apart_by_folds_and_by_rows(
    tmp_path: Path, threshold: str
) -> None:
    """By rows only where predictions say all: not where every fold has a threshold of its own."""
    frame().to_csv(tmp_path / "t.csv", index=False)
    made = recipe(
        tmp_path / "t.csv",
        build=[{"family": "linear"}, {"family": "tree", "max_depth": 1}],
        evaluate={"folds": 3, "metrics": ["accuracy"], "threshold": threshold},
    )
    run = pipeline.run(made, tmp_path / "run")
    verdict = " ".join(json.loads((run.bundle / "report.json").read_text())["verdict"])
    assert "corrected resampled t-test, 3 folds" in verdict
    assert (
        "By rows: The winner is" in verdict and "bootstrap, 1,000 draws, 240 rows" in verdict
    ) is (threshold == "none")
