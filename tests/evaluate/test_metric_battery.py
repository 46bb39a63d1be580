"""Every metric: against scikit-learn or a formula; perfect is best; what it is for is declared."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from sixfold.parts.table import Target
from sixfold.recipe.kinds import METRIC

NAMES = sorted(METRIC.names())
RNG = np.random.default_rng(3)
CODES = RNG.permutation(np.arange(90) % 2)
P = RNG.dirichlet((1, 1), 90)
CODES3 = RNG.permutation(np.arange(90) % 3)
P3 = RNG.dirichlet((1, 1, 1), 90)
Y = RNG.normal(size=90) + 5
V = Y + RNG.normal(size=90)


def classes(codes: Any, count: int) -> Target:
    return Target("classification", codes, ("y",), tuple("abc"[:count]))


def _calibration(codes: Any, p: Any) -> float:
    confidence, hit, total = p.max(axis=1), p.argmax(axis=1) == codes, 0.0
    for low in np.arange(15) / 15:
        rows = (confidence >= low) & (confidence < low + 1 / 15)
        if rows.any():
            total += rows.mean() * abs(confidence[rows].mean() - hit[rows].mean())
    return total


def _one_hot(codes: Any, p: Any) -> Any:
    return np.eye(p.shape[1])[codes]


CLASSIFICATION: dict[str, Any] = {
    "accuracy": lambda c, p: reference.accuracy_score(c, p.argmax(1)),
    "balanced_accuracy": lambda c, p: reference.balanced_accuracy_score(c, p.argmax(1)),
    "f1": lambda c, p: reference.f1_score(c, p.argmax(1), average="binary" if p.shape[1] == 2 else "macro"),
    "mcc": lambda c, p: reference.matthews_corrcoef(c, p.argmax(1)),
    "log_loss": lambda c, p: reference.log_loss(c, p),
    "roc_auc": lambda c, p: (
        reference.roc_auc_score(c, p[:, 1]) if p.shape[1] == 2 else reference.roc_auc_score(c, p, multi_class="ovr")
    ),
    "average_precision": lambda c, p: reference.average_precision_score(
        c if p.shape[1] == 2 else _one_hot(c, p), p[:, 1] if p.shape[1] == 2 else p
    ),
    "brier": lambda c, p: ((p - _one_hot(c, p)) ** 2).sum(1).mean() / (2 if p.shape[1] == 2 else 1),
    "calibration_error": _calibration,
}
REGRESSION: dict[str, Any] = {
    "mae": reference.mean_absolute_error,
    "mse": reference.mean_squared_error,
    "rmse": reference.root_mean_squared_error,
    "r2": reference.r2_score,
    "mape": reference.mean_absolute_percentage_error,
    "pinball": reference.mean_pinball_loss,
}


def score(name: str, target: Target, predicted: Any) -> float:
    metric: Any = METRIC.load(name)()
    return float(metric.score(target, predicted))


def test_every_metric_has_a_reference() -> None:
    assert sorted([*CLASSIFICATION, *REGRESSION]) == NAMES
    assert len(NAMES) == 15


@pytest.mark.parametrize("name", sorted(CLASSIFICATION))
def test_classification(name: str) -> None:
    checks = 0
    for codes, p in ((CODES, P), (CODES3, P3)):
        target, metric = classes(codes, p.shape[1]), METRIC.load(name)
        found, best = score(name, target, p), score(name, target, _one_hot(codes, p))
        assert found == pytest.approx(CLASSIFICATION[name](codes, p), abs=1e-12)
        assert best == pytest.approx(1.0 if metric.greater_is_better else 0.0, abs=1e-12)
        assert best > found if metric.greater_is_better else best < found
        checks += 3
    assert metric.tasks == {"classification"} and metric.needs in ("label", "score", "probability")
    assert checks == 6


@pytest.mark.parametrize("name", sorted(REGRESSION))
def test_regression(name: str) -> None:
    target, metric = Target("regression", Y, ("y",)), METRIC.load(name)
    found, best = score(name, target, V[:, None]), score(name, target, Y[:, None])
    assert found == pytest.approx(REGRESSION[name](Y, V), abs=1e-12)
    assert best == (1.0 if metric.greater_is_better else 0.0)
    assert best > found if metric.greater_is_better else best < found
    assert metric.tasks == {"regression", "reconstruction"} and metric.needs == "value"


@pytest.mark.parametrize("name", sorted(CLASSIFICATION))
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_in_a_fold(name: str, label: int) -> None:
    found = score(name, classes(np.full(5, label), 2), P[:5])
    if name == "roc_auc":
        assert np.isnan(found)
    else:
        assert np.isfinite(found) or (name == "average_precision" and label == 0)
