"""What may be lost: signs, defaults, promises that cannot be held; a share of the lift, and no
class.
"""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.compress.keep import Before, Keep, make
from sixfold.core.errors import RecipeError
from sixfold.evaluate.scoring import check_changes
from sixfold.recipe.compression import Compress

BEFORE = {
    "accuracy": np.array([0.9, 0.8]),
    "log_loss": np.array([0.4, 0.6]),
    "rmse": np.array([50.0, 150.0]),
}
LOW = {
    "accuracy": np.array([0.2, 0.2])
}  # so low that a tenth of the lift is more than any `keep` here
NONE = np.zeros(0, dtype=np.int64)


def after(**means: float) -> dict[str, np.ndarray]:
    return {
        name: np.array([means.get(name, float(values.mean()))] * 2)
        for name, values in BEFORE.items()
    }


def promise(
    keep: dict[str, float], baseline: dict[str, np.ndarray], keep_lift: float = 0.9
) -> Keep:
    return make(Compress(keep=keep, keep_lift=keep_lift), Before(BEFORE, baseline))


@pytest.mark.parametrize(
    ("section", "held", "violation"),
    [
        ({"accuracy": -0.01}, {"accuracy": 0.84}, {"accuracy": 0.8399}),
        ({"rmse": 0.5}, {"rmse": 100.5}, {"rmse": 100.51}),
        ({"accuracy": 0}, {"accuracy": 0.85}, {"accuracy": 0.8499}),
        (
            {"accuracy": -0.05, "rmse": 1},
            {"accuracy": 0.8, "rmse": 101},
            {"accuracy": 0.85, "rmse": 101.1},
        ),
        ({}, {"accuracy": 0.84}, {"accuracy": 0.839}),
    ],
)
def test_a_change_is_accepted_up_to_the_promise(
    section: dict[str, float], held: dict[str, float], violation: dict[str, float]
) -> None:
    keep = promise(section, LOW)
    assert keep.violation(after(**held), NONE) == ""
    assert keep.violation(after(**violation), NONE) != ""
    assert (
        keep.violation(after(accuracy=1.0, log_loss=0.0, rmse=0.0), NONE) == ""
    )  # better is always accepted


def test_left_out_it_is_one_per_cent_of_an_error() -> None:
    keep = make(Compress(), Before({"rmse": BEFORE["rmse"]}, {"rmse": np.array([500.0, 500.0])}))
    assert keep.violation({"rmse": np.array([101.0])[[0, 0]]}, NONE) == ""
    assert keep.violation({"rmse": np.array([101.1])[[0, 0]]}, NONE) == (
        "rmse would go from 100 to 101.1, and keep allows a change of +1"
    )
    assert keep.notes() == (
        "Compression: all steps together may cost at most 1 of rmse, as the mean over the validation folds."
    )


def test_a_metric_that_the_model_has_not_is_said() -> None:
    nowhere = np.array([np.nan, np.nan])
    keep = make(
        Compress(keep={"log_loss": 0.1}),
        Before({"log_loss": nowhere}, {"log_loss": np.array([0.7, 0.7])}),
    )
    assert keep.violation({"log_loss": np.array([0.1, 0.1])}, NONE) == (
        "this model cannot be scored by log_loss on every fold, so that keep cannot be held"
    )
    undefined = promise({"log_loss": 0.1}, LOW).violation(after(log_loss=float("nan")), NONE)
    assert undefined == "log_loss would go from 0.5 to nan, and keep allows a change of +0.1"


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (
            {"mcc": -0.1},
            "compress.keep.mcc: expected a metric that is measured (accuracy, rmse); found 'mcc'. Add it to evaluate.metrics.",
        ),
        (
            {"accuracy": 0.01},
            "compress.keep.accuracy: expected a change of 0 or less, since more is better; found 0.01. Write -0.01.",
        ),
        (
            {"rmse": -0.5},
            "compress.keep.rmse: expected a change of 0 or more, since less is better; found -0.5. Write 0.5.",
        ),
    ],
)
def test_a_promise_that_says_something_else_is_refused(
    section: dict[str, float], text: str
) -> None:
    with pytest.raises(RecipeError) as error:
        check_changes(section, ("accuracy", "rmse"))
    assert str(error.value) == text


def test_of_a_small_lift_a_tenth_may_go_whatever_keep_allows() -> None:
    keep = promise({"accuracy": -0.01}, {"accuracy": np.array([0.838, 0.838])})
    assert keep.bounds[0].allowed == pytest.approx(0.0012)
    assert keep.violation(after(accuracy=0.8488), NONE) == ""
    assert keep.violation(after(accuracy=0.8487), NONE) == (
        "accuracy would go from 0.85 to 0.8487, and a change of -0.0012 is allowed: 90% of its lift of 0.012 over the baseline "
        "of 0.838 must stay"
    )
    assert keep.notes() == (
        "Compression: all steps together may cost at most 0.0012 of accuracy (90% of its lift of 0.012 over the baseline of "
        "0.838 must stay), as the mean over the validation folds."
    )


def test_the_lift_counts_for_the_deciding_metric_that_keep_does_not_name() -> None:
    keep = promise({"log_loss": 0.3}, {"accuracy": np.array([0.75, 0.75])})
    assert keep.violation(after(log_loss=0.8, accuracy=0.841), NONE) == ""
    assert keep.violation(after(accuracy=0.839), NONE).startswith(
        "accuracy would go from 0.85 to 0.839, and a change of -0.01"
    )
    assert keep.violation(after(log_loss=0.81), NONE).startswith(
        "log_loss would go from 0.5 to 0.81, and keep allows"
    )


def test_an_error_has_a_lift_too() -> None:
    keep = promise({"rmse": 50}, {"rmse": np.array([120.0, 120.0])})
    assert keep.violation(after(rmse=102), NONE) == ""
    assert keep.violation(after(rmse=102.1), NONE).endswith(
        "90% of its lift of 20 over the baseline of 120 must stay"
    )


def test_a_model_as_bad_as_the_baseline_is_never_accepted() -> None:
    keep = promise({"accuracy": -0.9}, {"accuracy": np.array([0.6, 0.6])}, keep_lift=0.0)
    assert keep.violation(after(accuracy=0.601), NONE) == ""
    assert keep.violation(after(accuracy=0.6), NONE) == (
        "accuracy would go from 0.85 to 0.6, no better than the baseline of 0.6"
    )


def test_without_a_lift_there_is_nothing_to_spare() -> None:
    assert promise({}, LOW).no_lift() == ""
    assert promise({}, {"accuracy": np.array([0.85, 0.85])}).no_lift() == (
        "accuracy is 0.85, no better than the baseline of 0.85: nothing can be spared"
    )


def test_a_ranking_is_compared_on_the_folds_that_define_it() -> None:
    scores = {"accuracy": np.array([0.9, 0.9, 0.9]), "roc_auc": np.array([0.9, np.nan, 0.8])}
    baseline = {"accuracy": np.full(3, 0.1), "roc_auc": np.array([0.5, np.nan, 0.5])}
    keep = make(Compress(), Before(scores, baseline))
    kept = {**scores, "roc_auc": np.array([0.82, np.nan, 0.82])}
    assert keep.violation(kept, NONE) == ""
    lost = {**scores, "roc_auc": np.array([0.81, np.nan, 0.81])}
    assert keep.violation(lost, NONE).startswith(
        "roc_auc would go from 0.85 to 0.81, and a change of -0.035 is allowed"
    )


def test_a_class_that_was_found_stays_found() -> None:
    found = np.array([40, 3, 0])
    keep = make(Compress(), Before(BEFORE, LOW, found, ("a", "b", "c")))
    assert keep.violation(after(), np.array([30, 1, 0])) == ""
    assert keep.violation(after(), np.array([43, 0, 5])) == (
        "no validation row of the class 'b' would be found any more, where 3 are"
    )
    assert keep.notes().endswith("; every class that is found there stays found.")


def test_figures_that_look_alike_get_more_digits() -> None:
    keep = make(
        Compress(keep={"accuracy": 0}),
        Before({"accuracy": np.array([0.99999])}, {"accuracy": np.array([0.5])}),
    )
    assert "from 0.99999 to 0.99998," in keep.violation({"accuracy": np.array([0.99998])}, NONE)
