"""Metrics by name: what fits a task, what a family's output allows, and in which words the rest is
refused.
"""

import numpy as np
import pytest

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import METRIC

CLASSES = Target("classification", np.array([0, 1, 1, 0, 1]), ("y",), ("no", "yes"))
VALUES = Target("regression", np.array([1.0, 2.0, 4.0]), ("y",))
DECISIONS = np.array([[1.0, -1.0], [-2.0, 2.0], [0.5, -0.5], [3.0, -3.0], [-1.0, 1.0]])
LABELS = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "kappa",
    "mcc",
    "precision",
    "recall",
    "specificity",
)
SCORES = ("roc_auc", "average_precision", "top_3_accuracy", "top_5_accuracy")
PROBABILITIES = ("log_loss", "brier", "calibration_error")


def test_decision_values_have_labels_and_an_order_but_no_probability() -> None:
    found = scoring.score_all([*LABELS, *SCORES, *PROBABILITIES], CLASSES, DECISIONS, "decision")
    assert {name for name, score in found.items() if score is None} == set(PROBABILITIES)
    assert found["accuracy"] == 0.8
    assert found["roc_auc"] == 1.0


def test_rows_that_do_not_define_a_metric_have_no_score() -> None:
    one = CLASSES.take(np.array([1, 2]))
    found = scoring.score_all(["roc_auc", "accuracy"], one, DECISIONS[1:3], "decision")
    assert found == {"roc_auc": None, "accuracy": 0.5}
    assert scoring.score_all(["r2"], VALUES.take(np.array([0])), np.array([[3.0]]), "value") == {
        "r2": None
    }


def test_probabilities_are_scored_by_everything() -> None:
    p = np.array([0.2, 0.9, 0.4, 0.1, 0.7])
    found = scoring.score_all(
        [*LABELS, *SCORES, *PROBABILITIES], CLASSES, np.stack([1 - p, p], axis=1), "probability"
    )
    assert None not in found.values()
    assert len(found) == len((*LABELS, *SCORES, *PROBABILITIES))


def test_every_metric_is_of_one_of_the_groups() -> None:
    values = {name for name in METRIC.names() if METRIC.load(name).needs == "value"}
    assert {*LABELS, *SCORES, *PROBABILITIES} | values == set(METRIC.names())


def test_defaults_by_task() -> None:
    assert scoring.check((), "classification") == ("accuracy", "log_loss", "roc_auc")
    assert scoring.check((), "regression") == ("rmse", "mae", "r2")
    assert scoring.check((), "reconstruction") == ("mse", "mae")
    for task, names in scoring.DEFAULTS.items():
        assert scoring.check(names, task) == names


def test_a_name_twice_is_one_metric() -> None:
    assert scoring.check(("mae", "rmse", "mae"), "regression") == ("mae", "rmse")


def test_a_metric_of_another_task() -> None:
    text = (
        "evaluate.metrics: expected metrics for classification; found 'rmse', which is for reconstruction, regression. "
        "Choose from: accuracy, average_precision, balanced_accuracy, brier, calibration_error, f1, kappa, log_loss, mcc, "
        "precision, recall, roc_auc, specificity, top_3_accuracy, top_5_accuracy."
    )
    with pytest.raises(RecipeError) as caught:
        scoring.check(("accuracy", "rmse"), "classification")
    assert str(caught.value) == text
    with pytest.raises(RecipeError) as caught:
        scoring.score_all(["rmse"], CLASSES, DECISIONS, "decision")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "call", [scoring.greater_is_better, lambda name: scoring.check((name,), "regression")]
)
def test_a_misspelled_metric(call: object) -> None:
    assert callable(call)
    with pytest.raises(RecipeError) as caught:
        call("acuracy")
    assert str(caught.value).startswith(
        "metric: expected the name of a metric; found 'acuracy'. Did you mean 'accuracy'?"
    )


def test_directions() -> None:
    better = {name for name in METRIC.names() if scoring.greater_is_better(name)}
    assert better == {
        "accuracy",
        "average_precision",
        "balanced_accuracy",
        "coverage_at_10",
        "f1",
        "interval_coverage",
        "kappa",
        "map_at_10",
        "mcc",
        "mrr",
        "ndcg_at_10",
        "ndcg_at_20",
        "novelty_at_10",
        "precision",
        "preference_accuracy",
        "r2",
        "recall",
        "recall_at_10",
        "recall_at_20",
        "roc_auc",
        "specificity",
        "top_3_accuracy",
        "top_5_accuracy",
    }


def _dataset(target: Target) -> Dataset:
    rows = len(target.values)
    return Dataset(Table({"x": Column("number", np.arange(float(rows)))}, rows), target)


def test_the_baseline_knows_the_training_rows_classes_only() -> None:
    """Training rows: no, yes, yes. Validation: no, yes."""
    found = baseline(
        _dataset(CLASSES),
        [Fold(np.array([0, 1, 2]), np.array([3, 4]))],
        ["accuracy", "log_loss", "roc_auc"],
    )
    assert found["accuracy"].tolist() == [0.5]
    assert found["log_loss"][0] == pytest.approx(-(np.log(1 / 3) + np.log(2 / 3)) / 2)
    assert found["roc_auc"].tolist() == [0.5]


def test_the_baseline_of_values_is_the_training_rows_mean() -> None:
    folds = [Fold(np.array([0, 1]), np.array([2])), Fold(np.array([1, 2]), np.array([0]))]
    found = baseline(_dataset(VALUES), folds, ["mae", "rmse", "r2"])
    assert found["mae"].tolist() == [2.5, 2.0]
    assert found["rmse"].tolist() == [2.5, 2.0]
    assert list(found) == ["mae", "rmse"]  # one row has no variance, and so no R²


def test_a_deciding_metric_that_the_folds_do_not_define() -> None:
    with pytest.raises(RecipeError) as caught:
        baseline(
            _dataset(CLASSES), [Fold(np.array([0, 1, 2]), np.array([3]))], ["roc_auc", "accuracy"]
        )
    assert str(caught.value) == (
        "evaluate.metrics: expected a first metric that the validation rows of every fold define; found 'roc_auc', which "
        "some fold of one class, or of equal values, does not. Put another metric first, or choose larger or stratified folds."
    )


def test_the_baseline_of_a_reconstruction_is_a_mean_a_column() -> None:
    target = Target("reconstruction", np.array([[0.0, 10.0], [2.0, 30.0], [1.0, 20.0]]), ("a", "b"))
    found = baseline(_dataset(target), [Fold(np.array([0, 1]), np.array([2]))], ["mse"])
    assert found["mse"].tolist() == [0.0]
