"""What the tests of evaluation share: candidates by recipe, a table of every kind of column, a
state's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.build.candidate import Candidate
from sixfold.parts import state
from sixfold.parts.state import State
from sixfold.parts.table import Column, Dataset, Table, Target, Task
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train

Array = npt.NDArray[Any]
EVERYTHING = {
    "denoise": {
        "duplicates": "drop",
        "contradictions": "drop",
        "outliers": {"name": "iqr", "action": "clip"},
    },
    "impute": {"number": "mean", "category": "most_frequent", "indicator": True},
    "features": {
        "category": "target",
        "number": ["quantile"],
        "select": {"name": "mutual_information", "keep": 6},
    },
}


def candidate(
    build: dict[str, Any],
    prepare: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    calibration: dict[str, Any] | None = None,
) -> Candidate:
    name = str(build["family"])
    return Candidate(
        name,
        name,
        FAMILY.make(build, "family"),
        Prepare.model_validate(prepare or {}),
        Initialize(),
        Train(**(train or {})),
        calibration=Calibration(**(calibration or {})),
    )


def table(rows: int, seed: int = 0) -> Table:
    """Numbers with gaps, a boolean, a date, a category with many levels and gaps."""
    rng = np.random.default_rng(seed)

    def gaps(values: Array) -> Array:
        return np.where(rng.random(rows) < 0.1, np.nan, values)

    codes = np.where(rng.random(rows) < 0.1, -1, rng.integers(0, 8, rows)).astype(np.int32)
    return Table(
        {
            "age": Column("number", gaps(rng.normal(40, 10, rows))),
            "wage": Column("number", np.exp(rng.normal(size=rows))),
            "new": Column("boolean", gaps(rng.integers(0, 2, rows).astype(np.float64))),
            "since": Column("date", gaps(rng.integers(0, 10**9, rows).astype(np.float64))),
            "town": Column("category", codes, tuple(f"Ort {i}" for i in range(8))),
        },
        rows,
    )


def dataset(
    rows: int = 90,
    task: Task = "classification",
    classes: tuple[str, ...] = ("nein", "ja"),
    seed: int = 0,
) -> Dataset:
    """A target that depends on `wage` and `town`."""
    columns, rng = table(rows, seed), np.random.default_rng(seed + 1)
    signal = (
        np.log(columns.columns["wage"].values)
        + 0.3 * columns.columns["town"].values
        + rng.normal(size=rows)
    )
    if task == "classification":
        ranks = signal.argsort().argsort() * len(classes) // rows
        return Dataset(columns, Target(task, ranks.astype(np.int64), ("y",), classes))
    if task == "regression":
        return Dataset(columns, Target(task, signal, ("y",)))
    return Dataset(
        columns, Target(task, np.stack([signal, -signal, signal**2], axis=1), ("p", "q", "r"))
    )


def saved(thing: State, folder: Path) -> tuple[bytes, bytes]:
    """The bytes of a state on disk."""
    folder.mkdir(parents=True)
    state.save(thing, folder)
    return (folder / "state.json").read_bytes(), (folder / "state.safetensors").read_bytes()


def with_other_rows(data: Dataset, rows: Array) -> Dataset:
    """The same outside of `rows`; inside other numbers, new levels, another class; and the levels
    in another order.
    """
    columns, rng = {}, np.random.default_rng(11)
    for name, column in data.table.columns.items():
        values = column.values.copy()
        if column.kind == "category":
            levels = ("!new", *reversed(column.levels), "~newer")
            moved = np.where(values < 0, -1, len(column.levels) - values)
            moved[rows] = np.resize([0, len(levels) - 1, -1, 3], len(rows))
            columns[name] = Column(column.kind, moved.astype(np.int32), levels)
            continue
        far = np.where(rng.random(len(rows)) < 0.3, np.nan, 1e6 + 1e3 * rng.normal(size=len(rows)))
        values[rows] = far if column.kind != "boolean" else 1 - values[rows]
        columns[name] = Column(column.kind, values)
    target = data.target.values.copy()
    target[rows] = 1 - target[rows]
    return replace(
        data, table=Table(columns, data.table.rows), target=replace(data.target, values=target)
    )


def answered(asking: Generator[Any, Any, Any], answer: Callable[[Any], Any]) -> Any:
    """What `asking` returns, when each of its requests is answered."""
    try:
        request = next(asking)
        while True:
            request = asking.send(answer(request))
    except StopIteration as end:
        return end.value
