"""Every check for every imputer: the folder is listed, and how many checks each one got is
asserted.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import NAN, Array, ask_step, codes, saved
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge
from sklearn.preprocessing import StandardScaler

from sixfold.core.errors import RecipeError
from sixfold.parts import state
from sixfold.parts.state import State
from sixfold.prepare.step import Training
from sixfold.recipe.kinds import IMPUTER

ROWS, WIDTH, LEVELS = 90, 5, 6


def numbers(rows: int = ROWS, seed: int = 0) -> Array:
    """Correlated columns with gaps; the last one has none."""
    rng = np.random.default_rng(seed)
    x = (
        rng.normal(size=(rows, 2)) @ rng.normal(size=(2, WIDTH))
        + 0.3 * rng.normal(size=(rows, WIDTH))
        + 5.0
    )
    x[:, 1] = np.round(x[:, 1])
    gaps = rng.random((rows, WIDTH)) < 0.15
    gaps[:, -1] = False
    return np.where(gaps, NAN, x)


def simple(strategy: str, **options: Any) -> Callable[[Array, Array], Array]:
    return lambda x, new: np.asarray(
        SimpleImputer(strategy=strategy, **options).fit(x).transform(new)
    )


def nearest(x: Array, new: Array) -> Array:
    scaler = StandardScaler().fit(x)
    found = KNNImputer(n_neighbors=5).fit(scaler.transform(x)).transform(scaler.transform(new))
    found = scaler.inverse_transform(found)
    found[:, ~np.isnan(x).any(axis=0)] = scaler.mean_[
        ~np.isnan(x).any(axis=0)
    ]  # without gaps in training: the mean
    return np.asarray(np.where(np.isnan(new), found, new))


def iterated(x: Array, new: Array) -> Array:
    low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    imputer = IterativeImputer(
        BayesianRidge(),
        max_iter=5,
        random_state=3,
        skip_complete=True,
        min_value=low,
        max_value=high,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(imputer.fit(x).transform(new))


@dataclass(frozen=True)
class Case:
    """The reference for numbers; what a missing code becomes (rows of `codes`, where it takes
    categories).
    """

    numbers: Callable[[Array, Array], Array]
    missing_code: int | None = None
    refuses: tuple[tuple[dict[str, Any], str], ...] = ()
    variants: tuple[dict[str, Any], ...] = field(default=({},))


NO_OPTIONS = "expected one of its options; found 'value'. Leave it out: there are no options."
CASES = {
    "mean": Case(simple("mean"), refuses=(({"value": 1}, f"imputer mean: {NO_OPTIONS}"),)),
    "median": Case(simple("median"), refuses=(({"value": 1}, f"imputer median: {NO_OPTIONS}"),)),
    "most_frequent": Case(
        simple("most_frequent"),
        missing_code=0,
        refuses=(({"value": 1}, f"imputer most_frequent: {NO_OPTIONS}"),),
    ),
    "constant": Case(
        simple("constant", fill_value=0.0),
        missing_code=LEVELS,
        refuses=(
            (
                {"value": "much"},
                "imputer constant, value: expected a valid number, unable to parse string as a number; found 'much'. "
                "Change value.",
            ),
        ),
        variants=({}, {"value": -7.5}),
    ),
    "k_nearest": Case(
        nearest,
        refuses=(
            (
                {"neighbors": 0},
                "imputer k_nearest, neighbors: expected greater than or equal to 1; found 0. Change neighbors.",
            ),
            (
                {"neighbours": 3},
                "imputer k_nearest: expected one of its options; found 'neighbours'. Did you mean 'neighbors'? "
                "All: donors, neighbors.",
            ),
        ),
        variants=({}, {"neighbors": 3, "donors": 20}, {"neighbors": 500}),
    ),
    "iterative": Case(
        iterated,
        refuses=(
            (
                {"rounds": 51},
                "imputer iterative, rounds: expected less than or equal to 50; found 51. Change rounds.",
            ),
        ),
        variants=({}, {"rounds": 2, "rows": 30}),
    ),
    "none": Case(
        lambda x, new: new,
        missing_code=-1,
        refuses=(({"value": 1}, f"imputer none: {NO_OPTIONS}"),),
    ),
}


def make(name: str, **options: Any) -> Any:
    return IMPUTER.make({"name": name, **options})


def training(width: int, levels: int = 0) -> Training:
    known = (tuple(f"level {i}" for i in range(levels)),) * width if levels else ()
    return Training(
        tuple(f"x{i}" for i in range(width)), np.zeros((ROWS, 1)), "regression", 3, known
    )


def fit(name: str, x: Array, **options: Any) -> Any:
    return make(name, **options).fit(x, training(x.shape[1], LEVELS if x.dtype.kind == "i" else 0))


def blocks(name: str) -> list[Array]:
    """Training values of every type the imputer takes."""
    takes = make(name).takes
    return [numbers()] * ("number" in takes) + [codes(ROWS, LEVELS)] * ("category" in takes)


def new_rows(x: Array) -> Array:
    """Rows that were not trained on: gaps, a row of gaps alone, values out of range, unseen
    codes.
    """
    if x.dtype.kind == "i":
        return np.array([[0, 1], [-1, -1], [-2, 3], [5, -2]], dtype=np.int64)
    found = numbers(40, seed=9)
    found[0] = NAN
    found[1] *= 50
    found[2, -1] = NAN
    return found


def steps(name: str) -> list[tuple[Any, Array, Array]]:
    """Fitted step, training values, new rows: for every variant and every type it takes."""
    return [(fit(name, x, **v), x, new_rows(x)) for v in CASES[name].variants for x in blocks(name)]


def check_numbers_equal_the_reference(name: str) -> None:
    x = numbers()
    step, new = fit(name, x), new_rows(x)
    np.testing.assert_allclose(step.transform(x), CASES[name].numbers(x, x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        step.transform(new), CASES[name].numbers(x, new), rtol=1e-9, atol=1e-9
    )


def check_categories_equal_the_reference(name: str) -> None:
    x = codes(ROWS, LEVELS)
    new = new_rows(x)
    found = fit(name, x).transform(new)
    np.testing.assert_array_equal(
        found[:, 1], np.where(new[:, 1] == -1, CASES[name].missing_code, new[:, 1])
    )


def check_takes_what_is_tried(name: str) -> None:
    kinds = (
        {"number", "date"}
        if CASES[name].missing_code is None
        else {"number", "date", "category", "boolean"}
    )
    assert "number" in make(name).takes <= kinds
    assert ("category" in make(name).takes) == (CASES[name].missing_code is not None)


def check_graph_equals_numpy(name: str) -> None:
    for step, x, new in steps(name):
        for rows in (x, new, new[:1], x[:1]):
            np.testing.assert_allclose(
                ask_step(step, rows), step.transform(rows), rtol=1e-9, atol=1e-9
            )


def check_numbers_have_no_gaps_left(name: str) -> None:
    tried = [(step, new) for step, x, new in steps(name) if x.dtype.kind == "f"]
    assert len(tried) == len(CASES[name].variants)
    for step, new in tried:
        assert np.isfinite(step.transform(new)).all()
        present = ~np.isnan(new)
        np.testing.assert_array_equal(step.transform(new)[present], new[present])


def check_rows_do_not_look_at_each_other(name: str) -> None:
    for step, _, new in steps(name):
        together = step.transform(new)
        for number in range(len(new)):
            np.testing.assert_allclose(
                step.transform(new[number : number + 1]), together[number : number + 1], rtol=1e-12
            )


def check_save_and_load(name: str, folder: Path) -> None:
    for number, (step, _, new) in enumerate(steps(name)):
        saved(step, folder / str(number))
        again: Any = state.load(folder / str(number), State)
        np.testing.assert_array_equal(again.transform(new), step.transform(new))


def check_the_same_seed_gives_the_same_bytes(name: str, folder: Path) -> None:
    for number, (one, other) in enumerate(zip(steps(name), steps(name), strict=True)):
        assert saved(one[0], folder / f"a{number}") == saved(other[0], folder / f"b{number}")


def check_refuses_bad_settings(name: str) -> None:
    assert CASES[name].refuses
    for options, text in CASES[name].refuses:
        with pytest.raises(RecipeError) as caught:
            make(name, **options)
        assert str(caught.value) == text


def check_names_and_sources(name: str) -> None:
    for step, x, _ in steps(name):
        names = [f"x{i}" for i in range(x.shape[1])]
        assert [(f.name, f.source) for f in step.features(names)] == [
            (n, i) for i, n in enumerate(names)
        ]


def check_does_not_change_its_input(name: str) -> None:
    for step, x, new in steps(name):
        before = new.copy()
        step.transform(new)
        np.testing.assert_array_equal(new, before)
        trained = x.copy()
        make(name).fit(trained, training(x.shape[1], LEVELS if x.dtype.kind == "i" else 0))
        np.testing.assert_array_equal(trained, x)


CHECKS: dict[str, Callable[..., None]] = {
    n: f for n, f in dict(globals()).items() if n.startswith("check_")
}
NOT_FOR = {
    "check_categories_equal_the_reference": {
        name for name, case in CASES.items() if case.missing_code is None
    },
    "check_numbers_have_no_gaps_left": {"none"},
}
PAIRS = [
    (name, check)
    for name in IMPUTER.names()
    for check in CHECKS
    if name not in NOT_FOR.get(check, ())
]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_imputer(name: str, check: str, tmp_path: Path) -> None:
    function = CHECKS[check]
    if "folder" in function.__annotations__:
        function(name, folder=tmp_path)
    else:
        function(name)


def test_every_imputer_gets_every_check() -> None:
    assert set(CASES) == set(IMPUTER.names())
    assert Counter(name for name, _ in PAIRS) == {
        "constant": 11,
        "iterative": 10,
        "k_nearest": 10,
        "mean": 10,
        "median": 10,
        "most_frequent": 11,
        "none": 10,
    }


def test_equally_near_donors_are_taken_in_order() -> None:
    """Six donors at the same distance, more than are asked for: the graph must choose as NumPy
    does.
    """
    x = np.array(
        [[1.0, 10.0], [1.0, 20.0], [1.0, 30.0], [3.0, 40.0], [3.0, 50.0], [3.0, 60.0], [2.0, NAN]]
    )
    step = fit("k_nearest", x, neighbors=2)
    new = np.array([[2.0, NAN], [1.0, NAN], [NAN, NAN]])
    expected = [15.0, 15.0, 35.0]
    np.testing.assert_allclose(step.transform(new)[:, 1], expected, rtol=1e-12)
    np.testing.assert_allclose(ask_step(step, new)[:, 1], expected, rtol=1e-12)


def test_a_rare_value_is_among_the_donors() -> None:
    x = np.column_stack([np.arange(50.0), np.where(np.arange(50) == 41, 7.0, NAN)])
    step = fit("k_nearest", x, donors=5)
    assert step.transform(np.array([[3.0, NAN]]))[0, 1] == pytest.approx(7.0)


def test_one_column_alone_gets_its_mean() -> None:
    for name in ("iterative", "k_nearest"):
        x = np.array([[1.0], [NAN], [5.0]])
        step = fit(name, x)
        np.testing.assert_allclose(step.transform(x), [[1.0], [3.0], [5.0]])
        np.testing.assert_allclose(ask_step(step, x), [[1.0], [3.0], [5.0]])
