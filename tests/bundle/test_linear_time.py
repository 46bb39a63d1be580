"""What it takes to read rows, and to refuse them, grows with their size and not with its square:
twenty times as much of every kind of hostile input takes far less than four hundred times as long.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny_bundle

from sixfold.bundle.cells import CellError, reader
from sixfold.bundle.frontend import FrontEnd, csv_rows, shown
from sixfold.core.errors import RowError
from sixfold.core.marks import NumberFormat
from sixfold.core.values import level, number
from sixfold.recipe.signature import Input

SMALL, LARGE = 5_000, 100_000
FRONT_END = FrontEnd(tiny_bundle.signature())
RAW = dict(tiny_bundle.raw())


def lines(text: str) -> None:
    list(csv_rows(text.splitlines(keepends=True), ",", "the body"))


def cell(kind: Any, value: Any) -> None:
    reader(Input(name="x", type=kind), frozenset({""}))(value)


KINDS: dict[str, Callable[[int], Any]] = {
    "a header of many names": lambda n: lines(",".join(f"a{i}" for i in range(n)) + "\n"),
    "a header with a name twice": lambda n: lines(
        ",".join([*(f"a{i}" for i in range(n)), "a0"]) + "\n"
    ),
    "a row of many names": lambda n: FRONT_END.feeds(
        [RAW | {f"a{i}": 1 for i in range(n)}], "refuse"
    ),
    "many names and one too few": lambda n: FRONT_END.feeds(
        [{f"a{i}": 1 for i in range(n)}], "refuse"
    ),
    "long names and one too few": lambda n: FRONT_END.feeds(
        [{f"{i}" + "size" * (n // 100): 1 for i in range(10)}], "refuse"
    ),
    "a long name": lambda n: FRONT_END.feeds([RAW | {"s" * n: 1}], "refuse"),
    "many columns": lambda n: FRONT_END.feeds(
        {**{k: [v] for k, v in RAW.items()}, **{f"a{i}": [1] for i in range(n)}}, "refuse"
    ),
    "digits that end with a letter": lambda n: number("1" * n + "x"),
    "digits, a point, and a letter": lambda n: number("1" * n + "." + "1" * n + "x"),
    "a marked number": lambda n: NumberFormat(thousands=",", strip=("$",)).number(
        "1,111" * n + "x"
    ),
    "a number in a cell": lambda n: cell("number", "1" * n + "x"),
    "a date in a cell": lambda n: cell("date", "2026-11-23" + " " * n + "x"),
    "a truth in a cell": lambda n: cell("boolean", "t" * n),
    "a level that is a number": lambda n: level("1" * n + "x", "number"),
    "a value in a message": lambda n: shown([[i] for i in range(n)]),
    "a deep value in a message": lambda n: shown({"a": ["x" * n] * 20}),
    "a missing token that is long": lambda n: cell("category", " " * n + "x"),
}


def seconds(kind: Callable[[int], Any], size: int) -> float:
    """The least of three, of this process; without the collector, which looks through all that
    other tests hold.
    """
    found = []
    gc.disable()
    try:
        for _ in range(3):
            started = time.process_time()
            with suppress(RowError, CellError):
                kind(size)
            found.append(time.process_time() - started)
    finally:
        gc.enable()
    return min(found)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_time_grows_with_the_size(kind: Callable[[int], Any]) -> None:
    small, large = seconds(kind, SMALL), seconds(kind, LARGE)
    assert large < 100 * small + 0.1  # 20 times the size; what is quadratic takes 400 times as long


def test_of_a_long_text_that_is_no_level_the_beginning_is_held() -> None:
    levels = ("a" * 300, "b")
    read = reader(Input(name="x", type="category", levels=levels), frozenset({"", "n" * 400}))
    assert [read(level) for level in levels] == list(levels)
    assert read("n" * 400) == ""
    long = read("a" * 1000)
    assert len(long) == 301 and long not in levels
