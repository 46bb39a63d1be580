"""Support vectors of an SVM: those with the smallest coefficients go."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sixfold.compress.amount import Found, largest
from sixfold.compress.keep import Keep
from sixfold.compress.pruner import tried
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Parametric, Supported
from sixfold.parts.table import Dataset
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

SAMPLE = 2000  # training rows that the remaining coefficients are fitted on
RIDGE = 1e-6  # of the mean diagonal: keeps the least squares solvable


class Settings(Section):
    """Remove the support vectors with the smallest |coefficient|; fit the remaining ones to the
    full machine's decisions.

    The fit is least squares on training rows, of the change that makes up for what was removed.
    Where `ratio` costs more than `keep` allows, half of it is tried, and so on; `largest` searches
    by bisection.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] | Literal["largest"] = Field(
        0.5,
        description="Share of the support vectors that goes, in (0, 1); or `largest` within keep.",
    )

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        fitted = subject.model.fitted
        if not isinstance(fitted, Supported) or not isinstance(fitted, Parametric):
            return None, f"{job.candidate.name} stores no support vectors"

        def attempt(ratio: float) -> Found:
            return tried(
                subject,
                job,
                keep,
                lambda model, position: fewer(model, subject.basis.rows(position), ratio),
            )

        found, why = largest(self.ratio, attempt, context)
        if found is None:
            return None, why
        left = found.model.fitted.support_count  # type: ignore[attr-defined]
        return found, f"{why} of the support vectors: {fitted.support_count} → {left}"


def fewer(model: Model, training: Dataset, ratio: float) -> Model:
    """`model` with 1 - `ratio` of its support vectors, whose coefficients and bias make up for the
    others. A coefficient of 0 stays 0: with many classes a vector has a part in its own class's
    pairs alone.
    """
    machine: Any = model.fitted
    weights = machine.parameters()["weights"]
    count = max(1, round(machine.support_count * (1 - ratio)))
    kept = np.sort(np.argsort(-np.abs(weights).sum(axis=1), kind="stable")[:count])
    smaller: Any = machine.keep_support(kept)
    rows = np.linspace(0, training.table.rows - 1, min(SAMPLE, training.table.rows)).astype(
        np.int64
    )
    x = np.asarray(model.preparer.transform(training.table.take(rows)), dtype=np.float64)
    kernel = machine.kernel.matrix(x, smaller.support)
    lost = machine.kernel.matrix(x, machine.support) @ machine.weights - kernel @ smaller.weights
    change, shift = np.zeros(smaller.weights.shape), np.zeros(len(smaller.bias))
    parts, part_of = np.unique(smaller.weights != 0, axis=1, return_inverse=True)
    for number, part in enumerate(
        parts.T
    ):  # columns of the same vectors together: all values, or a pair of classes
        own, columns = np.flatnonzero(part), np.flatnonzero(part_of.ravel() == number)
        design = np.concatenate([kernel[:, own], np.ones((len(x), 1))], axis=1)
        gram = design.T @ design
        ridge = RIDGE * float(np.mean(np.diag(gram)))
        found = np.linalg.solve(gram + ridge * np.eye(len(gram)), design.T @ lost[:, columns])
        change[np.ix_(own, columns)], shift[columns] = found[:-1], found[-1]
    parameters = {
        **smaller.parameters(),
        "weights": smaller.weights + change,
        "bias": smaller.bias + shift,
    }
    return replace(model, fitted=smaller.with_parameters(parameters))
