"""Ray as an executor: the same bytes as here, whatever happens to nodes; and what is said where it
does not work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import sixfold
from sixfold import pipeline
from sixfold.core.errors import SystemFault
from sixfold.evaluate.ray_task import do_stage, own_environment
from sixfold.recipe.load import from_object

sys.path.insert(0, str(Path(__file__).parent))
from ray_cluster import RayCluster, ray_cluster

GRID = [{"family": "linear"}, {"family": "tree"}, {"family": "mlp", "hidden": [4]}]
LONG: dict[str, Any] = {  # the second takes longer
    "build": [{"family": "mlp", "hidden": hidden} for hidden in ([4], [256, 256])],
    "train": {"epochs": 300},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ray")  # for all that has rows
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(120, 3)), columns=list("abc"))
    frame["kind"] = np.where(frame["a"] > 0.5, "high", "low")
    frame["text"] = np.where(frame["b"] > 0, "a warm day", "a cold and long night")
    frame["y"] = np.where(frame["a"] + frame["b"] > 0, "yes", "no")
    file = tmp_path_factory.mktemp("data") / "t.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def long_here(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return written(pipeline.run(recipe(source, **LONG), tmp_path_factory.mktemp("here")).folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as found:
        yield found


def written_as(source: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "data": {"source": str(source), "target": "y"},
        "build": GRID,
        "train": {"epochs": 3},
        "evaluate": {"folds": 3},
    }


def recipe(source: Path, **sections: Any) -> Any:
    return from_object({**written_as(source), **sections})


def on(address: str, **budget: Any) -> dict[str, Any]:
    return {**budget, "executor": {"name": "ray", "address": address}}


def written(run: Path) -> dict[str, bytes]:
    """All arrays of all stages, and the model."""
    return {
        str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.safetensors"))
    } | {"model": (run / "bundle" / "model.onnx").read_bytes()}


def works(process: psutil.Process) -> bool:
    """A process of somebody who is gone may stay as a zombie, where nobody asks for its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SEARCH = {"trials": 3, "prune": "halving"}
RECIPES: dict[str, dict[str, Any]] = {
    "one family that solves all folds at once": {
        "build": [{"family": "svm", "C": [0.1, 1.0], "kernel": "rbf"}],
        "evaluate": {"folds": 3, "calibrate": "platt"},
    },
    "trials of a search": {
        "build": [{"family": "tree", "max_depth": {"low": 1, "high": 6}}],
        "evaluate": {"folds": 3, "search": SEARCH},
    },
    "a selection that drops, and an ensemble": {
        "build": [*GRID[:2], {"family": "forest", "trees": 5}],
        "evaluate": {"folds": 4, "select": "racing", "ensemble": True},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("case", RECIPES)
def test_the_same_bytes_as_here(
    case: str, source: Path, cluster: RayCluster, tmp_path: Path
) -> None:
    here = pipeline.run(recipe(source, **RECIPES[case]), tmp_path / "here")
    seen: list[dict[str, Any]] = []
    asked = recipe(source, **RECIPES[case], budget=on(cluster.address))
    there = pipeline.run(asked, tmp_path / "there", [seen.append])
    assert written(here.folder) == written(there.folder)
    assert here.receipt.quality == there.receipt.quality
    notes = [event["text"] for event in seen if event["event"] == "note"]
    assert any(f"Ray at {cluster.address}" in text and "2 at a time" in text for text in notes)
    scored = [(e["candidate"], e["fold"]) for e in seen if e["event"] == "fold_scored"]
    assert scored
    assert not list((tmp_path / "there").glob("*.shared"))


@pytest.mark.slow
def test_from_outside_of_the_cluster(source: Path, cluster: RayCluster, tmp_path: Path) -> None:
    """By Ray's client, which reaches the head alone; several candidates."""
    some = {"build": GRID[:2]}
    here = pipeline.run(recipe(source, **some), tmp_path / "here")
    there = pipeline.run(recipe(source, **some, budget=on(cluster.outside)), tmp_path / "there")
    assert written(here.folder) == written(there.folder)


@pytest.mark.slow
def test_a_run_that_is_killed(source: Path, long_here: dict[str, bytes], tmp_path: Path) -> None:
    """Of a cluster of this machine, which is started where no address is said: its tasks end with
    it, and the same command without Ray goes on, as finished stages are whoever's. A whole run of
    that kind is docs/how-to/ray.md, which tests/test_docs.py does.
    """
    asked = {**LONG, "budget": {"executor": "ray", "workers": 2}}
    file, out = tmp_path / "r.yaml", tmp_path / "there"
    file.write_text(json.dumps({**written_as(source), **asked}))
    command = [sys.executable, "-m", "sixfold", "run", str(file), "--out", str(out), "--quiet"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and not (out / "evaluate-0").exists():
        time.sleep(0.05)
    bridges = psutil.Process(run.pid).children()
    run.kill()
    assert run.wait() == -signal.SIGKILL
    until = time.monotonic() + 120
    while any(map(works, bridges)) and time.monotonic() < until:
        time.sleep(0.1)
    assert bridges and not any(map(works, bridges))
    assert "Ray on this machine" in (out / "events.jsonl").read_text()
    seen: list[dict[str, Any]] = []
    there = pipeline.run(recipe(source, **LONG), out, [seen.append])
    assert "evaluate-0" in {e["stage"] for e in seen if e["event"] == "stage_skipped"}
    assert long_here == written(there.folder)


@pytest.mark.slow
def test_a_node_that_is_killed_and_a_cluster_that_goes_away(
    source: Path,
    long_here: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node in the middle of its stage: that is done again on the other, with the same bytes in the
    end. Then, of another run, all of it: nothing is lost, the same command without it goes on.
    """
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")  # a minute is Ray's own
    asked = recipe(source, **LONG)
    with ray_cluster() as cluster:
        there = recipe(source, **LONG, budget=on(cluster.address))
        kill_node, kill_all = KillNode(cluster), KillAll(cluster)
        first = pipeline.run(there, tmp_path / "first", [kill_node])
        assert kill_node.killed
        assert long_here == written(first.folder)
        with pytest.raises(SystemFault, match="the Ray cluster: expected one that stays") as caught:
            pipeline.run(there, tmp_path / "second", [kill_all])
    assert "budget.executor=processes" in caught.value.remedy
    seen: list[dict[str, Any]] = []
    second = pipeline.run(asked, tmp_path / "second", [seen.append])
    done = set(kill_all.done)
    assert done and done <= {e["stage"] for e in seen if e["event"] == "stage_skipped"}
    assert long_here == written(second.folder)


class KillNode:
    """At the first epoch."""

    def __init__(self, cluster: RayCluster) -> None:
        self.cluster, self.killed = cluster, False

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and not self.killed:
            self.killed = True
            self.cluster.kill(1)


class KillAll:
    """At the end of each stage of the comparison, which are `done`."""

    def __init__(self, cluster: RayCluster) -> None:
        self.cluster, self.done = cluster, list[str]()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "stage_finished" and event["stage"].startswith("evaluate"):
            self.done.append(event["stage"])
            self.cluster.kill("all")


@pytest.mark.slow
def test_a_node_with_other_code_is_refused(
    source: Path, cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's process at the cluster has another version of a file than the nodes."""
    package = Path(sixfold.__file__).parent
    shutil.copytree(package, tmp_path / "src" / "sixfold")
    with (tmp_path / "src" / "sixfold" / "parts" / "units.py").open("a") as file:
        file.write("# another version\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "src"), *sys.path]))
    with pytest.raises(SystemFault) as caught:
        pipeline.run(recipe(source, budget=on(cluster.address)), tmp_path / "run")
    assert "the versions of the run" in str(caught.value)
    assert "Sixfold's own code" in caught.value.found


def test_a_stage_that_no_node_has_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a larger node, and then says what was asked for."""
    bridges = pytest.importorskip("sixfold.evaluate.ray_bridge", exc_type=ModuleNotFoundError)
    monkeypatch.setattr(bridges, "alive", lambda: [{"CPU": 4.0, "memory": 1_000_000.0}])
    bridge = bridges.Bridge({"address": None, "workers": 1, "cores": 1})
    bridge.start({"number": 3, "needs_bytes": 2_000_000})
    assert list(bridge.answers()) == []
    monkeypatch.setattr(bridges, "WAIT_S", 0.0)
    (answer,) = bridge.answers()
    assert answer["number"] == 3
    assert answer["error"]["kind"] == "BudgetError"
    assert "1 cores and 2.0 MB, as planned" in answer["error"]["expected"]
    assert "1 nodes with at most 1.0 MB" in answer["error"]["found"]
    assert list(bridge.answers()) == []


@pytest.mark.parametrize("refusals", [2, 3])
def test_a_busy_cluster_is_asked_again(refusals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bridges = pytest.importorskip("sixfold.evaluate.ray_bridge", exc_type=ModuleNotFoundError)
    asked: list[str] = []

    def init(address: str, **options: Any) -> None:
        asked.append(address)
        if len(asked) <= refusals:
            raise ConnectionAbortedError("Initialization failure from server:\nnot up in 30 s")

    monkeypatch.setattr(bridges.ray, "init", init)
    monkeypatch.setattr(bridges, "alive", lambda: [{"CPU": 2.0}])
    bridge = bridges.Bridge({"address": None, "workers": None, "cores": 1})
    if refusals < bridges.JOINS:
        assert bridge.joined()["workers"] == 2
    else:
        with pytest.raises(SystemFault, match="from server: not up in 30 s"):
            bridge.joined()
    assert asked == ["local"] * min(refusals + 1, bridges.JOINS)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_with_nobody(scheme: str, source: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(SystemFault) as caught:
            pipeline.run(recipe(source, budget=on(address)), tmp_path)
    assert address in caught.value.where
    assert "ray status" in caught.value.remedy


@pytest.mark.slow
def test_an_address_in_the_environment(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "somewhere")
    with pytest.raises(SystemFault, match="the address of the Ray cluster: expected HOST:PORT"):
        pipeline.run(recipe(source, budget={"executor": "ray"}), tmp_path)


def request(into: Path, **changes: Any) -> str:
    asked = {"into": str(into), "run": str(into.parent), "environment": own_environment()}
    return json.dumps({**asked, **changes})


def test_a_node_that_does_not_see_the_folder(tmp_path: Path) -> None:
    error = json.loads(do_stage(request(tmp_path / "none")))["error"]
    assert error["kind"] == "SystemFault"
    assert str(tmp_path) in error["where"]
    assert "--out" in error["remedy"]


@pytest.mark.parametrize("name", ["numpy", "sixfold", "python"])
def test_a_node_with_another_version(name: str, tmp_path: Path) -> None:
    asked = json.loads(json.dumps(own_environment()))
    asked["versions"][name] = "0.0.1"
    error = json.loads(do_stage(request(tmp_path, environment=asked)))["error"]
    assert error["kind"] == "SystemFault"
    assert f"{name} " in error["found"] and "where the run has 0.0.1" in error["found"]
