"""Files that would take more memory than there is: refused with the number, before it is taken;
whatever the format.

Quick: plans, against a limit that is not this process's. Slow: each file in a process of its own
whose peak is measured.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from sixfold.core import memory
from sixfold.core.errors import BudgetError, DataError, SixfoldError
from sixfold.core.memory import MemoryLimit
from sixfold.data.load import load
from sixfold.data.source import find
from sixfold.recipe.schema import Data

LIMIT = "1GiB"
READ = """
import json, re, resource, sys
from pathlib import Path
limit = 8_000_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from sixfold.core.errors import SixfoldError
from sixfold.core.memory import MemoryLimit, held_bytes
from sixfold.data.load import load
from sixfold.recipe.schema import Data
begun, kind, text = held_bytes(), "read", ""
try:
    load(Data(source=sys.argv[1], target=sys.argv[2]), None, Path("."), MemoryLimit.of(sys.argv[3]))
except SixfoldError as error:
    kind, text = type(error).__name__, str(error)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"kind": kind, "text": text, "begun": begun, "peak": peak}))
"""


def equal_rows(path: Path, rows: int, columns: int = 3, step: int = 10_000_000) -> None:
    """A Parquet of a few bytes a row group."""
    names = {f"x{i}": pa.array(np.zeros(min(step, rows), dtype=np.int64)) for i in range(columns)}
    table = pa.table(names)
    with pa.parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(max(1, rows // step)):
            writer.write_table(table, row_group_size=step)


def repeated_text(path: Path, rows: int, letters: int) -> None:
    """One long text, which the file holds once a row group."""
    text = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(1000, dtype=np.int32)), pa.array(["é" * (letters // 2)])
    )
    table = pa.table({"x0": text, "x1": pa.array(np.arange(1000))})
    with pa.parquet.ParquetWriter(
        path, table.schema, dictionary_pagesize_limit=1 << 28, store_schema=False
    ) as writer:
        for _ in range(rows // 1000):
            writer.write_table(table)


def other_keys(path: Path, rows: int) -> None:
    """Every row has a key of its own."""
    with path.open("w") as file:
        for row in range(rows):
            file.write(json.dumps({"y": row % 2, f"k{row}": row}) + "\n")


def far_cells(path: Path, rows: int, first: int = 1, step: int = 1) -> None:
    """A sheet whose rows have one cell, in the last column that Excel knows."""
    body = "".join(
        f'<row r="{first + i * step}"><c r="XFD{first + i * step}"><v>1</v></c></row>'
        for i in range(rows)
    )
    workbook(path, {"xl/worksheets/sheet1.xml": sheet(body)})


def sheet(body: str) -> str:
    return (
        '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{body}</sheetData></worksheet>"
    )


def many_texts(path: Path, count: int) -> None:
    """Texts that no cell uses."""
    head = (
        f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="{count}">'
    )
    texts = head + "<si><t>a</t></si>" * count + "</sst>"
    workbook(
        path,
        {"xl/sharedStrings.xml": texts, "xl/worksheets/sheet1.xml": sheet('<row r="1"></row>')},
    )


def workbook(path: Path, parts: dict[str, str]) -> None:
    """A real one of pandas, with some of its parts exchanged."""
    real = path.with_name("real.xlsx")
    pd.DataFrame({"x0": ["a", "b"], "y": ["c", "d"]}).to_excel(real, index=False)
    with zipfile.ZipFile(real) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in {*source.namelist(), *parts}:
            made.writestr(name, parts.get(name) or source.read(name))


def columns_of(path: Path, count: int) -> None:
    path.write_text(",".join(f"c{i:x}" for i in range(count)) + "\n" + "1," * (count - 1) + "1\n")


def one_line(path: Path, size: int) -> None:
    """Without the disk's space: the rest of the file is a hole."""
    with path.open("wb") as file:
        file.write(b'{"y": "' if path.suffix == ".jsonl" else b"x0,y\n1,")
        file.truncate(size)


def packed(path: Path, size: int) -> None:
    with gzip.open(path, "wb", 6) as file:
        file.write(b"x0,y\n")
        block = "".join(f"{random.Random(0).random()},{i % 2}\n" for i in range(1000)).encode()
        for _ in range(size // len(block)):
            file.write(block)


def short_cells(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"x0,x1,x2,y\n")
        for _ in range(size >> 20):
            file.write(b"1,2,3,1\n" * (1 << 17))


# name → how to write it, and what the message has to say
LARGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "equal.parquet": (lambda path: equal_rows(path, 200_000_000), "200,000,000 rows of 3 columns"),
    "repeated.parquet": (lambda path: repeated_text(path, 50_000, 1_000_000), "rows of text"),
    "keys.jsonl": (lambda path: other_keys(path, 20_000), "columns so far"),
    "line.jsonl": (
        lambda path: one_line(path, 600 << 20),
        "line 1: expected a line of at most 8,388,608 characters",
    ),
    "line.csv": (lambda path: one_line(path, 1 << 30), "expected"),
    "wide.csv": (
        lambda path: columns_of(path, 1_000_000),
        "at most 100,000 columns; found 1,000,000",
    ),
    "far.xlsx": (lambda path: far_cells(path, 30_000), "columns so far"),
    "rows.xlsx": (lambda path: far_cells(path, 2, step=999_999_999), "at most 1,048,576 rows"),
    "texts.xlsx": (lambda path: many_texts(path, 10_000_000), "about 9,999,9"),
    "bomb.csv.gz": (lambda path: packed(path, 400 << 20), "expected"),
    "short.csv": (lambda path: short_cells(path, 600 << 20), "rows of 4 columns"),
}


def read_in_a_process(path: Path, limit: str = LIMIT) -> dict[str, object]:
    command = [sys.executable, "-c", READ, path.name, "y", limit]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_what_is_too_large_is_refused_before_it_is_in_memory(tmp_path: Path, name: str) -> None:
    write, words = LARGE[name]
    write(tmp_path / name)
    found = read_in_a_process(tmp_path / name)
    print(name, f"{(tmp_path / name).stat().st_size:,} bytes", found)
    assert found["kind"] in ("BudgetError", "DataError")
    assert words in str(found["text"])
    assert int(str(found["peak"])) <= 1.05 * (1 << 30)


def fixed(most: int) -> MemoryLimit:
    """A limit of a process that holds nothing, whatever this one does."""
    return MemoryLimit(most, "budget.memory is small", lambda: 0)


SMALL: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "equal.parquet": (
        lambda path: equal_rows(path, 1_000_000, step=100_000),
        50_000_000,
        "found 1,000,000 rows of 3 columns, for which it takes about 104.0 MB",
    ),
    "repeated.parquet": (
        lambda path: repeated_text(path, 2_000, 20_000),
        10_000_000,
        "found 1,000 rows of text",
    ),
    "keys.jsonl": (
        lambda path: other_keys(path, 1_500),
        10_000_000,
        "columns so far, for which it takes about",
    ),
    "far.xlsx": (lambda path: far_cells(path, 60), 10_000_000, "columns so far"),
    "short.csv": (lambda path: short_cells(path, 1 << 20), 1_000_000, "found about 131,0"),
    "texts.xlsx": (lambda path: many_texts(path, 1_000_000), 20_000_000, "found about 999,9"),
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_memory_is_asked_for_with_the_rows_and_columns(tmp_path: Path, name: str) -> None:
    write, most, words = SMALL[name]
    write(tmp_path / name)
    with pytest.raises(BudgetError) as raised:
        find(Data(source=name, target="y"), tmp_path).read(fixed(most))
    assert words in str(raised.value)
    assert "budget.memory" in raised.value.remedy
    if not name.endswith(".xlsx"):  # those are no tables
        assert find(Data(source=name, target="y"), tmp_path).read(fixed(10**12)).rows > 0


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_long_line_is_never_in_memory(tmp_path: Path, name: str) -> None:
    one_line(tmp_path / name, 9 << 20)
    with pytest.raises(DataError, match="8,388,608"):
        load(Data(source=name, target="y"), None, tmp_path)


def test_a_table_has_at_most_so_many_columns(tmp_path: Path) -> None:
    columns_of(tmp_path / "x.csv", 100_001)
    with pytest.raises(DataError, match="expected at most 100,000 columns; found 100,001"):
        load(Data(source="x.csv", target="c0"), None, tmp_path)


def test_random_tables_are_planned_as_well() -> None:
    with pytest.raises(
        BudgetError,
        match=r"100,000,000 rows of 100,000 columns, for which it takes about 160005\.6 GB",
    ):
        find(Data(source="random:100000000x100000"), Path()).read()


def test_while_reading_the_memory_is_looked_at(tmp_path: Path) -> None:
    """Of what is packed the size is not known before."""
    packed(tmp_path / "x.csv.gz", 12 << 20)
    held = iter(range(0, 10**12, 25_000_000))
    limit = MemoryLimit(20_000_000, "budget.memory is small", lambda: next(held))
    with pytest.raises(BudgetError, match=r"in use while reading it"):
        load(Data(source="x.csv.gz", target="y"), None, tmp_path, limit)


def test_a_limit_is_the_budget_or_a_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MemoryLimit.of("600MiB").most == 600 << 20
    assert MemoryLimit.of(None).most == int(0.8 * memory.machine_bytes())
    monkeypatch.setattr(memory, "_group_limits", lambda: iter([10_000_000]))
    assert MemoryLimit.of(None).most == 8_000_000
    assert memory.held_bytes() > 10_000_000


def test_what_fits_is_read_as_before(tmp_path: Path) -> None:
    """Text that repeats, decoded step by step; keys that come and go; the same values as in plain
    form.
    """
    rng = np.random.default_rng(0)
    words = [f"word {i} " + "x" * 200 for i in range(7)]
    frame = pd.DataFrame(
        {"t": [words[i] for i in rng.integers(0, 7, 40_000)], "y": rng.integers(0, 2, 40_000)}
    )
    frame.to_parquet(tmp_path / "x.parquet")
    section = Data(source="x.parquet", target="y")
    seldom = (
        find(section, tmp_path).read(fixed(40_000_000)).columns["t"]
    )  # 8 MB, were they all as long as the page
    assert seldom.to_pylist() == frame["t"].tolist()
    rows = [{f"k{i % 5}": i, "y": i % 2} if i % 3 else {"y": i % 2} for i in range(2_000)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = find(Data(source="x.jsonl", target="y"), tmp_path).read().columns
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        name: [row.get(name) for row in rows] for name in columns
    }


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_is_an_error_of_the_data(tmp_path: Path, cut: float) -> None:
    equal_rows(tmp_path / "x.parquet", 10_000, step=1_000)
    data = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(data[: int(cut * len(data))])
    with pytest.raises(SixfoldError):
        load(Data(source="x.parquet", target="x0"), None, tmp_path)
