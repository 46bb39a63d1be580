"""A million rows of fifty columns, half of them categories, go through every step within 4 GiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

ROWS, NUMBERS, CATEGORIES, LEVELS = 1_000_000, 25, 24, 20
RECIPE = """
version: 1
name: large
data: {source: large.csv, target: y, holdout: 0.1}
build: [{family: linear}, {family: mlp, hidden: [32]}, {family: boosting, rounds: 20, patience: null}]
train: {epochs: 1, batch_size: 1024}
evaluate: {folds: 2, metrics: [accuracy]}
budget: {memory: 4GiB}
"""


@pytest.mark.slow
def test_a_million_rows_and_fifty_columns_in_4_gib(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {f"n{i}": pa.array(rng.normal(size=ROWS).round(4)) for i in range(NUMBERS)}
    names = np.array([f"level{j}" for j in range(LEVELS)])
    for i in range(CATEGORIES):
        columns[f"c{i}"] = pa.array(names[rng.integers(0, LEVELS, ROWS)])
    signal = np.asarray(columns["n0"]) + np.asarray(columns["n1"]) + rng.normal(size=ROWS)
    columns["y"] = pa.array(np.where(signal > 0, "yes", "no"))
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "large.csv")
    del columns
    (tmp_path / "large.yaml").write_text(RECIPE)
    command = [
        sys.executable,
        "-m",
        "sixfold",
        "run",
        "large.yaml",
        "--out",
        "run",
        "--json",
        "--quiet",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, printed
    assert usage.ru_maxrss * 1024 < 4 * 2**30
    quality = json.loads(printed)["receipt"]["quality"][0]
    assert quality["holdout_after"] > 0.79  # the best there is: 1 − arccos(√(2/3)) / π = 0.804
