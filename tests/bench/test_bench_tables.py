"""The tables of the bench in pieces: what was measured is not measured again, and rows are of what was."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ("flaml", "scikit-learn")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    for name in ("ADULT", "TABLES", "ONLY", "MINUTES"):
        monkeypatch.delenv(f"SIXFOLD_BENCH_{name}", raising=False)
    monkeypatch.setenv("SIXFOLD_BENCH_STORE", str(tmp_path / "runs" / "tables.jsonl"))
    return importlib.import_module("bench.tables")


@pytest.fixture
def done(tables: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Who was measured, in order, in the place of fits that take a minute each."""
    found: list[tuple[str, int, str]] = []

    def measured(piece: Any, maker: str, task: Any, asked: dict[str, Any]) -> Any:
        found.append((piece.table, piece.split, maker))
        if (piece.table, maker) == ("iris", "flaml"):
            return tables.Measured(
                "iris", piece.split, maker, asked, "abc", "", True, None, {}, "MemoryError: no"
            )
        score = {"sixfold": 0.9, "flaml": 0.8, "scikit-learn": 0.95}[maker] + 0.01 * piece.split
        costs = {"wall_s": 5.0, "bytes": 100.0, "one_row_s": 1e-4}
        return tables.Measured(
            piece.table, piece.split, maker, asked, "abc", "", task.classes, score, costs
        )

    monkeypatch.setattr(tables, "_measured", measured)
    return found


def rows(tables: Any, **given: Any) -> dict[tuple[str, str], Any]:
    found = tables.measure(("wine", "iris"), peers=PEERS, rounds=3, **given)
    return {(one.workload.partition(":")[0], one.peer): one for one in found}


def test_pieces_make_the_whole_and_nothing_is_measured_twice(
    tables: Any, done: list[tuple[str, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXFOLD_BENCH_ONLY", "wine")
    first = rows(tables)
    assert {table for table, _, _ in done} == {"wine"}
    assert len(done) == 9
    # each goes first once
    assert [done[at][2] for at in (0, 3, 6)] == ["sixfold", *PEERS]
    assert first["wine", "FLAML"].ratio == pytest.approx(10.0)
    assert first["wine", "FLAML"].rounds == 3
    assert first["wine", "FLAML"].quality == "wine 5 s (at abc) beside 5 s, 3 of 3 splits"
    assert first["iris", "FLAML"].absent == "not measured yet (SIXFOLD_BENCH_STORE)"
    assert not first["iris", "FLAML"].failed

    monkeypatch.delenv("SIXFOLD_BENCH_ONLY")
    whole = rows(tables)
    assert len(done) == 9 + 3 + 3 + 1  # who failed on a table is not tried on its other splits
    assert whole["wine", "FLAML"] == first["wine", "FLAML"]
    assert whole["iris", "FLAML"].absent == "failed: MemoryError: no"
    assert whole["iris", "FLAML"].failed
    assert rows(tables) == whole
    assert len(done) == 16
    rows(tables, seconds=30)  # another budget
    assert len(done) == 32


def test_splits_that_both_have_are_compared_and_the_page_says_how_many(
    tables: Any, done: list[tuple[str, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(tables)
    file = Path(tables.os.environ["SIXFOLD_BENCH_STORE"])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [
        one
        for one in lines
        if not (one["maker"] == "flaml" and one["split"] == 2)
        and not (one["maker"] == "sixfold" and one["split"] == 0)
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in kept))
    monkeypatch.setenv("SIXFOLD_BENCH_MINUTES", "0")
    count = len(done)
    found = rows(tables)
    assert len(done) == count
    one = found["wine", "FLAML"]
    assert (one.rounds, one.ours, one.peers) == (1, pytest.approx(0.91), pytest.approx(0.81))
    assert one.quality.endswith("1 of 3 splits")
    results = tables.Results(file, lines[0]["asked"])
    ranks = tables.ranks(results, "wine", ("sixfold", *PEERS))
    assert ranks == {"scikit-learn": 1.0, "sixfold": 2.0, "flaml": 3.0}


def test_a_split_is_the_same_in_every_run(tables: Any, tmp_path: Path) -> None:
    def parts(folder: str, split: int) -> list[bytes]:
        (tmp_path / folder).mkdir()
        task = tables._task("wine", tmp_path / folder, split, None)
        return [task.train.read_bytes(), task.test.read_bytes()]

    assert parts("one", 0) == parts("two", 0) != parts("three", 1)
