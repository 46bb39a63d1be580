"""One core or all of them: every fold's model, the refit and the bundle are the same bytes,
whatever the family.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

import tiny_images
from sixfold import pipeline
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.load import load
from tiny_language import sentences

ROWS = 1_500
SAME = ("model.onnx", "signature.json", "recipe.yaml", "parity.jsonl.gz")
RUN = """
import os, sys, traceback
os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
from pathlib import Path
from sixfold.package import http_latency
from sixfold import pipeline
from sixfold.recipe import load
from sixfold.recipe.receipt import OverHttp
http_latency.over_http = lambda parts, deadline: OverHttp(why="this is a test")
for case in sys.argv[3:]:
    try:
        pipeline.run(load.load(Path(case) / "r.yaml"), Path(case) / sys.argv[2])
    except Exception:  # the other cases are seen all the same
        Path(case, f"{sys.argv[2]}.error").write_text(traceback.format_exc())
"""  # one process for all cases, as torch takes seconds to import
NETWORK = "train: {epochs: 2, batch_size: 512}"
# family → for classes, for values, and what else the recipe says
FAMILIES: dict[str, tuple[str, str, str]] = {
    "linear": ("{family: linear, C: [0.1, 1]}", "{family: linear, alpha: [auto, 10]}", ""),
    "svm": (
        "{family: svm, C: [1, 3], sample: 900}",
        "{family: svm, sample: 900}",
        "evaluate: {folds: 3, calibrate: platt}",
    ),
    "kernel_ridge": ("", "{family: kernel_ridge, alpha: [auto, 1], sample: 900}", ""),
    "tree": (
        "{family: tree}",
        "{family: tree}",
        "prepare: {features: {reduce: pca}, impute: {number: iterative}}",
    ),
    "forest": ("{family: forest, trees: 10}", "{family: forest, trees: 10}", ""),
    "extra_trees": ("{family: extra_trees, trees: 10}", "{family: extra_trees, trees: 10}", ""),
    "boosting": ("{family: boosting, rounds: 10}", "{family: boosting, rounds: 10}", ""),
    "mlp": ("{family: mlp, hidden: [256, 128]}", "{family: mlp, hidden: [256, 128]}", NETWORK),
    "residual_mlp": ("{family: residual_mlp}", "{family: residual_mlp}", NETWORK),
    "tabm": ("{family: tabm}", "{family: tabm}", NETWORK),
    "fusion": ("{family: fusion, size: nano}", "{family: fusion, size: nano}", NETWORK),
}
# Each for classes or for values; both where another solver does one than the other.
CASES = [
    *((family, bool(FAMILIES[family][0])) for family in sorted(FAMILIES)),
    *((family, False) for family in ("boosting", "linear", "svm")),
]
COMPRESS = "compress: {keep: {METRIC}, prune: {target: features}, fixed_point: {factor: 64}}"


def table(folder: Path, classes: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 40)).round(4)
    x[rng.random(x.shape) < 0.01] = np.nan
    value = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1] * x[:, 2])
    columns = {f"x{at}": x[:, at] for at in range(x.shape[1])}
    columns["c"] = rng.choice(list("abcdef"), ROWS)
    columns["y"] = (
        np.array(["low", "middle", "high"])[np.digitize(value, [-1, 1])]
        if classes
        else value.round(4)
    )
    pd.DataFrame(columns).to_csv(folder / "t.csv", index=False)


def states(folder: Path) -> dict[str, bytes]:
    """The arrays of every stage, and what the bundle is made of."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("state.safetensors")
    }
    bundle = folder / "bundle"
    own = (*SAME, *(f"hf/{file.name}" for file in (bundle / "hf").glob("*")))
    return found | {name: (bundle / name).read_bytes() for name in own if (bundle / name).exists()}


def write_family(folder: Path, family: str, classes: bool) -> None:
    for_classes, for_values, more = FAMILIES[family]
    if family == "linear":
        more = COMPRESS.replace("METRIC", "accuracy: -0.5" if classes else "rmse: 0.5")
    if family == "svm" and not classes:
        more = ""
    table(folder, classes)
    (folder / "r.yaml").write_text(
        "version: 1\nname: r\ndata: {source: t.csv, target: y, holdout: 0.1}\n"
        f"build: [{for_classes if classes else for_values}]\n"
        f"{more}\n" + ("" if "evaluate:" in more else "evaluate: {folds: 2}\n")
    )


def write_images(folder: Path) -> None:
    """Two folds side by side, then all images: a batch of 64 in two parts, with batch norms."""
    tiny_images.draw(folder / "images", 132)
    (folder / "r.yaml").write_text(
        "data: {source: images, target: label}\n"
        "build: {family: cnn, size: nano}\ntrain: {epochs: 1, batch_size: 64}\n"
        "evaluate: {folds: 2}\n"
    )


def write_texts(folder: Path) -> None:
    """Two folds side by side, then all texts: a batch in four parts."""
    rows = [json.dumps({"text": text}) for text in sentences(120, words=30)]
    (folder / "t.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "r.yaml").write_text(
        "task: generation\ndata: {source: t.jsonl}\n"
        "build: {family: language, layers: 2, width: 32, heads: 2, context: 64, vocabulary: 300}\n"
        "train: {epochs: 2, batch_size: 16}\nevaluate: {folds: 2}\n"
    )


def case_of(family: str, classes: bool) -> str:
    return f"{family}-{'classes' if classes else 'values'}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a case, each with its run on one core and on all, with as many threads as torch and
    OpenBLAS take by themselves.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    place = tmp_path_factory.mktemp("cores")
    writing: dict[str, Callable[[Path], None]] = {"images": write_images, "texts": write_texts}
    for family, classes in CASES:
        writing[case_of(family, classes)] = partial(write_family, family=family, classes=classes)
    for name, write in writing.items():
        (place / name).mkdir()
        write(place / name)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for out, some in (("one", cores[:1]), ("all", cores)):
        command = [sys.executable, "-c", RUN, ",".join(map(str, some)), out, *writing]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return place


def assert_same(folder: Path, least: int) -> None:
    for error in folder.glob("*.error"):
        pytest.fail(error.read_text()[-2000:])
    one, every = states(folder / "one"), states(folder / "all")
    assert one.keys() == every.keys()
    assert [name for name in one if one[name] != every[name]] == []
    assert len(one) >= least


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_a_run_multiplies_on_one_thread(tmp_path: Path) -> None:
    """OpenBLAS divides a product by the number of its threads; kernel ridge differed by 1e-14."""
    text = 'data: {source: "sklearn:iris", target: target}\nbuild: [{family: tree}]\nevaluate: {folds: 2}\n'
    (tmp_path / "r.yaml").write_text(f"version: 1\nname: r\n{text}")
    seen, before = list[set[int]](), blas_threads()
    pipeline.run(
        load(tmp_path / "r.yaml"), tmp_path / "run", [lambda event: seen.append(blas_threads())]
    )
    assert seen[1:] == [{1}] * (len(seen) - 1)
    assert len(seen) > 5
    assert blas_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize(("family", "classes"), CASES)
def test_every_family_is_the_same(runs: Path, family: str, classes: bool) -> None:
    assert_same(runs / case_of(family, classes), 6)


@pytest.mark.slow
def test_images_are_the_same(runs: Path) -> None:
    assert_same(runs / "images", 6)


@pytest.mark.slow
def test_language_models_are_the_same(runs: Path) -> None:
    assert_same(runs / "texts", 3)


def test_every_family_is_tried() -> None:
    assert set(FAMILIES) == {
        name for name in FAMILY.names() if "numbers" in FAMILY.load(name).reads
    }
