"""Plug-ins of an installed package: a run with them ends, goes on after a kill, and leaves a bundle
that answers without them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import installed_plugins

RECIPE = """version: 1
name: rings
data: {source: "rings:240", target: ring}
prepare: {features: {number: [signed_log, standard]}}
build:
  - {family: centroids, points: [2, 6]}
  - {family: linear}
evaluate: {folds: 3, metrics: [worst_recall, best_recall, accuracy]}
compress: {keep: {worst_recall: -0.2}, fixed_point: {factor: 64}}
"""
SAME = ("model.onnx", "signature.json", "recipe.yaml", "parity.jsonl.gz")
# Runs the recipe and kills its own process when the event of this kind comes for the n-th time.
KILLED = """
import os, signal, sys
from pathlib import Path
from sixfold.pipeline import run
from sixfold.recipe.load import load

seen = []
def kill(event):
    seen.append(event["event"])
    if seen.count(sys.argv[1]) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

run(load(Path("r.yaml")), Path("run"), [kill])
"""


def sixfold(folder: Path, site: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sixfold", *words]
    return subprocess.run(
        command, cwd=folder, env=site, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return installed_plugins.install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, site: dict[str, str]) -> Path:
    """The folder of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "r.yaml").write_text(RECIPE)
    done = sixfold(folder, site, "run", "r.yaml", "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_with_every_kind_of_plugin_ends_and_is_good(whole: Path) -> None:
    receipt = json.loads((whole / "run" / "bundle" / "receipt.json").read_text())
    quality = {row["metric"]: row for row in receipt["quality"]}
    assert set(quality) == {"worst_recall", "best_recall", "accuracy"}
    events = [
        json.loads(line) for line in (whole / "run" / "events.jsonl").read_text().splitlines()
    ]
    won = [event["candidate"] for event in events if event["event"] == "winner"]
    assert won[0].startswith("centroids")
    scores = {
        event["candidate"]: event["scores"]
        for event in events
        if event["event"] == "candidate_finished"
    }
    assert scores[won[0]]["worst_recall"] > 0.7 > scores["linear"]["worst_recall"]


def test_its_bundle_answers_where_the_package_is_missing(whole: Path) -> None:
    plain = installed_plugins.without()
    done = sixfold(whole, plain, "verify", "run/bundle")
    assert done.returncode == 0, done.stderr
    (whole / "rows.csv").write_text("east,north\n0.5,0.8\n-5.2,5.3\n")
    done = sixfold(whole, plain, "predict", "run/bundle", "rows.csv")
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["inner", "outer"]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: Path, site: dict[str, str]
) -> None:
    times = 4
    (tmp_path / "r.yaml").write_text(RECIPE)
    command = [sys.executable, "-c", KILLED, "stage_finished", str(times)]
    killed = subprocess.run(
        command, cwd=tmp_path, env=site, capture_output=True, text=True, timeout=300
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "run" / "bundle").exists()
    done = sixfold(tmp_path, site, "run", "r.yaml", "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    events = [
        json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert sum(one["event"] == "stage_skipped" for one in events) >= times - 1
    for name in SAME:
        assert (tmp_path / "run/bundle" / name).read_bytes() == (
            whole / "run/bundle" / name
        ).read_bytes(), name


LOAD = """
import sys
from pathlib import Path
from sixfold.core.errors import SixfoldError
from sixfold.parts import state

for folder in sys.argv[1:]:
    try:
        print(type(state.load(Path(folder), state.State)).__name__, "sixfold_example.__main__" in sys.modules)
    except SixfoldError as error:
        print(type(error).__name__, error)
"""


def loaded(site: dict[str, str], *folders: Path) -> list[str]:
    command = [sys.executable, "-c", LOAD, *map(str, folders)]
    done = subprocess.run(command, env=site, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, site: dict[str, str]) -> Path:
    """The folder of a state of the package."""
    folder = tmp_path_factory.mktemp("kept")
    code = (
        "import sys, numpy as np; from pathlib import Path; from sixfold.parts import state\n"
        "from sixfold_example.learned.nearest_points import NearestPoints\n"
        "state.save(NearestPoints(np.ones((2, 1, 3)), 1.0), Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env=site, check=True, timeout=120)
    return folder


@pytest.fixture
def written(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "state"))


@pytest.mark.slow
def test_a_state_in_a_module_that_no_plugin_imports_is_found(
    written: Path, site: dict[str, str]
) -> None:
    assert loaded(site, written) == ["NearestPoints False"]


def test_a_state_of_a_missing_package_is_told(written: Path) -> None:
    assert loaded(installed_plugins.without(), written) == [
        f"BundleError {written / 'state.json'}: expected a State of Sixfold or of a plug-in; found "
        "'sixfold_example.learned.nearest_points:NearestPoints'. "
        "Install the plug-in that it is of, or delete the folder and run again."
    ]


OTHER_THINGS = (
    "sixfold_example.__main__:Arguments",
    "sixfold_example.learned.nearest_points:KMeans",
    "sixfold_example.learned.nothing:NearestPoints",
    "sixfold_example...learned:NearestPoints",
    "sixfold_example.plugins.recalls:WorstRecall",
)


@pytest.mark.slow
def test_no_other_thing_of_the_package_can_be_named(
    kept: Path, tmp_path: Path, site: dict[str, str]
) -> None:
    folders = [Path(shutil.copytree(kept, tmp_path / name)) for name in OTHER_THINGS]
    for folder, name in zip(folders, OTHER_THINGS, strict=True):
        content = (folder / "state.json").read_text()
        own = "sixfold_example.learned.nearest_points:NearestPoints"
        assert own in content
        (folder / "state.json").write_text(content.replace(own, name))
    for text, name in zip(loaded(site, *folders), OTHER_THINGS, strict=True):
        assert f"expected a State of Sixfold or of a plug-in; found '{name}'" in text


def test_a_recipe_for_a_missing_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = sixfold(tmp_path, installed_plugins.without(), "check", "r.yaml")
    assert done.returncode == 2
    assert "'signed_log'" in done.stderr + done.stdout


def test_a_package_that_is_broken_is_told(tmp_path: Path) -> None:
    site = installed_plugins.install(tmp_path / "site")
    (tmp_path / "site/sixfold_example/learned/scaled_log.py").write_text("import surely_missing\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = sixfold(tmp_path, site, "check", "r.yaml")
    assert done.returncode == 2
    assert (
        "feature signed_log: expected an installed plug-in with a class Settings; found ModuleNotFoundError"
        in " ".join((done.stderr + done.stdout).split())
    )
