"""From the section `evaluate` to folds: what is chosen, what is refused and in which words."""

import numpy as np
import pytest

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.folds import make, scheme_of
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Evaluate


def dataset(rows: int = 20, rare: int = 5, **more: np.ndarray) -> Dataset:
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


def test_class_with_fewer_rows_than_folds() -> None:
    with pytest.raises(DataError) as caught:
        make(Evaluate(folds=5), dataset(rare=3))
    assert str(caught.value) == (
        "class 'yes': expected at least 5 training rows for 5 folds; found 3. "
        "Lower evaluate.folds, use the scheme kfold, or leave the class out."
    )


@pytest.mark.parametrize(("scheme", "least"), [("kfold", 5), ("time_series", 6)])
def test_fewer_rows_than_folds(scheme: str, least: int) -> None:
    with pytest.raises(DataError, match=f"at least {least} "):
        make(Evaluate(scheme=scheme), dataset(least - 1, times=np.arange(least - 1.0)))
    assert len(make(Evaluate(scheme=scheme), dataset(least, times=np.arange(float(least))))) == 5


@pytest.mark.parametrize("scheme", ["group", "time_series"])
def test_column_is_not_named(scheme: str) -> None:
    with pytest.raises(RecipeError, match=f"for the scheme {scheme}"):
        make(Evaluate(scheme=scheme), dataset())
