"""What is compressed: the model, its folds' twins, how they score on rows they have not seen, and
what they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sixfold.build.candidate import Candidate
from sixfold.compress.keep import Before, Keep, Scores, make
from sixfold.evaluate import out_of_fold, scoring
from sixfold.evaluate.baseline import by_fold
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.deciding import defaults, rarest
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, IntArray, Target
from sixfold.recipe.compression import Compress


@dataclass(frozen=True)
class Job:
    """What compression works with. `dataset`: the training rows; nothing here has seen the
    holdout.
    """

    section: Compress
    candidate: Candidate
    evaluation: Evaluation
    dataset: Dataset
    folds: Sequence[Fold]
    metrics: tuple[str, ...]

    @property
    def lifted(self) -> tuple[str, ...]:
        """Metrics whose lift over the baseline counts: the deciding one, those that measure
        ranking, and of an imbalanced target the one that decides by default, whatever the recipe
        measures.
        """
        target = self.dataset.target
        rare = () if rarest(target) is None else defaults(target, self._validated()).names[:1]
        ranking = [name for name in self.metrics if scoring.measures_ranking(name)]
        return tuple(dict.fromkeys((self.metrics[0], *ranking, *rare)))

    @property
    def watched(self) -> tuple[str, ...]:
        """What every attempt is scored by: the metrics of the run, and those whose lift counts."""
        return tuple(dict.fromkeys((*self.metrics, *self.lifted)))

    def _validated(self) -> list[Target]:
        return [self.dataset.target.take(fold.validation) for fold in self.folds]


@dataclass(frozen=True)
class Basis:
    """What a retraining starts from, with every cut made so far: a later cut must not undo an
    earlier one.

    `dataset`: the rows of the job, perhaps with fewer columns. `training`: the rows that each
    fold's twin learns from, and last those of the model.
    """

    candidate: Candidate
    dataset: Dataset
    training: tuple[IntArray, ...]

    def folds(self, job: Job) -> list[Fold]:
        """The job's folds with these training rows."""
        pairs = zip(self.training[:-1], job.folds, strict=True)
        return [Fold(rows, fold.validation) for rows, fold in pairs]

    def rows(self, position: int) -> Dataset:
        """What the twin of fold `position` learns from; the model when it is -1."""
        return self.dataset.take(self.training[position])

    def with_family(self, **settings: Any) -> Basis:
        """The family with these of its settings; what it does not have is left out."""
        family: Any = self.candidate.family
        known = {
            name: value for name, value in settings.items() if name in type(family).model_fields
        }
        return replace(
            self, candidate=replace(self.candidate, family=family.model_copy(update=known))
        )


@dataclass(frozen=True)
class CompressionState:
    """`model` was trained on all training rows, `fold_models` each on one fold's; `scores`: metric
    → score of each twin; `found`: [classes] validation rows of each class that the twins predict
    rightly.
    """

    model: Model
    fold_models: tuple[Model, ...]
    scores: Scores
    found: IntArray
    basis: Basis

    def changed(self, job: Job, change: Callable[[Model, int], Model]) -> CompressionState:
        """`change(model, position)` on every twin and on the model (position -1); scored again."""
        return replace(self.twins_changed(job, change), model=change(self.model, -1))

    def twins_changed(self, job: Job, change: Callable[[Model, int], Model]) -> CompressionState:
        """The same, but the model itself is left as it is: to try whether a change is within
        `keep`.
        """
        fold_models = tuple(
            change(fold_model, position) for position, fold_model in enumerate(self.fold_models)
        )
        scores, found = score_twins(job, fold_models)
        return replace(self, fold_models=fold_models, scores=scores, found=found)


def start(job: Job, model: Model) -> CompressionState:
    """Before anything is taken away."""
    training = (*(fold.train for fold in job.folds), np.arange(job.dataset.table.rows))
    evaluation, fold_models = job.evaluation, tuple(job.evaluation.models)
    scores = dict(evaluation.scores)
    if not set(job.watched) <= set(scores):
        scores = {**score_twins(job, fold_models)[0], **scores}
    basis = Basis(job.candidate, job.dataset, training)
    return CompressionState(model, fold_models, scores, rows_found(job, evaluation), basis)


def rows_found(job: Job, evaluation: Evaluation) -> IntArray:
    """[classes] validation rows of each class that an evaluation predicts rightly; empty where
    values are predicted.
    """
    target = job.dataset.target
    if not target.classes:
        return np.zeros(0, dtype=np.int64)
    labels = out_of_fold.labels(evaluation, job.folds)
    return np.bincount(labels[labels == target.values], minlength=len(target.classes))


def promise(job: Job, subject: CompressionState) -> Keep:
    """What has to stay of `subject`, which is the model before any step."""
    reference = by_fold(job.dataset, job.folds, job.lifted)
    return make(
        job.section, Before(subject.scores, reference, subject.found, job.dataset.target.classes)
    )


def score_twins(job: Job, fold_models: Sequence[Model]) -> tuple[Scores, IntArray]:
    """Every twin on its own fold's validation rows: metric → scores; and [classes] rows of each
    that are predicted rightly.
    """
    metrics, classes = job.watched, job.dataset.target.classes
    scores = {name: np.full(len(fold_models), np.nan) for name in metrics}
    found = np.zeros(len(classes), dtype=np.int64)
    for position, fold_model in enumerate(fold_models):
        validation = job.dataset.take(job.folds[position].validation)
        predicted = fold_model.predict(validation.table)
        scored = scoring.score_all(
            metrics, validation.target, predicted, fold_model.output, fold_model.threshold
        )
        for name, score in scored.items():
            scores[name][position] = np.nan if score is None else score
        if classes:
            truth = validation.target.values.astype(np.int64)
            found += np.bincount(
                truth[fold_model.decide(predicted) == truth], minlength=len(classes)
            )
    return scores, found
