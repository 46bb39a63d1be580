"""Metrics against definitions written out, and at their edges: every metric gets every check."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sixfold.parts.table import LOSS_SUMS, MARGIN, Target
from sixfold.recipe.kinds import METRIC

Array = np.ndarray[Any, Any]
# Those of ranks, of quantiles and of speech: test_recommenders.py, test_quantiles.py, test_transcripts.py.
NAMES = [
    name
    for name in METRIC.names()
    if METRIC.load(name).tasks.isdisjoint({"recommendation", "transcription"})
    and METRIC.load(name).of_quantiles != "only"
]
ORDER = np.random.default_rng(6).permutation(60)


def score(name: str, target: Target, predicted: Any, **options: Any) -> float:
    metric: Any = METRIC.load(name)(**options)
    found = metric.score(target, np.asarray(predicted, dtype=np.float64))
    assert type(found) is float
    return found


def classes(codes: Any, count: int = 2) -> Target:
    return Target(
        "classification", np.asarray(codes, dtype=np.int64), ("y",), tuple("abcd"[:count])
    )


def values(y: Any) -> Target:
    y = np.asarray(y, dtype=np.float64)
    return Target(
        "regression" if y.ndim == 1 else "reconstruction",
        y,
        tuple("abcd"[: 1 if y.ndim == 1 else y.shape[1]]),
    )


def is_for_classes(name: str) -> bool:
    return "classification" in METRIC.load(name).tasks


def is_for_texts(name: str) -> bool:
    return "generation" in METRIC.load(name).tasks


def problem(name: str, rows: int = 60) -> tuple[Target, Array]:
    """Rows with ties, in the probabilities of three classes or in values that depend on nothing; of
    texts sums and margins.
    """
    rng = np.random.default_rng(5)
    if is_for_texts(name):
        tokens = rng.integers(3, 20, rows)
        sums = [rng.uniform(1, 3, rows) * tokens, tokens, 4 * tokens, rng.normal(size=rows).round()]
        return Target("generation", np.zeros((rows, 4)), (*LOSS_SUMS, MARGIN)), np.stack(sums, 1)
    if is_for_classes(name):
        counts = rng.multinomial(8, (1 / 3, 1 / 3, 1 / 3), rows) + 2 / 3
        return classes(rng.permutation(np.arange(rows) % 3), 3), counts / counts.sum(
            axis=1, keepdims=True
        )
    up = 5.0 if name == "rmsle" else 0.0  # which values below 0 have not
    return values(rng.normal(size=rows) + up), rng.normal(size=(rows, 1)).round(1) + up


def check_order_of_rows_does_not_matter(name: str) -> None:
    target, predicted = problem(name)
    assert score(name, target.take(ORDER), predicted[ORDER]) == pytest.approx(
        score(name, target, predicted), abs=1e-12
    )


def check_nothing_is_written_into(name: str) -> None:
    target, predicted = problem(name)
    before = target.values.tobytes(), predicted.tobytes()
    score(name, target, predicted)
    assert before == (target.values.tobytes(), predicted.tobytes())


def check_one_row_gives_a_number_or_nan(name: str) -> None:
    target, predicted = problem(name)
    found = score(name, target.take(np.array([0])), predicted[:1])
    assert math.isnan(found) is (name in ("roc_auc", "r2"))


def check_a_constant_prediction_is_scored(name: str) -> None:
    target, predicted = problem(name)
    expected = {
        "accuracy": 1 / 3,
        "balanced_accuracy": 1 / 3,
        "f1": 1 / 6,
        "mcc": 0.0,
        "kappa": 0.0,
        "precision": 1 / 9,
        "recall": 1 / 3,
        "specificity": 2 / 3,
        "top_3_accuracy": 1.0,
        "top_5_accuracy": 1.0,
        "roc_auc": 0.5,
        "average_precision": 1 / 3,
        "brier": 2 / 3,
        "log_loss": math.log(3),
        "calibration_error": 0.0,
    }
    if is_for_classes(name):
        assert score(name, target, np.full_like(predicted, 1 / 3)) == pytest.approx(
            expected[name], abs=1e-12
        )
    else:
        mean = np.full_like(
            predicted, predicted.mean() if is_for_texts(name) else target.values.mean()
        )
        assert math.isfinite(score(name, target, mean))
        if name == "r2":
            assert score(name, target, mean) == pytest.approx(0.0, abs=1e-12)


def check_a_class_that_no_row_has(name: str) -> None:
    """A fourth class with no rows and no probability changes nothing (the mean is over the classes
    that occur).
    """
    target, predicted = problem(name)
    if is_for_classes(name):
        wider = np.concatenate([predicted, np.zeros((len(predicted), 1))], axis=1)
        found = score(name, classes(target.values, 4), wider)
        assert found == pytest.approx(score(name, target, predicted), abs=1e-12)
    elif not is_for_texts(name):  # several outputs: errors are means over all numbers
        twice = values(np.stack([target.values, target.values], axis=1))
        both = np.concatenate([predicted, predicted], axis=1)
        assert score(name, twice, both) == pytest.approx(score(name, target, predicted), abs=1e-12)


def check_better_is_better(name: str) -> None:
    """The truth is better than chance, in the direction that is declared."""
    target, predicted = problem(name)
    best = np.eye(3)[target.values.astype(int)] if is_for_classes(name) else target.values[:, None]
    if is_for_texts(name):  # every token is certain, and the better answer more probable
        best = predicted * [0, 1, 1, 0] + [0, 0, 0, 1]
    chance, perfect = score(name, target, predicted), score(name, target, best)
    least = 1.0 if name == "perplexity" else 0.0
    assert perfect == pytest.approx(
        1.0 if METRIC.load(name).greater_is_better else least, abs=1e-12
    )
    if not name.startswith("top_"):  # three classes are all among the three with the largest scores
        assert (perfect > chance) is METRIC.load(name).greater_is_better


CHECKS: tuple[Callable[[str], None], ...] = (
    check_order_of_rows_does_not_matter,
    check_nothing_is_written_into,
    check_one_row_gives_a_number_or_nan,
    check_a_constant_prediction_is_scored,
    check_a_class_that_no_row_has,
    check_better_is_better,
)


@pytest.mark.parametrize("name", NAMES)
def test_metric(name: str) -> None:
    done = 0
    for check in CHECKS:
        check(name)
        done += 1
    assert done == 6


# ---- definitions, written out


def test_roc_auc_counts_pairs_and_half_of_the_ties() -> None:
    truth = [0, 1, 1, 0, 1, 0, 0]
    p = [0.1, 0.9, 0.5, 0.5, 0.5, 0.7, 0.2]
    pairs = [
        (p[i], p[j])
        for i, j in itertools.product(range(7), range(7))
        if truth[i] == 1 and truth[j] == 0
    ]
    wins = sum(1.0 if high > low else 0.5 if high == low else 0.0 for high, low in pairs)
    assert score("roc_auc", classes(truth), [[1 - x, x] for x in p]) == pytest.approx(
        wins / len(pairs)
    )


def test_average_precision_sums_over_thresholds() -> None:
    truth, p = [0, 1, 1, 0, 1], [0.1, 0.9, 0.5, 0.5, 0.3]
    area, recall = 0.0, 0.0
    for threshold in sorted(set(p), reverse=True):
        chosen = [t for t, x in zip(truth, p, strict=True) if x >= threshold]
        area += (sum(chosen) / 3 - recall) * sum(chosen) / len(chosen)
        recall = sum(chosen) / 3
    assert score("average_precision", classes(truth), [[1 - x, x] for x in p]) == pytest.approx(
        area
    )


def test_mcc_and_f1_from_the_four_counts() -> None:
    truth, label = [0, 1, 1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 1, 0, 1, 0]
    counts = [
        sum(1 for t, b in zip(truth, label, strict=True) if (t, b) == pair)
        for pair in itertools.product((0, 1), (0, 1))
    ]
    tn, fp, fn, tp = counts
    mcc = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    predicted = np.eye(2)[label]
    assert score("mcc", classes(truth), predicted) == pytest.approx(mcc)
    assert score("f1", classes(truth), predicted) == pytest.approx(2 * tp / (2 * tp + fp + fn))
    swapped = score("f1", classes(1 - np.array(truth)), predicted[:, ::-1])
    assert swapped == pytest.approx(2 * tn / (2 * tn + fp + fn))  # positive is the last class


def test_brier_of_two_and_of_three_classes() -> None:
    assert score("brier", classes([1, 0]), [[0.2, 0.8], [0.9, 0.1]]) == pytest.approx(
        (0.04 + 0.01) / 2
    )
    assert score("brier", classes([2], 3), [[0.2, 0.3, 0.5]]) == pytest.approx(0.04 + 0.09 + 0.25)


def test_log_loss_of_certain_mistakes_is_finite() -> None:
    assert score("log_loss", classes([1, 0]), [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(
        -math.log(1e-15) / 2
    )


def test_calibration_error_has_fifteen_bins() -> None:
    """Two bins: 0.95 sure and right half of the time; 0.6 sure and right always."""
    p = [[0.05, 0.95]] * 4 + [[0.6, 0.4]] * 4
    assert score("calibration_error", classes([1, 1, 0, 0, 0, 0, 0, 0]), p) == pytest.approx(
        0.5 * 0.45 + 0.5 * 0.4
    )
    near = [[0.34, 0.66], [0.335, 0.665]]  # 0.66 and 0.665: one bin of fifteen, two of a hundred
    assert score("calibration_error", classes([0, 1]), near) == pytest.approx(
        (0.66 + 0.665 - 1) / 2
    )
    assert score("calibration_error", classes([0, 1]), near, bins=200) == pytest.approx(
        (0.66 + 0.335) / 2
    )


def test_mcc_of_one_class_is_zero_without_a_warning() -> None:
    for code in (0, 1):
        assert score("mcc", classes([code] * 3), [[0.9, 0.1]] * 3) == 0.0


def test_pinball_of_the_median_is_half_of_the_mean_absolute_error() -> None:
    target, predicted = values([3.0, 1.0]), [[1.0], [2.0]]
    assert (
        score("pinball", target, predicted)
        == pytest.approx(0.75)
        == score("mae", target, predicted) / 2
    )


def test_mape_is_a_share_and_survives_a_truth_of_zero() -> None:
    assert score("mape", values([10.0, -4.0]), [[11.0], [-3.0]]) == pytest.approx((0.1 + 0.25) / 2)
    assert score("mape", values([0.0]), [[0.0]]) == 0.0
    assert math.isfinite(score("mape", values([0.0]), [[1.0]]))


def test_r2_leaves_constant_outputs_out() -> None:
    truth = np.array([[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]])
    assert score("r2", values(truth), truth + np.array([0.0, 5.0])) == 1.0
    assert math.isnan(score("r2", values([0.1, 0.1, 0.1]), [[0.1], [0.1], [0.1]]))


def test_errors_of_a_reconstruction_are_means_over_all_numbers() -> None:
    truth, predicted = np.zeros((2, 2)), np.array([[1.0, -3.0], [0.0, 0.0]])
    assert score("mae", values(truth), predicted) == 1.0
    assert score("mse", values(truth), predicted) == 2.5
    assert score("rmse", values(truth), predicted) == pytest.approx(math.sqrt(2.5))


def test_equal_scores_count_as_labels_are_decided() -> None:
    """The first of them is the largest: so the one largest is what accuracy looks at."""
    p = [[0.25, 0.25, 0.25, 0.25]] * 4
    assert score("top_3_accuracy", classes([0, 1, 2, 3], 4), p) == 0.75


def test_specificity_is_the_recall_of_the_other_class() -> None:
    truth, label = [0, 1, 1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0, 1, 0]
    swapped = score("recall", classes(1 - np.array(truth)), np.eye(2)[label][:, ::-1])
    assert score("specificity", classes(truth), np.eye(2)[label]) == swapped == 0.5


def test_kappa_of_one_class_is_zero_without_a_warning() -> None:
    assert score("kappa", classes([1] * 3), [[0.1, 0.9]] * 3) == 0.0


def test_rmsle_of_values_below_zero() -> None:
    """A true one is a mistake; a predicted one is as wrong as 0."""
    assert math.isnan(score("rmsle", values([-1.0, 2.0]), [[1.0], [2.0]]))
    below = score("rmsle", values([1.0, 2.0]), [[-3.0], [2.0]])
    assert below == score("rmsle", values([1.0, 2.0]), [[0.0], [2.0]])
