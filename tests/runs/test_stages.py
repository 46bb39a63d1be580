"""Executors: the same bytes here and in processes of their own, and what becomes of one that ends
by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from sixfold import pipeline
from sixfold.core.errors import BudgetError, FitError, SystemFault
from sixfold.evaluate.cross_validation import EvaluateFolds, FoldInputs
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.load import from_object
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder
from sixfold.runs.processes import Processes
from sixfold.runs.side_by_side import Answers, Request, SideBySide
from sixfold.runs.stages import Done, Here, Stage, Work


def table(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 3))
    frame = pd.DataFrame(x, columns=list("abc"))
    frame["kind"] = np.where(x[:, 0] > 0.5, "high", "low")
    frame["y"] = np.where(x[:, 0] + x[:, 1] > 0, "yes", "no")
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def recipe(source: Path, **budget: Any) -> Any:
    return from_object(
        {
            "version": 1,
            "data": {"source": str(source), "target": "y"},
            "build": [{"family": "linear"}, {"family": "tree"}, {"family": "mlp", "hidden": [4]}],
            "train": {"epochs": 3},
            "evaluate": {"folds": 3},
            "budget": budget,
        }
    )


def written(run: Path) -> dict[str, bytes]:
    """All arrays of all stages, and the model."""
    return {
        str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.safetensors"))
    } | {"model": (run / "bundle" / "model.onnx").read_bytes()}


@pytest.mark.slow
def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    source = table(tmp_path)
    here = pipeline.run(recipe(source), tmp_path / "here")
    seen: list[dict[str, Any]] = []
    beside = pipeline.run(recipe(source, workers=2), tmp_path / "beside", [seen.append])
    assert written(here.folder) == written(beside.folder)
    assert here.receipt.quality == beside.receipt.quality
    order = [(event["event"], event.get("stage")) for event in seen]
    of_folds = [event for event in order if event[1] != "plan"]  # which is made before, here
    first_end = next(at for at, (kind, _) in enumerate(of_folds) if kind == "stage_finished")
    assert {("stage_started", "evaluate-0"), ("stage_started", "evaluate-1")} <= set(
        of_folds[:first_end]
    )
    assert {event["candidate"] for event in seen if event["event"] == "fold_scored"} == {
        "linear",
        "tree",
        "mlp",
    }
    assert not list((tmp_path / "beside").glob("*.shared"))
    again = pipeline.run(
        recipe(source, workers=3), tmp_path / "beside"
    )  # finished stages are whoever's
    assert written(again.folder) == written(here.folder)


def inputs(rows: int = 30) -> FoldInputs:
    values = np.random.default_rng(0).normal(size=rows)
    target = Target("regression", 3 * values, ("y",))
    data = Dataset(Table({"x": Column("number", values)}, rows), target)
    order = np.arange(rows)
    folds = tuple(Fold(order[order % 3 != part], order[order % 3 == part]) for part in range(3))
    return FoldInputs(data, folds, ("rmse",))


def stages(count: int, shared: FoldInputs, **train: Any) -> list[Stage]:
    from sixfold.plan.candidates import resolve

    asked = {
        "version": 1,
        "data": {"source": "t", "target": "y"},
        "build": [{"family": "mlp", "hidden": [2]}],
    }
    loaded = from_object({**asked, "train": {"epochs": 2, **train}})
    candidates = tuple(resolve(loaded.recipe, shared.dataset, None))
    action = EvaluateFolds(candidates, (0, 1, 2))
    return [
        Stage(f"evaluate-{number}", "key", action, shared, Context(number))
        for number in range(count)
    ]


def handed_out(*parts: list[Stage]) -> Work[list[Done]]:
    done: list[Done] = []
    for part in parts:
        done += yield part
    return done


@pytest.mark.slow
def test_stages_in_the_order_they_were_handed_out(tmp_path: Path) -> None:
    shared = inputs()
    with RunFolder(tmp_path) as folder, SideBySide(folder, Processes(2)) as processes:
        found = processes.complete(handed_out(stages(3, shared), stages(4, shared)))
    names = [path.name for path in found if isinstance(path, Path)]
    assert names == [f"evaluate-{number}" for number in (0, 1, 2, 0, 1, 2, 3)]
    with RunFolder(tmp_path / "here") as folder:
        again = Here(folder).complete(handed_out(stages(3, shared)))
    for one, other in zip(again, found, strict=False):
        assert isinstance(one, Path) and isinstance(other, Path)
        assert (one / "state.safetensors").read_bytes() == (
            other / "state.safetensors"
        ).read_bytes()


@pytest.mark.slow
def test_a_worker_says_what_went_wrong_in_the_words_of_the_run(tmp_path: Path) -> None:
    shared = inputs()
    wrong = stages(1, shared, epochs=50, optimizer={"name": "sgd", "learning_rate": 1000})
    with RunFolder(tmp_path / "here") as folder:
        (here,) = Here(folder).complete(handed_out(wrong))
    late = [
        Stage(
            "evaluate-9", "key", wrong[0].action, shared, Context(0, deadline=time.monotonic() - 1)
        )
    ]
    with RunFolder(tmp_path / "beside") as folder, SideBySide(folder, Processes(2)) as processes:
        (beside,) = processes.complete(handed_out(wrong))
        (over,) = processes.complete(handed_out(late))
    assert isinstance(here, FitError) and isinstance(beside, FitError)
    assert str(here) == str(beside)
    assert isinstance(over, BudgetError) and over.where == "budget.time"
    assert not (tmp_path / "beside" / "evaluate-9").exists()


class Losing:
    """Loses every process that does something."""

    workers, sharing = 1, 1

    def start(self, number: int, request: Request, answers: Answers) -> None:
        answers.put((number, {"lost": "no power"}))

    def end(self) -> None:
        pass


def test_the_fourth_loss_of_a_stage_ends_the_run(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    with (
        RunFolder(tmp_path, [seen.append]) as folder,
        SideBySide(folder, Losing()) as executor,
        pytest.raises(SystemFault, match=r"found 4 that were lost, the last one so: no power"),
    ):
        executor.complete(handed_out(stages(1, inputs())))
    assert [event["text"] for event in seen if event["event"] == "warning"] == [
        "evaluate-0 goes on elsewhere: its process was lost (no power)"
    ] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "kind"), [(signal.SIGKILL, BudgetError), (signal.SIGTERM, SystemFault)]
)
def test_a_worker_that_is_gone_is_told(
    tmp_path: Path, sent: signal.Signals, kind: type[Exception]
) -> None:
    shared = inputs()
    others = {child.pid for child in psutil.Process().children()}  # of other tests

    def kill(event: dict[str, Any]) -> None:
        if event["event"] == "fold_scored" or event["event"] == "epoch":
            for child in psutil.Process().children():
                if child.pid not in others:
                    child.send_signal(sent)

    endless = stages(1, shared, epochs=10**7)
    with RunFolder(tmp_path, [kill]) as folder, SideBySide(folder, Processes(2)) as processes:
        if kind is SystemFault:
            with pytest.raises(
                SystemFault, match="a worker process: expected an answer; found exit code"
            ):
                processes.complete(handed_out(endless))
        else:
            (found,) = processes.complete(handed_out(endless))
            assert isinstance(found, BudgetError)
            assert found.where == "budget.memory"


@pytest.mark.slow
def test_workers_end_with_the_run(tmp_path: Path) -> None:
    """kill -9 of the run: nobody goes on computing for it."""
    code = textwrap.dedent(f"""
        from sixfold import pipeline
        from sixfold.recipe.load import from_object
        recipe = from_object({{
            "version": 1, "data": {{"source": {str(table(tmp_path))!r}, "target": "y"}},
            "build": [{{"family": "mlp", "hidden": [4]}}, {{"family": "mlp", "hidden": [5]}}],
            "train": {{"epochs": 10**7}}, "evaluate": {{"folds": 3}}, "budget": {{"workers": 2}},
        }})
        from pathlib import Path
        pipeline.run(recipe, Path({str(tmp_path / "run")!r}))
    """)
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        children: list[psutil.Process] = []
        while len(children) < 2 and time.monotonic() < until:
            time.sleep(0.2)
            children = psutil.Process(run.pid).children()
        assert len(children) == 2
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert not psutil.wait_procs(children, timeout=60)[1]
    finally:
        run.kill()
