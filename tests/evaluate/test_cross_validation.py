"""Cross-validation through the whole path: nothing leaks, chance stays chance, formulas hold."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sixfold.build import _side_by_side
from sixfold.build import family as families
from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_cache import FoldCache
from sixfold.evaluate.folds import make
from sixfold.parts import state
from sixfold.parts.state import save
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.candidates import resolve
from sixfold.recipe import load as recipe_load
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context

TARGET_ENCODED = {
    "features": {"category": "target", "select": {"name": "mutual_information", "keep": 3}}
}


def candidate(
    data: Dataset, build: dict[str, Any], prepare: dict[str, Any] | None = None
) -> Candidate:
    recipe = recipe_load.from_object(
        {
            "version": 1,
            "task": data.target.task,
            "build": build,
            "data": {"source": "array", "target": "y"},
            **({"prepare": prepare} if prepare else {}),
        }
    ).recipe
    return next(iter(resolve(recipe, data, None)))


def mixed(rows: int = 60, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    columns = {f"x{i}": Column("number", rng.normal(size=rows)) for i in range(4)}
    levels = tuple(f"l{i}" for i in range(20))
    columns["c"] = Column("category", rng.integers(0, 20, rows).astype(np.int32), levels)
    target = Target("classification", rng.permutation(np.arange(rows) % 2), ("y",), ("a", "b"))
    return Dataset(
        Table(columns, rows), target, np.arange(rows) % 6, rng.permutation(rows).astype(np.float64)
    )


def numbers(rows: int = 24) -> tuple[Any, Any, Dataset]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, 3))
    y = x @ [1.0, -2.0, 0.5] + rng.normal(size=rows) + 7
    table = Table({f"x{i}": Column("number", x[:, i].copy()) for i in range(3)}, rows)
    return x, y, Dataset(table, Target("regression", y, ("y",)))


def disturbed(data: Dataset, rows: Any) -> Dataset:
    columns = {}
    for name, column in data.table.columns.items():
        values = column.values.copy()
        values[rows] = (
            values[rows] * -3 + 100 if column.kind == "number" else (values[rows] + 7) % 20
        )
        columns[name] = replace(column, values=values)
    target = data.target.values.copy()
    target[rows] = 1 - target[rows]
    return replace(
        data, table=Table(columns, data.table.rows), target=replace(data.target, values=target)
    )


def saved(data: Dataset, fold: Fold, folder: Path) -> dict[str, bytes]:
    chosen = candidate(data, {"family": "linear"}, TARGET_ENCODED)
    found = cross_validate(chosen, data, [fold], ["accuracy"], Context())
    folder.mkdir()
    save(found.models[0], folder)
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("name", sorted({*SPLITTER.names()} - {"leave_last"}))  # of interactions
def test_validation_rows_change_no_bit_of_the_model(name: str, tmp_path: Path) -> None:
    data = mixed(30)
    data = data if name == "group" else replace(data, groups=None)
    fold = make(Evaluate(scheme=name), data)[0]
    before = saved(data, fold, tmp_path / "before")
    assert before and before == saved(disturbed(data, fold.validation), fold, tmp_path / "after")


def test_shuffled_labels_score_chance() -> None:
    scores = []
    for seed in range(4):
        data = mixed(400, seed)
        chosen = candidate(data, {"family": "linear"}, TARGET_ENCODED)
        scores.append(
            cross_validate(chosen, data, make(Evaluate(), data), ["accuracy"], Context()).means()[
                "accuracy"
            ]
        )
    assert abs(np.mean(scores) - 0.5) < 4 * 0.5 / np.sqrt(1600)


def test_leave_one_out_of_ridge_is_the_hat_matrix_formula() -> None:
    x, y, data = numbers()
    chosen = candidate(data, {"family": "linear", "alpha": 2.0}, {"features": {"number": "none"}})
    found = cross_validate(
        chosen, data, make(Evaluate(scheme="leave_one_out"), data), ["mse"], Context()
    )
    centered = x - x.mean(axis=0)
    hat = 1 / len(x) + centered @ np.linalg.solve(
        centered.T @ centered + 2.0 * np.eye(3), centered.T
    )
    formula = (y - hat @ y) / (1 - np.diag(hat))
    np.testing.assert_allclose(y - found.predictions[:, 0], formula, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.means()["mse"], np.mean(formula**2), rtol=1e-8)


def test_equals_a_loop_by_hand() -> None:
    x, y, data = numbers(50)
    folds = make(Evaluate(), data)
    chosen = candidate(data, {"family": "linear", "alpha": 2.0}, {"features": {"number": "none"}})
    found = cross_validate(chosen, data, folds, ["mae"], Context())
    by_hand = [
        np.abs(
            Ridge(alpha=2.0).fit(x[f.train], y[f.train]).predict(x[f.validation]) - y[f.validation]
        ).mean()
        for f in folds
    ]
    np.testing.assert_allclose(found.scores["mae"], by_hand, rtol=1e-8)


def test_out_of_time() -> None:
    _, _, data = numbers()
    chosen = candidate(data, {"family": "linear"})
    with pytest.raises(BudgetError, match="fitting fold 1 of 5"):
        cross_validate(
            chosen, data, make(Evaluate(), data), ["mse"], Context(deadline=time.monotonic() - 1)
        )


@pytest.mark.parametrize("seed", [0, 9])
def test_cache_gives_equal_results(seed: int) -> None:
    data, cache = mixed(), FoldCache()
    folds, chosen = make(Evaluate(), data), candidate(mixed(), {"family": "linear"}, TARGET_ENCODED)
    plain = cross_validate(chosen, data, folds, ["log_loss"], Context(seed=seed))
    cross_validate(chosen, data, folds, ["log_loss"], Context(seed=1), cache)
    for _ in range(2):
        cached = cross_validate(chosen, data, folds, ["log_loss"], Context(seed=seed), cache)
        np.testing.assert_array_equal(plain.predictions, cached.predictions)


@pytest.mark.parametrize("build", [{"family": "boosting", "rounds": 10}, {"family": "tree"}])
def test_folds_are_scored_the_same(build: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By cross-validation, which hands out as many folds as there are cores; and not more than
    memory is meant to hold.
    """
    data = mixed(200)
    folds, found = make(Evaluate(folds=5), data), []
    for cores, most in ((1, 2**30), (2, 2**30), (8, 2**30), (8, 1)):
        for place in (_side_by_side, families):
            monkeypatch.setattr(place, "cores", lambda cores=cores: cores)
        monkeypatch.setattr(families, "SIDE_BYTES", most)
        told: list[Any] = []
        context = Context(
            emit_to=lambda kind, facts, told=told: told.append((kind, facts.get("fold")))
        )
        evaluation = cross_validate(candidate(data, build), data, folds, ["log_loss"], context)
        found.append(
            (
                evaluation.scores["log_loss"].tolist(),
                [state.digest(model) for model in evaluation.models],
            )
        )
        assert [fold for kind, fold in told if kind == "fold_scored"] == [0, 1, 2, 3, 4]
        family = candidate(data, build).family
        assert family.folds_at_once(1000) == (1 if most == 1 else cores)
    assert all(each == found[0] for each in found)
