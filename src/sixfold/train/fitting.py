"""The one door to training: a batch of fits of one candidate, by the family's own solver or by the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import issparse
from torch import nn

from sixfold.build.family import GradientFamily, Layered, Shared, SolverFamily
from sixfold.core.errors import FitError, RecipeError
from sixfold.core.seeds import derive
from sixfold.initialize import check
from sixfold.parts.fit import Fit, Fitted, Shape
from sixfold.parts.sparse import dense
from sixfold.recipe.kinds import INITIALIZER, OPTIMIZER, SCHEDULE
from sixfold.recipe.schema import Initialize, Train
from sixfold.runs.context import Context
from sixfold.train.batches import Batches, SparseRows, cut
from sixfold.train.candidate import Candidate
from sixfold.train.loop import Job, train
from sixfold.train.rate import Rate
from sixfold.train.stopping import Stopping, Watch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def fit_many(
    candidates: Sequence[Candidate], fits: Sequence[Fit], context: Context, watch: Watch | None = None
) -> Iterator[Fitted]:
    """Yield fit by fit, and within a fit candidate by candidate. A single fit is a batch of one.

    `candidates` are alike (`Candidate.likeness`): they may be trained as one piece of work.
    `watch`: the metric that `train.stop.metric` names, where that is not `loss`. Time left is divided among the fits.
    Events of several fits carry `fit`, the position in `fits`. Raises FitError, RecipeError, BudgetError.
    """
    family = candidates[0].family
    if isinstance(family, Shared) and len(candidates) > 1:
        yield from family.solve_all([candidate.family for candidate in candidates], fits, context)
        return
    if len(candidates) > 1:
        for fit in fits:
            for candidate in candidates:
                yield from fit_many([candidate], [fit], context, watch)
        return
    candidate = candidates[0]
    if isinstance(family, SolverFamily):
        yield from family.solve(fits, context)
        return
    if fits and isinstance(family, Layered) and (text := family.derived(_shape(fits[0]))):
        context.emit("said", text=text)
    for at, fit in enumerate(fits):
        context.check_time(f"fitting {candidate.family_name}")
        part = replace(context, facts={**context.facts, "fit": at}) if len(fits) > 1 else context
        if context.deadline is not None:
            part = replace(part, deadline=time.monotonic() + context.left_s() / (len(fits) - at))
        with torch.random.fork_rng(devices=[]):  # dropout draws from torch's own generator
            torch.manual_seed(_seed(candidate, fit, "dropout"))
            fitted = _fit(candidate, family, fit, part, watch)
        yield fitted


def _fit(candidate: Candidate, family: GradientFamily, fit: Fit, context: Context, watch: Watch | None) -> Fitted:
    """Cut rows off where something is watched, start, train."""
    section, shape, dtype = candidate.train, _shape(fit), DTYPES[candidate.train.precision]
    module = _start(candidate, family, fit).to(dtype)
    training, watched_rows = fit, None
    if section.stop.patience is not None or section.stop.target is not None:
        rows, cut_off = cut(fit, section.stop.validation, _seed(candidate, fit, "validation"))
        if len(cut_off):  # none can be cut off a single row
            training, watched_rows = _take(fit, rows), _take(fit, cut_off)
    batches = _batches(section, family, module, training, _seed(candidate, fit, "order"))
    stopping = Stopping(section.stop, module)
    if watched_rows is not None:
        _watch(stopping, family, watched_rows, watch)
    optimizer_settings = OPTIMIZER.make(section.optimizer)
    if getattr(optimizer_settings, "full_batch", False) and batches.count > 1:
        raise RecipeError(
            "train.batch_size", f"full, which {section.optimizer['name']} needs", str(section.batch_size),
            "Write `batch_size: full`, or choose another optimizer.",
        )  # fmt: skip
    optimizer = optimizer_settings.make(module.parameters())
    steps = section.epochs * batches.count
    rate = Rate(optimizer.param_groups[0]["lr"], SCHEDULE.make(section.schedule), section.warm_up, steps)
    job = Job(module, family.losses, optimizer, rate, batches, section.epochs, section.report_every)
    if reason := train(job, stopping, context):
        context.emit("training_stopped", reason=reason, best_epoch=stopping.best_epoch or None)
    return family.fitted(module, shape)


def _start(candidate: Candidate, family: GradientFamily, fit: Fit) -> nn.Module:
    """The network of `fit.start`, or a new one filled by `initialize`."""
    if fit.start is not None:
        return family.resume(fit.start)
    shape = _shape(fit)
    if isinstance(family, Layered) and (problem := check.problems(candidate.initialize, family.widths(shape))):
        raise FitError(
            "initialize.scheme", "a scheme that gives hidden units different weights", problem,
            "Choose he_normal (relu) or xavier_uniform (tanh, sigmoid).",
        )  # fmt: skip
    module = family.module(shape)
    fill(module, candidate.initialize, _seed(candidate, fit, "weights"))
    return module


def fill(module: nn.Module, initialize: Initialize, seed: int) -> None:
    """Weights (two axes or more) by `scheme`, vectors by `bias`, in the order of the module's parameters."""
    generator = torch.Generator().manual_seed(seed)
    weights, biases = INITIALIZER.make(initialize.scheme), INITIALIZER.make(initialize.bias)
    for parameter in module.parameters():
        (weights if parameter.ndim > 1 else biases).fill(parameter, generator)


def _batches(section: Train, family: GradientFamily, module: nn.Module, fit: Fit, seed: int) -> Batches:
    x, y = _tensors(family, module, fit)
    size = fit.rows if section.batch_size == "full" else min(section.batch_size, fit.rows)
    return Batches(x, y, size, seed)


def _tensors(family: GradientFamily, module: nn.Module, fit: Fit) -> tuple[torch.Tensor | SparseRows, torch.Tensor]:
    """Features and targets as the module takes them; classes stay int64, sparse features sparse."""
    dtype = next(module.parameters()).dtype
    x = SparseRows(fit.x, dtype) if issparse(fit.x) else torch.tensor(fit.x, dtype=dtype)
    y = torch.from_numpy(np.array(family.targets(module, fit), copy=True))
    return x, y.to(dtype) if y.is_floating_point() else y


def _watch(stopping: Stopping, family: GradientFamily, fit: Fit, watch: Watch | None) -> None:
    """Tell `stopping` how to look at the rows cut off: by the loss, or by the metric that was asked for."""
    module, name, shape = stopping.module, stopping.stop.metric, _shape(fit)
    if name == "loss":
        x, y = _tensors(family, module, replace(fit, x=dense(fit.x)))

        def loss() -> float:
            with torch.inference_mode():
                return float(family.losses(module(x), y).mean())

        stopping.watched = loss
        return
    if watch is None or watch.name != name:
        raise RecipeError("train.stop.metric", "loss, or a metric that is scored here", f"'{name}'", "Watch loss.")
    stopping.greater_is_better = watch.greater_is_better
    stopping.watched = lambda: watch.score(fit.y, family.fitted(module, shape).predict(dense(fit.x)))


def _take(fit: Fit, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Fit:
    return replace(fit, x=fit.x[rows], y=fit.y[rows])


def _shape(fit: Fit) -> Shape:
    return Shape(fit.x.shape[1], fit.outputs, fit.task)


def _seed(candidate: Candidate, fit: Fit, purpose: str) -> int:
    return derive(candidate.initialize.seed, fit.seed, purpose)
