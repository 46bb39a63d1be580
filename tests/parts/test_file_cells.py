"""Files in cells of a Parquet file: read one by one by their names, never all in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from sixfold.core.errors import BudgetError, DataError
from sixfold.parts import scratch
from sixfold.parts.file_cells import content, ending_of, holds_files, name_of


def written(path: Path, cells: Any, kind: pa.DataType | None = None) -> Path:
    pa.parquet.write_table(pa.table({"photo": pa.array(cells, kind)}), path)
    return path


def test_each_cell_is_read_by_its_name(tmp_path: Path) -> None:
    cells = [bytes([number % 256]) * number for number in range(1, 3000)]
    table = written(tmp_path / "a, column 'x', row 3.parquet", cells)
    for row in (2998, 0, 1234):
        assert content(name_of(table, "photo", row)) == cells[row]


def test_the_ending_is_that_of_the_file() -> None:
    assert ending_of("a/b.PNG") == ".png"
    assert ending_of(name_of(Path("a/b.parquet"), "photo", 1234)) == ".parquet"


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.struct([("bytes", pa.binary()), ("path", pa.string())])],
    ids=str,
)
def test_an_empty_cell_is_told_with_its_row(tmp_path: Path, kind: pa.DataType) -> None:
    cells = (
        [b"one", None]
        if not pa.types.is_struct(kind)
        else [{"bytes": b"one", "path": "1.png"}, None]
    )
    table = written(tmp_path / "a.parquet", cells, kind)
    assert holds_files(kind)
    assert content(name_of(table, "photo", 0)) == b"one"
    with pytest.raises(
        DataError, match=r"a\.parquet, column 'photo', row 2: expected .*; found an empty cell"
    ):
        content(name_of(table, "photo", 1))


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    name = name_of(written(tmp_path / "a.parquet", [b"before"]), "photo", 0)
    assert content(name) == b"before"
    written(tmp_path / "a.parquet", [b"afterwards"])
    assert content(name) == b"afterwards"


def test_a_folder_that_was_removed_is_filled_again(tmp_path: Path) -> None:
    name = name_of(written(tmp_path / "a.parquet", [b"one"]), "photo", 0)
    for _ in range(2):
        with scratch.of_run(tmp_path / "run", None):
            assert content(name) == b"one"
            assert list((tmp_path / "run" / "scratch").glob("*.cells"))
        assert not (tmp_path / "run" / "scratch").exists()


def test_the_disk_of_a_run_bounds_what_is_unpacked(tmp_path: Path) -> None:
    table = written(tmp_path / "a.parquet", [b"x" * 1000] * 20)
    with (
        scratch.of_run(tmp_path / "run", 10_000),
        pytest.raises(BudgetError, match=r"budget\.disk.*'photo'"),
    ):
        content(name_of(table, "photo", 0))


MEASURE = """
import sys
from pathlib import Path
from sixfold.core.memory import peak_bytes
from sixfold.parts.file_cells import content, name_of
start = peak_bytes()
assert len(content(name_of(Path(sys.argv[1]), "photo", 399))) == 500_000
print((peak_bytes() - start) // 2**20)
"""


@pytest.mark.slow
def test_a_column_larger_than_the_memory_is_unpacked_bit_by_bit(tmp_path: Path) -> None:
    """200 MB in one row group, in pages of 4 MB."""
    random, table = np.random.default_rng(0), tmp_path / "a.parquet"
    cells = pa.table({"photo": [random.bytes(500_000) for _ in range(400)]})
    pa.parquet.write_table(cells, table, write_batch_size=8)
    del cells
    found = subprocess.run(
        [sys.executable, "-c", MEASURE, str(table)], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 160  # MB; measured: 114 to 125
