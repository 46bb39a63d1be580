"""What a model that ignores the features scores: every claim stands beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import Dataset, FloatArray, Target


def baseline(dataset: Dataset, folds: Sequence[Fold], metrics: Sequence[str]) -> dict[str, FloatArray]:
    """Metric → float64 [folds], the score of the fold's training rows' class shares, or of their mean; NaN where undefined."""
    scores = {name: np.full(len(folds), np.nan) for name in metrics}
    kind: OutputKind = "probability" if dataset.target.task == "classification" else "value"
    for number, fold in enumerate(folds):
        validation = dataset.target.take(fold.validation)
        predicted = np.repeat(_constant(dataset.target.take(fold.train))[None, :], len(fold.validation), axis=0)
        for name, score in scoring.score_all(metrics, validation, predicted, kind).items():
            scores[name][number] = np.nan if score is None else score
    return scores


def _constant(target: Target) -> FloatArray:
    if target.task == "classification":
        counts = np.bincount(target.values.astype(np.int64), minlength=target.outputs)
        return np.asarray(counts / counts.sum())
    return np.asarray(target.values.reshape(len(target.values), -1).mean(axis=0), dtype=np.float64)
