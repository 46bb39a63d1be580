"""What is compressed: the model, its folds' twins, how they score on rows they have not seen, and what they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sixfold.compress.keep import Scores
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, IntArray
from sixfold.recipe.schema import Compress
from sixfold.train.candidate import Candidate


@dataclass(frozen=True)
class Job:
    """What compression works with. `dataset`: the training rows; nothing here has seen the holdout."""

    section: Compress
    candidate: Candidate
    evaluation: Evaluation
    dataset: Dataset
    folds: Sequence[Fold]
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Basis:
    """What a retraining starts from, with every cut made so far: a later cut must not undo an earlier one.

    `dataset`: the rows of the job, perhaps with fewer columns. `training`: the rows that each fold's twin learns from, and
    last those of the model.
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
        known = {name: value for name, value in settings.items() if name in type(family).model_fields}
        return replace(self, candidate=replace(self.candidate, family=family.model_copy(update=known)))


@dataclass(frozen=True)
class Subject:
    """`model` was trained on all training rows, `twins` each on one fold's; `scores`: metric → score of each twin."""

    model: Model
    twins: tuple[Model, ...]
    scores: Scores
    basis: Basis

    def changed(self, job: Job, change: Callable[[Model, int], Model]) -> Subject:
        """`change(model, position)` on every twin and on the model (position -1); scored again."""
        return replace(self.twins_changed(job, change), model=change(self.model, -1))

    def twins_changed(self, job: Job, change: Callable[[Model, int], Model]) -> Subject:
        """The same, but the model itself is left as it is: to try whether a change is within `keep`."""
        twins = tuple(change(twin, position) for position, twin in enumerate(self.twins))
        return replace(self, twins=twins, scores=score_twins(job, twins))


def start(job: Job, model: Model) -> Subject:
    """Before anything is taken away."""
    training = (*(fold.train for fold in job.folds), np.arange(job.dataset.table.rows))
    return Subject(
        model, job.evaluation.models, job.evaluation.scores, Basis(job.candidate, job.dataset, training)
    )  # fmt: skip


def score_twins(job: Job, twins: Sequence[Model]) -> Scores:
    """Every twin on its own fold's validation rows."""
    scores = {name: np.full(len(twins), np.nan) for name in job.metrics}
    for position, twin in enumerate(twins):
        validation = job.dataset.take(job.folds[position].validation)
        predicted = twin.predict(validation.table)
        found = scoring.score_all(job.metrics, validation.target, predicted, twin.output, twin.threshold)
        for name, score in found.items():
            scores[name][position] = np.nan if score is None else score
    return scores
