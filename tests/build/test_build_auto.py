"""`build: auto`: what is tried on which data, in which time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sixfold.build.auto import candidates
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import FAMILY


def dataset(rows: int, task: Any = "classification", columns: int = 10) -> Dataset:
    table = Table({f"x{i}": Column("number", np.zeros(rows)) for i in range(columns)}, rows)
    values = {"classification": np.zeros(rows, dtype=np.int64), "regression": np.zeros(rows)}.get(task)
    return Dataset(table, Target(task, np.zeros((rows, 3)) if values is None else values, ("y",), ("a", "b")))


def names(rows: int, budget_s: float | None = None, **options: Any) -> list[str]:
    return [name for name, _, _ in candidates(dataset(rows, **options), budget_s)]


def test_what_is_tried_follows_the_rows() -> None:
    assert names(100) == ["linear", "boosting", "tree", "svm", "forest"]
    assert names(3000) == ["linear", "boosting", "tree", "svm", "forest", "mlp"]
    assert names(15_000) == ["linear", "boosting", "tree", "forest", "mlp"]
    assert names(100_000) == ["linear", "boosting", "tree", "mlp"]


def test_a_short_budget_leaves_the_slow_ones_out() -> None:
    assert names(32_561, budget_s=600.0) == ["linear", "boosting", "tree", "mlp"]
    assert names(32_561, budget_s=60.0) == ["linear", "boosting", "tree"]
    assert names(1_000_000, budget_s=1.0, columns=50) == ["linear"]


def test_reconstruction_has_two() -> None:
    assert names(1000, task="reconstruction") == ["linear", "mlp"]


def test_every_candidate_says_why_and_can_be_made() -> None:
    for task in ("classification", "regression", "reconstruction"):
        for name, options, why in candidates(dataset(3000, task), None):
            assert len(why) > 20
            assert name in FAMILY.names()
            family = FAMILY.load(name)(**options)
            assert task in family.tasks
