"""Rows of fifty columns, of which a million take less than 4 GiB: in a process of its own, whose peak of memory is measured.
`make figures` reads a million.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = int(os.environ.get("SIXFOLD_LARGE_ROWS", "250000"))
OWN_BYTES = 400_000_000  # of the program and what it imports, whatever the rows
MOST_BYTES = OWN_BYTES + (4 * 2**30 - OWN_BYTES) * ROWS // 1_000_000
WRITE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.csv
rng = np.random.default_rng(0)
columns, rows = {}, int(sys.argv[2])
for i in range(25):
    columns[f"n{i}"] = pa.array(np.round(rng.normal(size=rows) * 1000, 4) if i % 2 else rng.integers(0, 100_000, rows))
for i in range(25):
    levels = pa.array([f"level_{i}_{k}" for k in range(5 + 35 * i)])
    columns[f"c{i}"] = levels.take(pa.array(rng.integers(0, len(levels), rows)))
columns["y"] = pa.array(["no", "yes"]).take(pa.array(rng.integers(0, 2, rows)))
pa.csv.write_csv(pa.table(columns), sys.argv[1])
"""
READ = """
import json, sys, time
from pathlib import Path
from sixfold.core.memory import peak_bytes
from sixfold.data.load import load
from sixfold.recipe.schema import Data
started = time.monotonic()
dataset = load(Data(source=sys.argv[1], target="y"), None, Path("."))
peak = peak_bytes()
print(json.dumps({"note": dataset.notes, "warnings": dataset.warnings, "peak": peak, "time_s": time.monotonic() - started}))
"""


@pytest.mark.slow
def test_many_rows_of_fifty_columns_in_4_gib_a_million(tmp_path: Path) -> None:
    path = str(tmp_path / "large.csv")
    subprocess.run([sys.executable, "-c", WRITE, path, str(ROWS)], check=True)
    told = subprocess.run(
        [sys.executable, "-c", READ, path], check=True, capture_output=True, text=True
    ).stdout
    facts = json.loads(told)  # of a million, on 2 cores: 1.05 to 1.08 GiB, 10 to 18 s by load
    print(f"peak {facts['peak'] / 2**30:.2f} GiB, {facts['time_s']:.1f} s")
    assert facts["note"][0] == f"{ROWS:,} rows; 25 numbers, 25 categories"
    assert facts["warnings"] == []
    assert facts["peak"] < MOST_BYTES
