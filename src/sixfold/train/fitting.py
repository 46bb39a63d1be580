"""The one door to training: a batch of fits of alike candidates, by the family's own solver or by the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import nn

from sixfold.build.family import GradientFamily, Layered, Shared, Starting, Wide
from sixfold.core.errors import FitError, RecipeError
from sixfold.core.seeds import derive
from sixfold.initialize import check
from sixfold.parts.fit import UNWATCHED, Fit, Fitted, Shape
from sixfold.parts.sparse import dense
from sixfold.recipe.kinds import INITIALIZER, OPTIMIZER
from sixfold.recipe.schema import Initialize
from sixfold.runs.context import Context
from sixfold.train import range_test
from sixfold.train.batches import Batches, SparseRows, cut
from sixfold.train.candidate import Candidate
from sixfold.train.choosing import chosen
from sixfold.train.device import device_of, enough_memory, generator
from sixfold.train.loop import train
from sixfold.train.stack import Replica, Stack, Watched
from sixfold.train.stopping import EarlyStopping, Watch

DTYPES = {"float32": torch.float32, "float64": torch.float64}
STACK_BYTES = 1 << 30  # replicas that train as one hold at most this: parameters six times, and a batch's values
Pair = tuple[int, Candidate, Fit]


def fit_many(
    candidates: Sequence[Candidate], fits: Sequence[Fit], context: Context, watch: Watch | None = None
) -> Iterator[Fitted]:
    """Yield fit by fit, and within a fit candidate by candidate. A single fit is a batch of one.

    `candidates` are alike (`Candidate.batch_key`): they are trained as one piece of work.
    `watch`: the metric that `train.stop.metric` names, where that is not `loss`. Time left is divided among the fits.
    Events carry the facts of their fit, and `candidate` where there are several. Raises FitError, RecipeError, BudgetError.
    """
    family = candidates[0].family
    if isinstance(family, GradientFamily):
        yield from _by_the_loop(family, candidates, fits, context, watch)
    elif len(candidates) == 1:
        yield from family.solve(fits, context)
    elif isinstance(family, Shared):
        yield from family.solve_all([candidate.family for candidate in candidates], fits, context)
    else:
        for fit in fits:
            for candidate in candidates:
                yield from fit_many([candidate], [fit], context, watch)


def _by_the_loop(
    family: GradientFamily, candidates: Sequence[Candidate], fits: Sequence[Fit], context: Context, watch: Watch | None
) -> Iterator[Fitted]:
    if fits and isinstance(family, Layered) and (text := family.derived(fits[0].shape)):
        context.emit("note", text=text)
    pairs = [(at, candidate, fit) for at, fit in enumerate(fits) for candidate in candidates]
    pairs = chosen(family, pairs, context)
    contexts = _told(context, candidates, fits)
    done: dict[tuple[int, str], Fitted] = {}
    groups = list(_groups(family, pairs))
    for number, group in enumerate(groups):
        context.check_time(f"fitting {candidates[0].family_name}")
        deadline = None
        if context.deadline is not None:
            left = sum(len(each) for each in groups[number:])
            deadline = time.monotonic() + context.left_s() * len(group) / left
        with enough_memory():
            replicas = range_test.rated(family, _replicas(family, group, contexts, watch), deadline, context)
            done |= _train(family, replicas, deadline)
    yield from (done[at, candidate.name] for at, candidate, _ in pairs)


def _groups(family: GradientFamily, pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Pairs that train as one: with equally many features (a category that one fold lacks is a feature less), as many as
    STACK_BYTES hold.
    """
    shapes: dict[Shape, list[Pair]] = {}
    for pair in pairs:
        shapes.setdefault(pair[2].shape, []).append(pair)
    for alike in shapes.values():
        size = _at_once(family, alike)
        yield from (alike[first : first + size] for first in range(0, len(alike), size))


def _wants_one(candidate: Candidate) -> bool:
    return bool(getattr(OPTIMIZER.load(str(candidate.train.optimizer["name"])), "full_batch", False))


@dataclass(frozen=True)
class WatchedSplit:
    """One fit as tensors, for all candidates: rows to train on and rows cut off to be watched, with their features."""

    training: Fit
    x: torch.Tensor | SparseRows
    watched: Fit | None = None
    x_watched: torch.Tensor | None = None


def _replicas(
    family: GradientFamily, pairs: Sequence[Pair], contexts: dict[tuple[int, str], Context], watch: Watch | None
) -> list[Replica]:
    """Of fits that train as one, before the first step: their rows are where they are trained, their networks are not."""
    device = device_of(contexts[pairs[0][0], pairs[0][1].name].device)
    rows = {at: _rows(candidate, fit, device) for at, candidate, fit in pairs}
    for at, candidate, fit in pairs:
        if fit.groups is not None and _watches(candidate) and rows[at].watched is None:
            contexts[at, candidate.name].emit("note", text=f"{candidate.name}: {UNWATCHED}")
    replicas = []
    for at, candidate, fit in pairs:
        start = _start(candidate, family, fit).to(DTYPES[candidate.train.precision])
        replica = Replica(
            number=at,
            candidate=candidate,
            fit=fit,
            module=start,
            batches=_batches(family, start, rows[at], candidate, device),
            stopping=EarlyStopping(candidate.train.stop, watch is not None and watch.greater_is_better),
            watched=_watch(family, start, rows[at], candidate.train.stop.metric, watch),
            noise=generator(device, _seed(candidate, fit, "dropout")),
            context=contexts[at, candidate.name],
        )
        replicas.append(replica)
    return replicas


def _train(
    family: GradientFamily, replicas: Sequence[Replica], deadline: float | None
) -> dict[tuple[int, str], Fitted]:
    """Replicas that train as one: (number of the fit, name of the candidate) → its network."""
    fitted: dict[tuple[int, str], Fitted] = {}
    for replica, weights in train(Stack(family, replicas), deadline, replicas[0].context.saves):
        with torch.no_grad():
            nn.utils.vector_to_parameters(weights, replica.module.parameters())
        fitted[replica.number, replica.candidate.name] = family.fitted(replica.module.eval(), replica.fit.shape)
    return fitted


def _told(context: Context, candidates: Sequence[Candidate], fits: Sequence[Fit]) -> dict[tuple[int, str], Context]:
    """Every fit's and candidate's own context: who it is stands in its events."""

    def facts(at: int, candidate: Candidate) -> dict[str, Any]:
        number = {"fit": at} if len(fits) > 1 and not fits[at].facts else {}
        return {
            **context.facts,
            **number,
            **fits[at].facts,
            **({"candidate": candidate.name} if len(candidates) > 1 else {}),
        }

    return {
        (at, candidate.name): replace(context, facts=facts(at, candidate))
        for at in range(len(fits))
        for candidate in candidates
    }


def _at_once(family: GradientFamily, pairs: Sequence[Pair]) -> int:
    """How many of these may train as one."""
    if any(fit.start is not None for _, _, fit in pairs):  # networks that were pruned may differ in their widths
        return 1
    most = max((fit for _, _, fit in pairs), key=lambda one: one.rows)
    return at_once(family, [candidate for _, candidate, _ in pairs], most.shape, most.rows)


def at_once(family: GradientFamily, candidates: Sequence[Candidate], shape: Shape, rows: int) -> int:
    """How many fits of these candidates on `rows` rows may train as one: one where the optimiser asks for gradients itself."""
    if any(_wants_one(candidate) for candidate in candidates):
        return 1
    return max(1, STACK_BYTES // replica_bytes(family, candidates, shape, rows))


def replica_bytes(family: GradientFamily, candidates: Sequence[Candidate], shape: Shape, rows: int) -> int:
    """Bytes that one of the fits holds while it is trained, besides its features."""
    section = candidates[0].train
    with torch.device("meta"):  # to be counted, not to be held
        module = family.module(shape)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    widths = sum(sum(parameter.shape[:1]) for parameter in module.parameters() if parameter.ndim > 1)
    batch = rows if section.batch_size == "full" else min(rows, section.batch_size)
    held = module.held_numbers if isinstance(module, Wide) else shape.features + 3 * widths
    values: int = 6 * parameters + batch * held
    wide = section.precision == "float64" or any(range_test.asked(each.train) for each in candidates)
    return values * (8 if wide else 4)


def _watches(candidate: Candidate) -> bool:
    return candidate.train.stop.patience is not None or candidate.train.stop.target is not None


def _rows(candidate: Candidate, fit: Fit, device: torch.device) -> WatchedSplit:
    """Cut rows off where something is watched; none can be cut off a single row."""
    section, dtype = candidate.train, DTYPES[candidate.train.precision]
    if _watches(candidate):
        rows, cut_off = cut(fit, section.stop.validation, _seed(candidate, fit, "validation"))
        if len(cut_off):
            training, watched = _take(fit, rows), _take(fit, cut_off)
            x_watched = torch.tensor(dense(watched.x), dtype=dtype, device=device)
            return WatchedSplit(training, _features(training, dtype, device), watched, x_watched)
    return WatchedSplit(fit, _features(fit, dtype, device))


def _features(fit: Fit, dtype: torch.dtype, device: torch.device) -> torch.Tensor | SparseRows:
    """Sparse rows stay on the processor, and go where they are wanted a block at a time."""
    if issparse(fit.x):
        return SparseRows(fit.x, dtype)
    return torch.from_numpy(np.ascontiguousarray(fit.x)).to(device, dtype)


def _targets(family: GradientFamily, module: nn.Module, fit: Fit) -> torch.Tensor:
    """What the loss compares with; classes stay int64."""
    y = torch.from_numpy(np.array(family.targets(module, fit), copy=True))
    return y.to(next(module.parameters()).dtype) if y.is_floating_point() else y


def _batches(
    family: GradientFamily, module: nn.Module, rows: WatchedSplit, candidate: Candidate, device: torch.device
) -> Batches:
    fit, wanted = rows.training, candidate.train.batch_size
    size = fit.rows if wanted == "full" else min(wanted, fit.rows)
    return Batches(rows.x, _targets(family, module, fit).to(device), size, _seed(candidate, fit, "order"))


def _start(candidate: Candidate, family: GradientFamily, fit: Fit) -> nn.Module:
    """The network of `fit.start`, or a new one filled by `initialize`."""
    if fit.start is not None:
        return family.resume(fit.start)
    shape = fit.shape
    if isinstance(family, Layered) and (problem := check.problems(candidate.initialize, family.widths(shape))):
        raise FitError(
            "initialize.scheme",
            "a scheme that gives hidden units different weights",
            problem,
            "Choose he_normal (relu) or xavier_uniform (tanh, sigmoid).",
        )
    with torch.random.fork_rng(devices=[]):  # torch's layers fill themselves from its own generator: all filled anew
        module = family.module(shape)
    fill(module, candidate.initialize, _seed(candidate, fit, "weights"))
    return module


def fill(module: nn.Module, initialize: Initialize, seed: int) -> None:
    """Weights (two axes or more) by `scheme`, vectors by `bias`, in the order of the module's parameters; before them what
    the module fills itself (`Starting`).
    """
    generator = torch.Generator().manual_seed(seed)
    weights, biases = INITIALIZER.make(initialize.scheme), INITIALIZER.make(initialize.bias)
    filled = module.start(weights, biases, generator) if isinstance(module, Starting) else frozenset()
    for name, parameter in module.named_parameters():
        if name not in filled:
            (weights if parameter.ndim > 1 else biases).fill(parameter, generator)


def _watch(
    family: GradientFamily, module: nn.Module, rows: WatchedSplit, metric: str, watch: Watch | None
) -> Watched | None:
    """How the rows cut off are looked at: by the loss, or by the metric that was asked for."""
    fit = rows.watched
    if fit is None or rows.x_watched is None:
        return None
    y = _targets(family, module, fit).to(rows.x_watched.device)
    if metric == "loss":
        return Watched(rows.x_watched, y)
    if watch is None or watch.name != metric:
        raise RecipeError("train.stop.metric", "loss, or a metric that is scored here", f"'{metric}'", "Watch loss.")

    def score(network: nn.Module) -> float:
        return watch.score(fit.y, family.fitted(network, fit.shape).predict(dense(fit.x)))

    return Watched(rows.x_watched, y, score)


def _take(fit: Fit, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Fit:
    groups = None if fit.groups is None else fit.groups[rows]
    return replace(fit, x=fit.x[rows], y=fit.y[rows], groups=groups)


def _seed(candidate: Candidate, fit: Fit, purpose: str) -> int:
    return derive(candidate.initialize.seed, fit.seed, purpose)
