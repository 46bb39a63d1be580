"""Out-of-fold predictions for people: one Parquet table of every candidate's answer for every row
that it did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.thresholds import decided
from sixfold.parts.table import BoolArray, Dataset, FloatArray, IntArray, Target, quantile_name
from sixfold.parts.transcripts import texts_of


def labels(evaluation: Evaluation, folds: Sequence[Fold]) -> IntArray:
    """[rows] the class that each row's own fold model decides on, -1 for rows that no fold
    validates.

    Where several folds validate a row, the mean of their predictions against the mean of their
    thresholds.
    """
    found = np.full(len(evaluation.predictions), -1, dtype=np.int64)
    seen = np.isfinite(evaluation.predictions).all(axis=1)
    limits = thresholds_of(evaluation, folds)
    if limits is None:
        found[seen] = decided(evaluation.predictions[seen], None)
    else:
        found[seen] = evaluation.predictions[seen, 1] > limits[seen]
    return found


def thresholds_of(evaluation: Evaluation, folds: Sequence[Fold]) -> FloatArray | None:
    """[rows] above which a row's second class is decided on, the mean where several folds validate
    it; None: the largest score decides.
    """
    total, times = np.zeros(len(evaluation.predictions)), np.zeros(len(evaluation.predictions))
    for number, threshold in zip(evaluation.numbers, evaluation.models.thresholds, strict=True):
        if threshold is None:
            return None
        total[folds[number].validation] += threshold
        times[folds[number].validation] += 1
    return total / np.maximum(times, 1)


def write(
    file: Path | BinaryIO,
    dataset: Dataset,
    evaluations: Sequence[Evaluation],
    folds: Sequence[Fold],
) -> None:
    """One row a training row, in their order: `row` (from 0), `fold` (from 0; the first one that
    validates the row, null for none), `validated` (by how many folds), `target`; then of each
    candidate `NAME: label`, `NAME: probability CLASS`, `NAME: decision CLASS`, `NAME: value` or `NAME: text`,
    null where no fold validates the row, the mean where several do.
    """
    rows = dataset.table.rows
    fold_of, times = np.full(rows, -1, dtype=np.int32), np.zeros(rows, dtype=np.int32)
    for number, fold in enumerate(folds):
        fold_of[fold.validation] = np.where(
            times[fold.validation] == 0, number, fold_of[fold.validation]
        )
        times[fold.validation] += 1
    columns: dict[str, Any] = {
        "row": pa.array(np.arange(rows)),
        "fold": pa.array(fold_of, mask=times == 0),
        "validated": pa.array(times),
        **_target(dataset.target),
    }
    for evaluation in evaluations:
        columns |= _answers(evaluation, dataset.target, folds)
    pq.write_table(pa.table(columns), file, compression="zstd")


def _target(target: Target) -> dict[str, Any]:
    if target.task == "classification":
        return {"target": _classes(target.values.astype(np.int64), target)}
    if target.task == "transcription":
        return {"target": pa.array(texts_of(target.values))}
    if target.values.ndim == 1:
        return {"target": pa.array(target.values)}
    return {
        f"target {name}": pa.array(target.values[:, n].copy())
        for n, name in enumerate(target.names)
    }


def _answers(evaluation: Evaluation, target: Target, folds: Sequence[Fold]) -> dict[str, Any]:
    unseen: BoolArray = np.asarray(~np.isfinite(evaluation.predictions).all(axis=1))
    found: dict[str, Any] = {}
    if target.task == "transcription":
        said = texts_of(np.nan_to_num(evaluation.predictions))
        return {f"{evaluation.name}: text": pa.array(said, mask=unseen)}
    if target.task == "classification":
        found[f"{evaluation.name}: label"] = _classes(labels(evaluation, folds), target)
    outputs = target.classes or tuple(map(quantile_name, target.quantiles)) or target.names
    ends = [f" {name}" for name in outputs] if target.outputs > 1 else [""]
    for number, end in enumerate(ends):
        values = np.ascontiguousarray(evaluation.predictions[:, number])
        found[f"{evaluation.name}: {evaluation.output}{end}"] = pa.array(values, mask=unseen)
    return found


def _classes(codes: IntArray, target: Target) -> Any:
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(target.classes))
