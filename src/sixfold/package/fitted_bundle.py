"""A bundle of a model that was fitted without a run folder: by scikit-learn's face."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sixfold.build.candidate import Candidate
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.compress.compress import Compressed
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.model import Model
from sixfold.evaluate.shuffling import Effort
from sixfold.explain.permutation import importances
from sixfold.package import receipt, report
from sixfold.package.html import render
from sixfold.parts.table import Dataset
from sixfold.plan.run_context import DataSplit, Plan, digest
from sixfold.recipe.load import Loaded
from sixfold.recipe.report import Reproduction
from sixfold.select.winner import Winner


@dataclass(frozen=True)
class FittedPipeline:
    """`model`: of `candidate`, fitted on all rows of `dataset`; `evaluations`: of what it was compared
    with, and its own, on the folds of `plan`.
    """

    loaded: Loaded
    dataset: Dataset
    plan: Plan
    evaluations: tuple[Evaluation, ...]
    candidate: Candidate
    model: Model
    seed: int


def write(folder: Path, fitted: FittedPipeline) -> None:
    """Measure the model, and write it as the bundle `folder`. Raises BundleError where its graph does not
    answer as it does, SystemFault where the folder cannot be written.
    """
    own = next(one for one in fitted.evaluations if one.name == fitted.candidate.name)
    winner = Winner(fitted.plan, fitted.evaluations, (fitted.candidate,), "", own, fitted.model)
    none = fitted.dataset.take(np.empty(0, dtype=np.int64))
    data = DataSplit(fitted.dataset, none, digest(fitted.dataset))
    compressed = Compressed((), fitted.model, own.scores)
    recipe, clock = fitted.loaded.recipe, receipt.RunClock(time.monotonic())
    measured = receipt.measure(recipe, data, winner, compressed, fitted.seed, clock)
    shuffled = importances(own, fitted.dataset, fitted.plan.folds, fitted.seed, Effort())
    findings = report.Findings(shuffled, (), fitted.model.fitted, recipe.report.examples)
    content = report.report(measured.receipt, fitted.dataset, winner, findings)
    steps = Reproduction(
        command="fit, and export_bundle, of sixfold.sklearn",
        recipe=fitted.loaded.text,
        data_sha256=data.digest,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    parts = BundleParts(
        measured.model,
        measured.signature,
        fitted.loaded.text,
        measured.receipt,
        render(content, steps),
        content.model_dump_json(),
        measured.parity,
        recipe.runtime,
    )
    write_bundle(folder, parts)
