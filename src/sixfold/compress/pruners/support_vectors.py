"""Support vectors of an SVM: those with the smallest coefficients go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from sixfold.compress.keep import Keep
from sixfold.compress.pruner import largest_ratio
from sixfold.compress.subject import Job, Subject
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Parametric, Supported
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

SAMPLE = 2000  # training rows that the remaining coefficients are fitted on
RIDGE = 1e-6  # of the mean diagonal: keeps the least squares solvable


class Settings(Section):
    """Remove the support vectors with the smallest |coefficient|; fit the remaining ones to the full machine's decisions.

    The fit is least squares on training rows. Where
    `ratio` costs more than `keep` allows, half of it is tried, and so on.
    """

    ratio: float = Field(0.5, gt=0, lt=1, description="Share of the support vectors that goes.")

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The largest ratio within `keep`."""
        if not isinstance(subject.model.fitted, Supported):
            return None, f"{job.candidate.name} stores no support vectors"
        before = subject.model.fitted.support_count

        def attempt(ratio: float) -> Subject:
            return subject.changed(job, lambda model, position: _fewer(model, position, ratio, job))

        found, why = largest_ratio(self.ratio, keep, attempt, context)
        if found is None:
            return None, why
        return found, f"{why} of the support vectors: {before} → {found.model.fitted.support_count}"  # type: ignore[attr-defined]


def _fewer(model: Model, position: int, ratio: float, job: Job) -> Model:
    if not (isinstance(model.fitted, Supported) and isinstance(model.fitted, Parametric)):
        return model
    machine: Any = model.fitted
    weights = machine.parameters()["weights"]
    count = max(1, round(machine.support_count * (1 - ratio)))
    kept = np.sort(np.argsort(-np.abs(weights).sum(axis=1), kind="stable")[:count])
    smaller: Any = machine.keep_support(kept)
    rows = job.rows(position)
    some = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]
    x = np.asarray(model.preparer.transform(job.dataset.table.take(some)), dtype=np.float64)
    wanted = machine.kernel.matrix(x, machine.support) @ machine.weights + machine.bias
    design = np.concatenate([machine.kernel.matrix(x, smaller.support), np.ones((len(x), 1))], axis=1)
    gram = design.T @ design
    ridge = RIDGE * float(np.mean(np.diag(gram)))
    solved = np.linalg.solve(gram + ridge * np.eye(len(gram)), design.T @ wanted)
    return replace(
        model, fitted=smaller.with_parameters({**smaller.parameters(), "weights": solved[:-1], "bias": solved[-1]})
    )
