"""What may be lost: signs, defaults, and promises that cannot be held."""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.compress.keep import check, make
from sixfold.core.errors import RecipeError

BEFORE = {"accuracy": np.array([0.9, 0.8]), "log_loss": np.array([0.4, 0.6]), "rmse": np.array([50.0, 150.0])}


def after(**means: float) -> dict[str, np.ndarray]:
    return {name: np.array([means.get(name, float(values.mean()))] * 2) for name, values in BEFORE.items()}


@pytest.mark.parametrize(
    ("section", "held", "broken"),
    [
        ({"accuracy": -0.01}, {"accuracy": 0.84}, {"accuracy": 0.8399}),
        ({"rmse": 0.5}, {"rmse": 100.5}, {"rmse": 100.51}),
        ({"accuracy": 0}, {"accuracy": 0.85}, {"accuracy": 0.8499}),
        ({"accuracy": -0.05, "rmse": 1}, {"accuracy": 0.8, "rmse": 101}, {"accuracy": 0.85, "rmse": 101.1}),
        ({}, {"accuracy": 0.84}, {"accuracy": 0.839}),
    ],
)
def test_a_change_is_accepted_up_to_the_promise(
    section: dict[str, float], held: dict[str, float], broken: dict[str, float]
) -> None:
    keep = make(section, BEFORE)
    assert keep.broken(after(**held)) == ""
    assert keep.broken(after(**broken)) != ""
    assert keep.broken(after(accuracy=1.0, log_loss=0.0, rmse=0.0)) == ""  # better is always accepted


def test_left_out_it_is_one_per_cent_of_an_error() -> None:
    keep = make({}, {"rmse": BEFORE["rmse"]})
    assert keep.broken({"rmse": np.array([101.0])}) == ""
    assert keep.broken({"rmse": np.array([101.1])}) == "rmse would go from 100 to 101.1, and keep allows a change of +1"
    assert keep.said() == "Compression: rmse may get worse by 1 at most, as the mean over the validation folds."


def test_a_metric_that_the_model_has_not_is_said() -> None:
    keep = make({"log_loss": 0.1}, {"log_loss": np.array([np.nan, np.nan])})
    assert keep.broken({"log_loss": np.array([0.1, 0.1])}) == (
        "this model cannot be scored by log_loss on every fold, so that keep cannot be held"
    )
    undefined = make({"log_loss": 0.1}, BEFORE).broken(after(log_loss=float("nan")))
    assert undefined == "log_loss would go from 0.5 to nan, and keep allows a change of +0.1"


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"mcc": -0.1},
         "compress.keep.mcc: expected a metric that is measured (accuracy, rmse); found 'mcc'. Add it to evaluate.metrics."),
        ({"accuracy": 0.01},
         "compress.keep.accuracy: expected a change of 0 or less, since more is better; found 0.01. Write -0.01."),
        ({"rmse": -0.5}, "compress.keep.rmse: expected a change of 0 or more, since less is better; found -0.5. Write 0.5."),
    ],
)  # fmt: skip
def test_a_promise_that_says_something_else_is_refused(section: dict[str, float], text: str) -> None:
    with pytest.raises(RecipeError) as error:
        check(section, ("accuracy", "rmse"))
    assert str(error.value) == text
