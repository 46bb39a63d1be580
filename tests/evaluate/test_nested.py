"""Nested cross-validation: what chooses never sees what scores, and chance is not mistaken for skill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sixfold.core.errors import DataError
from sixfold.core.seeds import derive
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.nested import Nested, best_mean, inner_folds, nested, selected
from sixfold.parts.table import Column, Dataset, FloatArray, Table, Target
from sixfold.recipe.kinds import SELECTION
from sixfold.recipe.schema import Evaluate


def dataset(rows: int, groups: bool = False, times: bool = False) -> Dataset:
    rng = np.random.default_rng(rows)
    table = Table({"x": Column("number", rng.normal(size=rows))}, rows)
    target = Target("classification", rng.permutation(np.arange(rows) % 2), ("y",), ("a", "b"))
    return Dataset(
        table, target, rng.permutation(np.arange(rows) % 12) if groups else None,
        rng.permutation(rows).astype(np.float64) if times else None,
    )  # fmt: skip


SCHEMES = [
    Evaluate(scheme="stratified", folds=4), Evaluate(scheme="kfold", folds=3), Evaluate(scheme="group", folds=3),
    Evaluate(scheme="time_series", folds=3), Evaluate(scheme="repeated", folds=2, repeats=2), Evaluate(scheme="holdout"),
]  # fmt: skip


@pytest.mark.parametrize("section", SCHEMES, ids=lambda section: section.scheme)
def test_inner_folds_divide_the_outer_training_rows_alone(section: Evaluate) -> None:
    data = dataset(72, groups=section.scheme == "group", times=section.scheme == "time_series")
    for number, outer in enumerate(make(section, data)):
        inner = inner_folds(section, data, outer, number)
        assert len(inner) == len(make(section, data))
        for fold in inner:
            both = np.concatenate([fold.train, fold.validation])
            assert np.isin(both, outer.train).all()
            assert len(np.unique(both)) == len(both)
            for rows in (fold.train, fold.validation):
                assert (np.diff(rows) > 0).all()
            if data.groups is not None:
                assert not np.intersect1d(data.groups[fold.train], data.groups[fold.validation]).size
            if data.times is not None:
                assert data.times[fold.train].max() < data.times[fold.validation].min()


def test_inner_folds_differ_from_fold_to_fold_and_repeat() -> None:
    section, data = Evaluate(scheme="kfold", folds=3), dataset(60)
    whole = Fold(np.arange(60), np.arange(0))
    first, again, other = (inner_folds(section, data, whole, number)[0].train for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_too_few_to_divide_again() -> None:
    section, data = Evaluate(scheme="stratified", folds=5), dataset(12)
    outer = Fold(np.arange(6), np.arange(6, 12))
    with pytest.raises(DataError, match=r"class '[ab]': expected at least 5 training rows for 5 folds"):
        inner_folds(section, data, outer, 0)


def test_it_is_scikit_learns_nested_search() -> None:
    """GridSearchCV inside cross_val_score, on the same outer and inner folds."""
    x, y = load_iris(return_X_y=True)
    section, grid = Evaluate(scheme="stratified", folds=4), [1, 5, 15, 40]
    data = Dataset(
        Table({"x": Column("number", x[:, 0])}, len(x)), Target("classification", y, ("y",), ("a", "b", "c"))
    )
    outer = make(section, data)

    def score(positions: Sequence[int], folds: Sequence[Fold]) -> FloatArray:
        models = [KNeighborsClassifier(grid[position]) for position in positions]
        return np.array(
            [[m.fit(x[f.train], y[f.train]).score(x[f.validation], y[f.validation]) for f in folds] for m in models]
        )

    found = nested(section, data, outer, best_mean(len(grid), score), score)
    for number, fold in enumerate(outer):
        inner = make(section.model_copy(update={"seed": derive(0, "inner folds", number)}), data.take(fold.train))
        search = GridSearchCV(
            KNeighborsClassifier(), {"n_neighbors": grid}, cv=[(f.train, f.validation) for f in inner]
        )  # fmt: skip
        expected = cross_val_score(search, x, y, cv=[(fold.train, fold.validation)])[0]
        search.fit(x[fold.train], y[fold.train])
        assert found.scores[number] == pytest.approx(expected)
        assert grid[found.chosen[number]] == search.best_params_["n_neighbors"]
        assert found.inner[number] == pytest.approx(search.best_score_)


def test_chance_looks_like_skill_only_to_the_folds_that_chose() -> None:
    """100 candidates that guess: the best of them has a good mean, and half the rows right elsewhere."""
    section, data = Evaluate(scheme="kfold", folds=5), dataset(100)
    guesses = np.random.default_rng(0).integers(0, 2, (100, 100))

    def score(positions: Sequence[int], folds: Sequence[Fold]) -> FloatArray:
        right = guesses[list(positions)] == data.target.values
        return np.array([right[:, fold.validation].mean(axis=1) for fold in folds]).T

    found = nested(section, data, make(section, data), best_mean(100, score), score)
    assert found.inner.min() > 0.58
    assert abs(found.mean - 0.5) < 0.12
    assert found.optimism == pytest.approx(float(found.inner.mean()) - found.mean)
    assert found.optimism > 0.05


def test_who_has_no_mean_is_not_chosen_and_the_first_of_equals_is() -> None:
    scores = np.array([[np.nan, 1.0], [0.5, 0.5], [0.4, 0.6]])
    assert best_mean(3, lambda positions, folds: scores)([]) == (1, 0.5)


def test_a_choice_is_any_callable() -> None:
    section, data = Evaluate(scheme="kfold", folds=3), dataset(30)
    outer = make(section, data)
    seen: list[Fold] = []

    def score(positions: Sequence[int], folds: Sequence[Fold]) -> FloatArray:
        seen.extend(folds)
        return np.full((len(positions), len(folds)), 0.25)

    found = nested(section, data, outer, lambda folds: (len(folds), 0.5), score)
    assert isinstance(found, Nested)
    assert found.chosen == (3, 3, 3)
    assert (found.mean, found.optimism) == (0.25, 0.25)
    assert [fold is expected for fold, expected in zip(seen, outer, strict=True)] == [True] * 3


@pytest.mark.parametrize("name", ["exhaustive", "racing", "halving"])
def test_a_selection_chooses_inside_with_fewer_fits(name: str) -> None:
    section, data, fits = Evaluate(scheme="kfold", folds=6), dataset(120), 0
    quality = np.linspace(0, 1, 20)

    def score(positions: Sequence[int], folds: Sequence[Fold]) -> FloatArray:
        nonlocal fits
        fits += len(positions) * len(folds)
        noise = np.array([[np.sin(97 * p + fold.validation.sum()) for fold in folds] for p in positions])
        return quality[list(positions)][:, None] + 0.005 * noise

    choose = selected(SELECTION.make({"name": name}), 20, score)
    found = nested(section, data, make(section, data), choose, score)
    assert found.chosen == (19,) * 6
    assert found.mean == pytest.approx(1, abs=0.01)
    every = 6 * (20 * 6 + 1)
    assert fits == every if name == "exhaustive" else fits < every / 1.5
