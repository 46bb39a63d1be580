"""Nested cross-validation: how rows are divided twice, what cannot be, and the figures of a
summary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.core.errors import RecipeError
from sixfold.evaluate.folds import make
from sixfold.evaluate.nested import divide, inside, outer_folds, summary
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.receipt import Outer
from sixfold.recipe.schema import Evaluate


def dataset(rows: int, groups: bool = False, times: bool = False) -> Dataset:
    rng = np.random.default_rng(rows)
    table = Table({"x": Column("number", rng.normal(size=rows))}, rows)
    target = Target("classification", rng.permutation(np.arange(rows) % 2), ("y",), ("a", "b"))
    return Dataset(
        table,
        target,
        rng.permutation(np.arange(rows) % 12) if groups else None,
        rng.permutation(rows).astype(np.float64) if times else None,
    )


SCHEMES = [
    Evaluate(scheme="stratified", folds=4, nested=3),
    Evaluate(scheme="kfold", folds=3, nested=3),
    Evaluate(scheme="group", folds=3, nested=3),
    Evaluate(scheme="time_series", folds=3, nested=3),
    Evaluate(scheme="repeated", folds=2, repeats=2, nested=3),
    Evaluate(folds=5, nested=3),
    Evaluate(folds=4, nested=60, ensemble=True),
]


@pytest.mark.parametrize(
    "section", SCHEMES, ids=lambda section: f"{section.scheme}-{section.nested}"
)
def test_rows_are_divided_twice_by_the_recipes_own_scheme(section: Evaluate) -> None:
    rows = 72 if section.nested == 3 else 120
    data = dataset(rows, groups=section.scheme == "group", times=section.scheme == "time_series")
    outer = outer_folds(section, data)
    assert len(outer) == section.nested
    share = 0.0
    for number, fold in enumerate(outer):
        share += len(fold.train) / rows
        training = data.take(fold.train)
        inner = make(inside(section, number), training)
        assert len(inner) == len(make(section, data))
        for one, whole in [(fold, data), *((each, training) for each in inner)]:
            both = np.concatenate([one.train, one.validation])
            assert both.max() < whole.table.rows
            assert len(np.unique(both)) == len(both)
            if whole.groups is not None:
                assert not np.intersect1d(
                    whole.groups[one.train], whole.groups[one.validation]
                ).size
            if whole.times is not None:
                assert whole.times[one.train].max() < whole.times[one.validation].min()
    if section.scheme != "time_series":
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.validation for fold in outer])), np.arange(rows)
        )
    assert divide(section, data, ["accuracy"]) == pytest.approx(share)


def test_as_many_outer_folds_as_folds_are_the_same_folds() -> None:
    section, data = Evaluate(scheme="kfold", folds=3, nested=3, seed=5), dataset(60)
    for outer, fold in zip(outer_folds(section, data), make(section, data), strict=True):
        np.testing.assert_array_equal(outer.validation, fold.validation)


def test_without_nested_there_is_nothing_to_divide() -> None:
    assert outer_folds(Evaluate(), dataset(20)) == []
    assert divide(Evaluate(), dataset(20), ["accuracy"]) == 0.0


def test_inner_folds_differ_from_outer_fold_to_outer_fold_and_repeat() -> None:
    section, data = Evaluate(scheme="kfold", folds=3, nested=3), dataset(60)
    first, again, other = (make(inside(section, number), data)[0].train for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert inside(section, 0).nested is None


def rare(rows: int) -> Dataset:
    """Ten rows of the class `b`."""
    data = dataset(100)
    values = np.zeros(100, dtype=np.int64)
    values[:rows] = 1
    return Dataset(data.table, Target("classification", values, ("y",), ("a", "b")))


REMEDY = "Raise evaluate.nested (more rows train), lower evaluate.folds, or leave nested out."
BAD: list[tuple[Evaluate, Dataset, type[Exception], str]] = [
    (
        Evaluate(scheme="kfold", folds=5, nested=2),
        rare(8),
        RecipeError,
        "evaluate.nested, training rows of outer fold 1 of 2: evaluate.metrics: expected a first metric that the validation rows "
        "of every fold define; found 'roc_auc', which some fold of one class, or of equal values, does not. "
        + REMEDY,
    ),
]


@pytest.mark.parametrize(("section", "data", "kind", "text"), BAD)
def test_what_cannot_be_divided_twice_is_told(
    section: Evaluate, data: Dataset, kind: Any, text: str
) -> None:
    metric = "roc_auc" if section.scheme == "kfold" else "accuracy"
    with pytest.raises(kind) as caught:
        divide(section, data, [metric])
    assert str(caught.value) == text


@pytest.mark.parametrize(("folds", "nested"), [(5, 2), (2, 10)])
def test_a_class_with_fewer_rows_than_folds_is_divided(folds: int, nested: int) -> None:
    data = rare(9)
    assert divide(Evaluate(scheme="stratified", folds=folds, nested=nested), data, ["accuracy"]) > 0
    for fold in outer_folds(Evaluate(scheme="stratified", folds=folds, nested=nested), data):
        assert set(data.target.values[fold.train]) == {0, 1}


def outer(*pairs: tuple[float, float], among: int = 8) -> list[Outer]:
    return [
        Outer(chosen=f"c{at % 2}", candidates=among, inner=i, score=s)
        for at, (i, s) in enumerate(pairs)
    ]


def test_the_figures_of_a_summary() -> None:
    found = summary("accuracy", outer((0.9, 0.8), (0.8, 0.85), (0.85, 0.75)))
    assert found.mean == pytest.approx(np.mean([0.8, 0.85, 0.75]))
    assert found.spread == pytest.approx(np.std([0.8, 0.85, 0.75], ddof=1))
    assert found.optimism == pytest.approx(np.mean([0.1, -0.05, 0.1]))
    assert found.inner == pytest.approx(0.85)
    assert [found.too_good(fold) for fold in found.folds] == pytest.approx([0.1, -0.05, 0.1])
    assert found.sentences() == (
        "Nested cross-validation: choosing and training as this recipe does gives accuracy 0.8 on rows that had no part in it "
        "(spread 0.05 over 3 outer folds).",
        "Choosing among 8 candidates made the winner's mean too good by 0.05, standard error 0.05: 0.85 on the folds that chose, "
        "0.8 on the others.",
        "Chosen: c0 (2 of 3), c1 (1 of 3).",
    )


def test_where_less_is_better_less_is_too_good() -> None:
    found = summary("rmse", outer((1.0, 1.5), (2.0, 2.1)))
    assert found.optimism == pytest.approx(0.3)
    assert [found.too_good(fold) for fold in found.folds] == pytest.approx([0.5, 0.1])


def test_what_was_not_too_good_and_what_was_no_choice() -> None:
    assert (
        "Choosing among 3 to 8 candidates made the winner's mean not too good: 0.7 on"
        in (summary("accuracy", [*outer((0.7, 0.8)), *outer((0.7, 0.8), among=3)]).sentences()[1])
    )
    alone = summary("accuracy", outer((0.7, 0.8), (0.7, 0.6), among=1))
    assert (
        alone.sentences()[1]
        == "One candidate, nothing to choose: 0.7 on inner folds, 0.7 on outer ones."
    )
