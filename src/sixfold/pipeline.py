"""The six steps, one after the other: the whole story. This file alone joins the kinds; what it calls receives objects.

    data → (prepare → build → initialize → train) on every fold → evaluate → refit → compress → bundle

Each stage is `stage(work, previous) -> result`, is done once, and is read back from the run folder when the same command runs
again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import sixfold.data.holdout
import sixfold.data.load
from sixfold.bundle.write import write_bundle
from sixfold.compress.compress import Compressed, Job, compress
from sixfold.core.errors import BudgetError
from sixfold.evaluate import choose, scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import Evaluation, FoldCache, cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.parts.table import Dataset, IntArray
from sixfold.recipe.load import Loaded
from sixfold.recipe.receipt import Receipt
from sixfold.resolve import resolve
from sixfold.run.budget import EVALUATE_SHARE, WORK_SHARE, Limits
from sixfold.run.context import Context
from sixfold.run.folder import Listener, RunFolder, code_digest
from sixfold.train.candidate import Candidate


@dataclass(frozen=True)
class Work:
    """What every stage of one run shares."""

    loaded: Loaded
    folder: RunFolder
    limits: Limits
    context: Context


@dataclass(frozen=True)
class Rows:
    """Step 0's result: everything that was read, and which rows are for training and which are held out."""

    dataset: Dataset
    training: Dataset
    held_out: Dataset
    key: str


@dataclass(frozen=True)
class Plan:
    """What will be compared: candidates × folds, scored by metrics of which the first one decides."""

    candidates: tuple[Candidate, ...]
    folds: tuple[Fold, ...]
    metrics: tuple[str, ...]
    baseline: dict[str, np.ndarray[Any, np.dtype[np.float64]]]


@dataclass(frozen=True)
class Run:
    """A finished run: where its bundle is, the receipt, and how the candidates compared."""

    folder: Path
    bundle: Path
    receipt: Receipt
    leaderboard: choose.Leaderboard
    warnings: tuple[str, ...] = field(default=())


def run(loaded: Loaded, out: Path, listeners: Sequence[Listener] = ()) -> Run:
    """Execute a recipe in folder `out`. The same call again continues a run that was killed.

    Raises SixfoldError: RecipeError, DataError, FitError, BudgetError, BundleError or SystemFault.
    """
    limits = Limits.start(loaded.recipe.budget)
    with RunFolder(out, (*listeners, limits.check_memory)) as folder:
        context = Context(seed=loaded.recipe.initialize.seed, emit_to=folder.emit)
        work = Work(loaded, folder, limits, context)
        rows = read(work)
        plan = prepare_plan(work, rows)
        evaluations = evaluate(work, rows, plan)
        winner = choose.best(evaluations, plan.metrics[0])
        model = refit(work, rows, plan.candidates[winner])
        compressed = shrink(work, rows, plan, (plan.candidates[winner], evaluations[winner], model))
        ...
