"""What is compressed: the model, its folds' twins, and how they score on rows they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, FloatArray, IntArray
from sixfold.recipe.schema import Compress
from sixfold.train.candidate import Candidate

Scores = dict[str, FloatArray]


@dataclass(frozen=True)
class Job:
    """What compression works with. `dataset`: the training rows; nothing here has seen the holdout."""

    section: Compress
    candidate: Candidate
    evaluation: Evaluation
    dataset: Dataset
    folds: Sequence[Fold]
    metrics: tuple[str, ...]

    def rows(self, position: int) -> IntArray:
        """Training rows of fold `position`; of the model for all rows when it is -1."""
        return np.arange(self.dataset.table.rows) if position < 0 else self.folds[position].train


@dataclass(frozen=True)
class Subject:
    """`model` was trained on all training rows, `twins` each on one fold's; `scores`: metric → score of each twin."""

    model: Model
    twins: tuple[Model, ...]
    scores: Scores

    def changed(self, job: Job, change: Callable[[Model, int], Model]) -> Subject:
        """`change(model, position)` on every twin and on the model (position -1); scored again."""
        twins = tuple(change(twin, position) for position, twin in enumerate(self.twins))
        return Subject(change(self.model, -1), twins, score_twins(job, twins))

    def twins_changed(self, job: Job, change: Callable[[Model, int], Model]) -> Subject:
        """The same, but the model itself is left as it is: to try whether a change is within `keep`."""
        twins = tuple(change(twin, position) for position, twin in enumerate(self.twins))
        return replace(self, twins=twins, scores=score_twins(job, twins))


def score_twins(job: Job, twins: Sequence[Model]) -> Scores:
    """Every twin on its own fold's validation rows."""
    scores = {name: np.full(len(twins), np.nan) for name in job.metrics}
    for position, twin in enumerate(twins):
        validation = job.dataset.take(job.folds[position].validation)
        predicted = twin.predict(validation.table)
        for name, score in scoring.score_all(job.metrics, validation.target, predicted, twin.fitted.output).items():
            scores[name][position] = np.nan if score is None else score
    return scores
