"""What a model that ignores the features scores: every claim stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.parts.conversation import COLUMN, learned_text
from sixfold.parts.fit import OutputKind
from sixfold.parts.recommender import recommender_of
from sixfold.parts.table import LOSS_SUMS, MARGIN, Dataset, FloatArray, Target
from sixfold.parts.weights import mean, quantile
from sixfold.prepare.interactions import fit_interactions
from sixfold.recipe.schema import Prepare

ALPHABET: Final = 256  # bytes


def baseline(
    dataset: Dataset, folds: Sequence[Fold], metrics: Sequence[str]
) -> dict[str, FloatArray]:
    """Metric → float64 [folds]: what the class shares of each fold's training rows score, or their
    mean.

    A metric that some fold's rows do not define is left out (R² of one row). Raises RecipeError
    when that is the first one, which has to decide: no candidate could be scored by it either.
    """
    scores = by_fold(dataset, folds, metrics)
    defined = {name: values for name, values in scores.items() if not np.isnan(values).any()}
    if metrics[0] not in defined:
        raise RecipeError(
            "evaluate.metrics",
            "a first metric that the validation rows of every fold define",
            f"'{metrics[0]}', which some fold of one class, or of equal values, does not",
            "Put another metric first, or choose larger or stratified folds.",
        )
    return defined


def by_fold(
    dataset: Dataset, folds: Sequence[Fold], metrics: Sequence[str]
) -> dict[str, FloatArray]:
    """The same for all metrics, NaN on folds whose rows do not define one."""
    scores = {name: np.full(len(folds), np.nan) for name in metrics}
    kind: OutputKind = "probability" if dataset.target.task == "classification" else "value"
    for number, fold in enumerate(folds):
        validation = dataset.target.take(fold.validation)
        predicted = _ignorant(dataset, fold)
        for name, score in scoring.score_all(metrics, validation, predicted, kind).items():
            scores[name][number] = np.nan if score is None else score
    return scores


def _ignorant(dataset: Dataset, fold: Fold) -> FloatArray:
    """[validation rows, outputs] of a model that looks at no feature of theirs; of texts, one that
    looks at no byte before.
    """
    if dataset.target.task == "generation":
        return byte_shares(dataset.take(fold.train), dataset.take(fold.validation))
    if dataset.target.task == "recommendation":
        return popular_items(dataset.take(fold.train), dataset.take(fold.validation))
    if dataset.target.task == "transcription":
        return np.zeros((len(fold.validation), 1))
    constant = _constant(dataset.target.take(fold.train))
    return np.repeat(constant[None, :], len(fold.validation), axis=0)


def popular_items(training: Dataset, validation: Dataset) -> FloatArray:
    """[validation rows, RANKING] of the items that most users have, for everybody."""
    preparer, x, _ = fit_interactions(training.table, Prepare())
    share = np.bincount(x.histories().items, minlength=x.item_count) / max(1, x.user_count)
    model = recommender_of(x, "popularity", {"popularity": share.astype(np.float32)})
    return model.predict(preparer.transform(validation.table))


def byte_shares(training: Dataset, validation: Dataset) -> FloatArray:
    """[validation rows, 3] sums (`parts.table.LOSS_SUMS`) of a model that gives each byte, and the end
    of a text, its share in the training texts (one more of each, so that none has none).
    """
    counts = np.ones(ALPHABET + 1)
    counts[ALPHABET] += training.table.rows
    for content in _contents(training):
        counts[:ALPHABET] += np.bincount(content, minlength=ALPHABET)
    losses = -np.log(counts / counts.sum())
    better, worse = (
        np.array(
            [
                (losses[content].sum() + losses[ALPHABET], len(content) + 1, len(content))
                for content in _contents(validation, rejected)
            ],
            dtype=np.float64,
        ).reshape(-1, len(LOSS_SUMS))
        for rejected in (False, True)
    )
    if MARGIN not in validation.target.names:
        return better
    return np.column_stack([better, worse[:, 0] - better[:, 0]])


def _contents(dataset: Dataset, rejected: bool = False) -> Iterator[npt.NDArray[np.uint8]]:
    """The bytes of each text; of a preference those of the better answer, or of the `rejected` one."""
    ((name, column),) = dataset.table.columns.items()
    for text in column.strings():
        text = learned_text(text, rejected) if name == COLUMN else text
        yield np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _constant(target: Target) -> FloatArray:
    if target.task == "classification":
        counts = target.class_counts
        return counts / counts.sum() if counts.any() else np.full(len(counts), 1 / len(counts))
    values = target.values.reshape(len(target.values), -1)
    counting = target.weights is not None and target.total > 0
    if target.quantiles:
        counts = np.ones(len(values))
        counts = target.weights if target.weights is not None and counting else counts
        plain = values[:, 0].astype(np.float64)
        return np.array([quantile(plain, counts, q) for q in target.quantiles])
    return mean(values, target.weights if counting else None)
