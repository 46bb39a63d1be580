"""Figures of out-of-fold predictions."""

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from sixfold.evaluate import curves
from sixfold.parts.table import Target

RNG = np.random.default_rng(0)
TARGET = Target("classification", RNG.integers(0, 2, 3000), ("y",), ("a", "b"))
P = np.stack(
    [1 - (own := np.clip(TARGET.values * 0.2 + RNG.random(3000) * 0.8, 0, 1)), own], axis=1
)


def test_confusion_leaves_out_unseen_rows() -> None:
    some = P.copy()
    some[:10] = np.nan
    found = curves.confusion(
        TARGET, np.where(np.isfinite(some).all(axis=1), some.argmax(axis=1), -1)
    )
    np.testing.assert_array_equal(
        found, confusion_matrix(TARGET.values[10:], P[10:].argmax(axis=1))
    )


def test_no_confusion_of_many_classes() -> None:
    names = tuple(map(str, range(31)))
    assert (
        curves.confusion(Target("classification", np.arange(31), ("y",), names), np.arange(31))
        is None
    )


def test_roc_area_and_bound() -> None:
    (line,) = curves.roc(TARGET, P)
    assert line.name == "b" and len(line.x) <= curves.POINTS
    assert abs(np.trapezoid(line.y, line.x) - roc_auc_score(TARGET.values, P[:, 1])) < 0.01


def test_precision_recall_starts_at_no_recall() -> None:
    (line,) = curves.precision_recall(TARGET, P)
    assert line.x[0] == 0 and line.x[-1] == 1 and (np.diff(line.x) >= 0).all()


def test_calibration_bins() -> None:
    (line,) = curves.calibration(TARGET, P)
    assert len(line.x) == curves.BINS and (np.diff(line.x) >= 0).all()
    np.testing.assert_allclose(line.y.mean(), TARGET.values.mean())


def test_residuals_in_words() -> None:
    y, off = np.arange(101.0), np.arange(101.0)
    off[100] = -1000.0
    predictions = np.append(y + off, np.nan)[:, None]  # the last row is in no fold
    target = Target("regression", np.append(y, 5.0), ("price",))
    assert curves.residuals_in_words(target, predictions) == (
        "price, 101 rows: half of the predictions are off by at most 50, nine in ten by at most 90, the worst by 1000; on "
        "average they are 39.11 too high."
    )


def test_residuals() -> None:
    y = RNG.normal(size=2000)
    line = curves.residuals(Target("regression", y, ("y",)), y[:, None] + 1)
    assert len(line.x) == curves.DOTS
    np.testing.assert_allclose(line.y, 1)
