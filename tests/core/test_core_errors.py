"""Errors in four parts, and the words that help."""

from __future__ import annotations

import copy
import pickle

import pytest

from sixfold.core import errors
from sixfold.core.errors import SixfoldError, did_you_mean, one

KINDS = [
    errors.RecipeError,
    errors.DataError,
    errors.FitError,
    errors.BudgetError,
    errors.BundleError,
    errors.RowError,
    errors.SystemFault,
]


def test_each_kind_has_its_exit_code() -> None:
    assert [kind.exit_code for kind in KINDS] == [2, 3, 4, 5, 6, 7, 8]
    assert SixfoldError.exit_code == 1
    own = {kind for kind in SixfoldError.__subclasses__() if kind.__module__ == errors.__name__}
    assert own == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_four_parts_make_one_sentence(kind: type[SixfoldError]) -> None:
    error = kind("a.csv, line 3", "15 fields", "14 fields", "Add the missing field.")
    assert (
        str(error) == "a.csv, line 3: expected 15 fields; found 14 fields. Add the missing field."
    )
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_a_process_border(kind: type[SixfoldError]) -> None:
    error = kind("where", "expected", "found", "remedy")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert (again.where, again.expected, again.found, again.remedy) == (
            "where",
            "expected",
            "found",
            "remedy",
        )


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("mpl", ["svm", "mlp"], "Did you mean 'mlp'? All: mlp, svm."),
        ("zzz", ["svm", "mlp"], "All: mlp, svm."),
        ("", ["a"], "All: a."),
        ("a", [], "All: ."),
    ],
)
def test_the_nearest_name(name: str, known: list[str], text: str) -> None:
    assert did_you_mean(name, known) == text
    assert did_you_mean(name, iter(known)) == text


def test_articles() -> None:
    assert [one(noun) for noun in ("metric", "optimizer", "imputer", "family")] == [
        "a metric",
        "an optimizer",
        "an imputer",
        "a family",
    ]
