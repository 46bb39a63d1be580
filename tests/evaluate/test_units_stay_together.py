"""Rows that are equal, or of one group, are on one side of every division: holdout, folds, inner
folds, rows that are watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evaluating import candidate
from sixfold.build import boosting, module_family
from sixfold.core.errors import DataError
from sixfold.data import holdout
from sixfold.data.checks import keep_together
from sixfold.evaluate import cross_fit
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.evaluate.nested import inside, outer_folds
from sixfold.parts.fit import Fit
from sixfold.parts.table import Column, Dataset, Table, Target, Task
from sixfold.prepare.features import target as target_encoding
from sixfold.prepare.step import Training
from sixfold.recipe.kinds import FAMILY, SPLITTER
from sixfold.recipe.schema import Data, Evaluate
from sixfold.runs.context import Context
from sixfold.train import starting

SCHEMES = [name for name in SPLITTER.names() if name not in ("group", "leave_last")]
OPTIONS: dict[str, Any] = {
    "repeated": {"folds": 3, "repeats": 2},
    "holdout": {},
    "leave_one_out": {},
}
Array = npt.NDArray[Any]


def repeated(
    task: Task = "classification", different: int = 60, copies: int = 3, **more: Any
) -> Dataset:
    """Different rows, each several times, shuffled."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.repeat(np.arange(different), copies))
    columns = {f"x{i}": Column("number", rng.normal(size=different)[order]) for i in range(3)}
    codes = rng.integers(0, 40, different)[order].astype(np.int32)
    columns["c"] = Column("category", codes, tuple(f"v{i}" for i in range(40)))
    if task == "classification":
        target = Target(task, np.resize([0, 1, 2], different)[order], ("y",), ("a", "b", "c"))
    else:
        target = Target(task, rng.normal(size=different)[order], ("y",))
    return keep_together(Dataset(Table(columns, len(order)), target, **more))


def grouped() -> Dataset:
    data = repeated("regression", 240, 1)
    return replace(data, groups=np.random.default_rng(1).integers(0, 30, 240))


def apart(units: Array | None, one: Array, other: Array) -> bool:
    assert units is not None
    return not np.intersect1d(units[one], units[other]).size


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_folds(scheme: str, task: Task) -> None:
    data = repeated(task)
    data = replace(
        data, times=np.random.default_rng(2).permutation(data.table.rows).astype(np.float64)
    )
    found = make(Evaluate(scheme=scheme, **OPTIONS.get(scheme, {"folds": 3})), data)
    assert found
    for fold in found:
        assert len(fold.train) and len(fold.validation)
        assert apart(data.together, fold.train, fold.validation)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_nested_and_inner_folds(task: Task) -> None:
    data = repeated(task)
    section = Evaluate(nested=3, folds=3)
    for number, outer in enumerate(outer_folds(section, data)):
        assert apart(data.together, outer.train, outer.validation)
        part = data.take(outer.train)
        for fold in make(inside(section, number), part):
            assert apart(part.together, fold.train, fold.validation)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_holdout(task: Task, timed: bool) -> None:
    data = repeated(task)
    data = replace(data, times=np.arange(180.0)) if timed else data
    training, held = holdout.split(data, Data(source="frame", target="y"))
    assert 30 <= len(held) <= 42 or timed
    assert apart(data.together, training, held)


@pytest.mark.parametrize("data", [repeated(), grouped()], ids=["equal", "groups"])
def test_calibration_and_thresholds(data: Dataset) -> None:
    if data.target.task != "classification":
        data = replace(
            data,
            target=Target("classification", np.resize([0, 1], data.table.rows), ("y",), ("a", "b")),
        )
    seen: list[Dataset] = []

    def fit(rows: Dataset, part: Context) -> Model:
        seen.append(rows)
        return fit_model(candidate({"family": "tree", "max_depth": 2}), rows, part)

    assert data.units is not None
    marked = replace(data, times=None, notes=())
    found = cross_fit.cross_fit(marked, fit, Context())
    assert len(seen) == cross_fit.FOLDS
    start = 0
    for rows in seen:
        count = data.table.rows - rows.table.rows
        validated = found.rows[start : start + count]
        start += count
        assert rows.units is not None
        assert not np.intersect1d(rows.units, data.units[validated]).size


def test_target_encoding() -> None:
    """A level that only equal rows have is unknown to their own fold: they get the mean of the
    others, not their target.
    """
    rows, copies = 40, 4
    codes = np.repeat(np.arange(rows), copies)[:, None]
    y = np.repeat(np.random.default_rng(0).normal(size=rows), copies)[:, None]
    levels = (tuple(map(str, range(rows))),)
    method = target_encoding.Settings(smoothing=0.0)
    together = Training(("c",), y, "regression", 0, levels, codes[:, 0])
    _, kept = method.fit_cross(codes, together)
    _, torn = method.fit_cross(codes, replace(together, groups=None))
    assert abs(np.corrcoef(kept[:, 0], y[:, 0])[0, 1]) < 0.4
    assert np.corrcoef(torn[:, 0], y[:, 0])[0, 1] > 0.9  # the test would see it


WATCHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    name: (
        {"family": name, **({"rounds": 5} if name == "boosting" else {})},
        {"epochs": 1, "stop": {"patience": 1}},
    )
    for name in FAMILY.names()
    if "numbers" in FAMILY.load(name).reads
}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Array, Array, Array]]]:
    """(groups, rows that train, rows that are watched) of every cut that is made."""
    found: list[tuple[Array, Array, Array]] = []
    cut, own = starting.cut, boosting.Settings._watched

    def loop(fit: Fit, share: float, seed: int) -> tuple[Array, Array]:
        rows, off = cut(fit, share, seed)
        assert fit.groups is not None
        found.append((fit.groups, rows, off))
        return rows, off

    def rounds(self: boosting.Settings, fit: Fit) -> Array:
        off = own(self, fit)
        assert fit.groups is not None
        found.append((fit.groups, np.setdiff1d(np.arange(fit.rows), off), off))
        return off

    monkeypatch.setattr(starting, "cut", loop)
    monkeypatch.setattr(module_family, "cut", loop)
    monkeypatch.setattr(boosting.Settings, "_watched", rounds)
    yield found


@pytest.mark.parametrize("data", [repeated("regression", 120), grouped()], ids=["equal", "groups"])
@pytest.mark.parametrize("family", WATCHERS)
def test_early_stopping_of_every_family(
    family: str, data: Dataset, watched: Sequence[tuple[Array, Array, Array]]
) -> None:
    """Whoever cuts rows off cuts off whole units, after rows were dropped in preparation, too."""
    build, train = WATCHERS[family]
    if "regression" not in FAMILY.load(family).tasks:
        data = replace(
            data,
            target=Target("classification", np.resize([0, 1], data.table.rows), ("y",), ("a", "b")),
        )
    fit_model(candidate(build, {"denoise": {"outliers": "iqr"}}, train), data, Context())
    wants = family == "boosting" or hasattr(FAMILY.load(family), "module")
    assert bool(watched) is wants
    for groups, rows, off in watched:
        assert len(off) and len(rows) + len(off) == len(groups)
        assert apart(groups, rows, off)


@pytest.mark.parametrize("family", ["boosting", "mlp"])
def test_few_groups_are_told(family: str) -> None:
    """Two halves: neither can be spared, so that nothing is watched."""
    data = repeated("regression", 300, 1)
    data = replace(data, groups=np.arange(300) // 150)
    events: list[tuple[str, dict[str, Any]]] = []
    build, train = WATCHERS[family]
    fit_model(
        candidate(build, None, train),
        data,
        Context(emit_to=lambda kind, facts: events.append((kind, facts))),
    )
    assert any(
        "no rows are watched" in facts.get("text", "") for kind, facts in events if kind == "note"
    )


def test_equal_in_all_but_the_target() -> None:
    """Counted on their own; they stay with equal rows, and are divided where there are none."""
    x = np.repeat(np.arange(20.0), 3)
    y = np.zeros(60, dtype=np.int64)
    y[::3] = 1  # one of three contradicts
    table = Table({"x": Column("number", x)}, 60)
    found = keep_together(Dataset(table, Target("classification", y, ("y",), ("a", "b"))))
    np.testing.assert_array_equal(found.together, np.repeat(np.arange(20) * 3, 3))
    assert found.notes[0].startswith(
        "60 rows equal another row in every column and differ in the target"
    )
    assert found.warnings[0].startswith(
        "20 rows equal an earlier row in every column and the target."
    )
    unlike = keep_together(Dataset(table, Target("regression", np.arange(60.0), ("y",))))
    assert unlike.together is None


def test_groups_that_share_equal_rows_are_one() -> None:
    """Groups 0 and 1, 2 and 3, … share a row; more links would make all groups one, which is told
    and not done.
    """
    groups = np.repeat(np.arange(24), 5)
    x = np.arange(120.0)
    x[5::10] = x[0::10]
    table, target = Table({"x": Column("number", x)}, 120), Target("regression", x, ("y",))
    found = keep_together(Dataset(table, target, groups))
    assert found.together is not None
    for labels in (groups // 2, x):
        assert all(
            len(np.unique(found.together[labels == label])) == 1 for label in np.unique(labels)
        )
    assert len(np.unique(found.together)) == 12
    assert apart(found.together, *holdout.split(found, Data(source="frame", target="y")))
    chained = keep_together(repeated("regression", 60, 2, groups=np.arange(120) // 4))
    assert chained.together is None
    assert "too few sets of groups without equal rows between them (1)" in chained.notes[0]


def test_what_cannot_be_kept_together_is_divided_and_told() -> None:
    few = repeated("regression", 9, 5)
    assert few.together is None
    assert few.notes[0].endswith(
        "Not kept on one side of every split: there are too few different rows (9)."
    )
    with pytest.raises(DataError, match="at least 11 different rows, as equal ones stay together"):
        make(Evaluate(folds=11), repeated("regression", 10, 5))
    ignored = keep_together(replace(repeated(), together=None, notes=(), warnings=()), "ignore")
    assert ignored.together is None
    assert "divided like any rows" in ignored.notes[0]


def test_without_equal_rows_nothing_changes() -> None:
    data = repeated("classification", 90, 1)
    assert data.together is None and data.notes == data.warnings == ()
