"""From the section `evaluate` to folds: what is chosen, what is refused and in which words."""

from typing import Any

import numpy as np
import pytest

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import are_parts, make, scheme_of, thin_classes
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Evaluate


def dataset(rows: int = 20, rare: int = 5, **more: Any) -> Dataset:
    values = (np.arange(rows) < rare).astype(np.int64)
    table = Table({"x": Column("number", np.arange(float(rows)))}, rows)
    return Dataset(table, Target("classification", values, ("y",), ("no", "yes")), **more)


def test_auto() -> None:
    times, groups = np.arange(20.0), np.arange(20)
    assert scheme_of(Evaluate(), dataset())[0] == "stratified"
    assert scheme_of(Evaluate(), dataset(times=times))[0] == "time_series"
    assert scheme_of(Evaluate(), dataset(times=times, groups=groups))[0] == "group"
    values = Target("regression", times, ("y",))
    assert scheme_of(Evaluate(), Dataset(dataset().table, values))[0] == "kfold"


def test_refuses_an_option_of_another_scheme() -> None:
    with pytest.raises(RecipeError) as caught:
        make(Evaluate(scheme="kfold", share=0.3), dataset())
    assert str(caught.value) == (
        "evaluate.share: expected an option of kfold (folds); found share. Leave share out, or choose another scheme."
    )


@pytest.mark.parametrize("scheme", ["auto", "stratified"])
def test_class_with_fewer_rows_than_folds(scheme: str) -> None:
    """Of two classes as many folds as the rarer one has rows; a number that is given holds, and the
    gaps are told.
    """
    data = dataset(rare=3)
    found = make(Evaluate(scheme=scheme), data)
    assert len(found) == 3
    assert all(data.target.values[fold.validation].sum() == 1 for fold in found)
    assert scheme_of(Evaluate(scheme=scheme), data)[1].endswith(
        "as many as the rarer class has different rows, so that each validates both classes"
    )
    assert thin_classes(found, data) == ""
    given = make(Evaluate(scheme=scheme, folds=5), data)
    assert [int(data.target.values[fold.validation].sum()) for fold in given].count(1) == 3
    assert thin_classes(given, data) == (
        "Fewer training rows of a class than the 5 folds: yes (3, in 3 folds). The other folds train on them and do not validate "
        "them; data.rare can merge or drop such classes."
    )


@pytest.mark.parametrize(
    "scheme", ["auto", "stratified", "kfold", "repeated", "holdout", "leave_one_out", "group"]
)
def test_a_class_with_one_row_trains_in_every_fold(scheme: str) -> None:
    groups = np.arange(20) // 3 if scheme == "group" else None
    data = dataset(rare=1, groups=groups)
    for fold in make(Evaluate(scheme=scheme), data):
        assert 0 in fold.train
        assert len(fold.validation)


@pytest.mark.parametrize(("scheme", "least"), [("kfold", 5), ("time_series", 6)])
def test_fewer_rows_than_folds(scheme: str, least: int) -> None:
    with pytest.raises(DataError, match=f"at least {least} "):
        make(Evaluate(scheme=scheme), dataset(least - 1, times=np.arange(least - 1.0)))
    assert len(make(Evaluate(scheme=scheme), dataset(least, times=np.arange(float(least))))) == 5


@pytest.mark.parametrize("scheme", ["group", "time_series"])
def test_column_is_not_named(scheme: str) -> None:
    with pytest.raises(RecipeError, match=f"for the scheme {scheme}"):
        make(Evaluate(scheme=scheme), dataset())


def test_models_of_a_bag_are_of_folds_that_divide_the_rows() -> None:
    for evaluate in (
        Evaluate(folds=3),
        Evaluate(folds=10, scheme="kfold"),
        Evaluate(scheme="group", folds=4),
    ):
        data = dataset(groups=np.arange(20) // 2) if evaluate.scheme == "group" else dataset()
        assert are_parts(make(evaluate, data), 20), evaluate
    timed = dataset(times=np.arange(20.0))
    for evaluate, data in (
        (Evaluate(folds=2), dataset()),
        (Evaluate(folds=11, scheme="kfold"), dataset()),
        (Evaluate(scheme="holdout"), dataset()),
        (Evaluate(scheme="leave_one_out"), dataset()),
        (Evaluate(scheme="repeated", folds=2, repeats=2), dataset()),
        (Evaluate(scheme="time_series", folds=4), timed),
    ):
        assert not are_parts(make(evaluate, data), 20), evaluate
        with pytest.raises(
            RecipeError, match=r"^evaluate\.bag: expected 3 to 10 folds, each of which"
        ):
            make(evaluate.model_copy(update={"bag": True}), data)
    every = np.arange(20)
    twice = [Fold(every[5:], every[:5]), Fold(every[5:], every[:5]), Fold(every[:15], every[15:])]
    assert not are_parts(twice, 20)
