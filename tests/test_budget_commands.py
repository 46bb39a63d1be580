"""The commands of which a budget of time left no bundle: on the real clock, with bounds that a busy
machine keeps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

RECIPES = Path(__file__).parents[1] / "recipes"
RECIPE = """version: 1
data: {source: t.csv, target: y, holdout: 0.2}
build: [{family: linear}, {family: forest, trees: 300}]
"""
WIDE = """version: 1
data: {source: t.csv, target: y, holdout: 0.2}
build: [{family: linear}, {family: boosting}]
compress: {keep: {accuracy: -0.05}, prune: {target: features}}
"""
LATE_S = 300.0  # imports and one fit, on a machine with other work


def table(folder: Path, rows: int, columns: int) -> None:
    x = np.random.default_rng(0).normal(size=(rows, columns)).round(4)
    data = {f"x{at}": x[:, at] for at in range(columns)}
    pd.DataFrame({**data, "y": np.where(x[:, 0] + x[:, 1] * x[:, 2] > 0, "a", "b")}).to_csv(
        folder / "t.csv", index=False
    )


def sixfold(
    folder: Path, recipe: Path, *changes: str
) -> tuple[subprocess.CompletedProcess[str], float]:
    command = [sys.executable, "-m", "sixfold", "run", str(recipe), "--out", "run", "--quiet"]
    begun = time.monotonic()
    for change in changes:
        command += ["--set", change]
    whole = {**os.environ, "SIXFOLD_TESTS_FIGURES": "whole"}  # what users wait for counts here
    done = subprocess.run(
        command, cwd=folder, env=whole, capture_output=True, text=True, check=False
    )
    return done, time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "rows", "columns", "budget_s"), [(RECIPE, 12_000, 20, 5), (WIDE, 300, 2500, 20)]
)
def test_a_short_time_leaves_a_bundle_and_the_command_goes_on(
    tmp_path: Path, text: str, rows: int, columns: int, budget_s: int
) -> None:
    table(tmp_path, rows, columns)
    (tmp_path / "r.yaml").write_text(text)
    for _ in range(2):
        done, took_s = sixfold(tmp_path, tmp_path / "r.yaml", f"budget.time={budget_s}s")
        assert done.returncode == 0, done.stderr
        assert took_s < budget_s + LATE_S
        assert (tmp_path / "run" / "bundle" / "model.onnx").is_file()


@pytest.mark.slow
def test_breast_cancer_in_six_seconds(tmp_path: Path) -> None:
    done, took_s = sixfold(tmp_path, RECIPES / "breast_cancer.yaml", "budget.time=6s")
    assert done.returncode == 0, done.stderr
    assert took_s < 6 + LATE_S
    assert (tmp_path / "run" / "bundle" / "model.onnx").is_file()
