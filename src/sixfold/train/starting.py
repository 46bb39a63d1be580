"""From fits to replicas: their rows where they are trained, their networks as they start."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import issparse
from torch import nn

from sixfold.core.errors import FitError, RecipeError
from sixfold.core.seeds import derive
from sixfold.initialize import check
from sixfold.parts.fit import UNWATCHED, Fit, Setting
from sixfold.parts.sparse import dense
from sixfold.parts.table import FloatArray
from sixfold.parts.weights import relative
from sixfold.recipe.kinds import INITIALIZER
from sixfold.recipe.schema import Initialize
from sixfold.runs.context import Context
from sixfold.train.batches import Batches, SparseRows, cut
from sixfold.train.device import device_of, generator
from sixfold.train.network import Network, Starting
from sixfold.train.replicas import Replica, Watched
from sixfold.train.stopping import EarlyStopping

DTYPES = {  # of weights; bfloat16 is for products alone
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.float32,
    "auto": torch.float32,
}
OF_MODULES = ("bfloat16", "auto")


@dataclass(frozen=True)
class WatchedSplit:
    """One fit as tensors, for all settings: rows to train on and rows cut off to be watched, with
    their features.
    """

    training: Fit
    x: torch.Tensor | SparseRows
    watched: Fit | None = None
    x_watched: torch.Tensor | None = None
    of: Fit | None = None

    def serves(self, fit: Fit) -> bool:
        """Whether another fit is cut as this one was: fits that train as one differ in no setting
        that matters here.
        """
        one = self.of
        if one is None or one.weights is not fit.weights:
            return False
        return one.x is fit.x and one.y is fit.y and one.seed == fit.seed


def replicas_of(family: Network, fits: dict[int, Fit], context: Context) -> list[Replica]:
    """Of fits that train as one, by their numbers: before the first step."""
    device = device_of(context.device)
    rows: dict[int, WatchedSplit] = {}  # by the features: those of a fold serve all candidates
    replicas = []
    for number, fit in fits.items():
        own = replace(context, facts={**context.facts, **fit.facts})
        setting = fit.setting
        _check_stacked(setting)
        known = rows.get(id(fit.x))
        split = known if known is not None and known.serves(fit) else _rows(fit, device)
        rows[id(fit.x)] = split
        if fit.groups is not None and watches(setting) and split.watched is None:
            own.emit("note", text=f"{setting.name}: {UNWATCHED}")
        start = _start(family, fit).to(DTYPES[setting.train.precision])
        watch = setting.watch
        replica = Replica(
            number=number,
            fit=fit,
            module=start,
            batches=_batches(family, start, split, fit, device),
            stopping=EarlyStopping(
                setting.train.stop, watch is not None and watch.greater_is_better
            ),
            watched=_watch(family, start, split, setting),
            noise=generator(device, _seed(fit, "dropout")),
            context=own,
        )
        replicas.append(replica)
    return replicas


def _check_stacked(setting: Setting) -> None:
    """Raises RecipeError for what large modules alone can."""
    train, remedy = setting.train, "Leave it out, or train another family."
    if train.precision in OF_MODULES:
        expected = f"float32 or float64, for {setting.name}"
        raise RecipeError("train.precision", expected, train.precision, remedy)
    if train.compile == "on":
        raise RecipeError("train.compile", f"auto or off, for {setting.name}", "on", remedy)
    if train.spike is not None:
        expected = f"nothing, for {setting.name}"
        raise RecipeError("train.spike", expected, f"{train.spike:g}", remedy)


def watches(setting: Setting) -> bool:
    """Whether rows are cut off to be watched for an early stop."""
    return setting.train.stop.patience is not None or setting.train.stop.target is not None


def _rows(fit: Fit, device: torch.device) -> WatchedSplit:
    """Cut rows off where something is watched; none can be cut off a single row."""
    section, dtype = fit.setting.train, DTYPES[fit.setting.train.precision]
    if watches(fit.setting):
        rows, cut_off = cut(fit, section.stop.validation, _seed(fit, "validation"))
        if len(cut_off):
            training, watched = fit.take(rows), fit.take(cut_off)
            x_watched = torch.tensor(dense(watched.x), dtype=dtype, device=device)
            return WatchedSplit(
                training, _features(training, dtype, device), watched, x_watched, fit
            )
    return WatchedSplit(fit, _features(fit, dtype, device), of=fit)


def _features(fit: Fit, dtype: torch.dtype, device: torch.device) -> torch.Tensor | SparseRows:
    """Sparse rows stay on the processor, and go where they are wanted a block at a time."""
    if issparse(fit.x):
        return SparseRows(fit.x, dtype)
    return torch.from_numpy(np.ascontiguousarray(fit.x)).to(device, dtype)


def _targets(family: Network, module: nn.Module, fit: Fit) -> torch.Tensor:
    """What the loss compares with; classes stay int64."""
    y = torch.from_numpy(np.array(family.targets(module, fit), copy=True))
    return y.to(next(module.parameters()).dtype) if y.is_floating_point() else y


def _batches(
    family: Network, module: nn.Module, rows: WatchedSplit, whole: Fit, device: torch.device
) -> Batches:
    fit, wanted = rows.training, whole.setting.train.batch_size
    size = fit.rows if wanted == "full" else min(wanted, fit.rows)
    dtype = next(module.parameters()).dtype
    weights = None if fit.weights is None else _relative(fit.weights).to(device, dtype)
    y = _targets(family, module, fit).to(device)
    return Batches(rows.x, y, size, _seed(whole, "order"), weights)


def _relative(weights: FloatArray) -> torch.Tensor:
    return torch.from_numpy(relative(weights))


def _start(family: Network, fit: Fit) -> nn.Module:
    """The network of `fit.start`, or a new one filled by `initialize`."""
    if fit.start is not None:
        return family.resume(fit.start)
    shape = fit.shape
    if problem := check.problems(fit.setting.initialize, family.widths(shape)):
        raise FitError(
            "initialize.scheme",
            "a scheme that gives hidden units different weights",
            problem,
            "Choose he_normal (relu) or xavier_uniform (tanh, sigmoid).",
        )
    with torch.random.fork_rng(
        devices=[]
    ):  # torch's layers fill themselves from its own generator: all filled anew
        module = family.module(shape)
    fill(module, fit.setting.initialize, _seed(fit, "weights"))
    return module


def norm_parameters(module: nn.Module) -> frozenset[str]:
    """Names of the scales and shifts of norms, which start at 1 and 0 as torch fills them, whatever
    `initialize` says.
    """
    norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return frozenset(
        f"{name}.{own}" if name else own
        for name, part in module.named_modules()
        if isinstance(part, norms)
        for own, _ in part.named_parameters(recurse=False)
    )


def fill(module: nn.Module, initialize: Initialize, seed: int) -> None:
    """Weights (two axes or more) by `scheme`, vectors by `bias`, in the order of the module's
    parameters; before them what the module fills itself (`Starting`).
    """
    generator = torch.Generator().manual_seed(seed)
    weights, biases = INITIALIZER.make(initialize.scheme), INITIALIZER.make(initialize.bias)
    filled = (
        module.start(weights, biases, generator) if isinstance(module, Starting) else frozenset()
    )
    for name, parameter in module.named_parameters():
        if name not in filled:
            (weights if parameter.ndim > 1 else biases).fill(parameter, generator)


def _watch(
    family: Network, module: nn.Module, rows: WatchedSplit, setting: Setting
) -> Watched | None:
    """How the rows cut off are looked at: by the loss, or by the metric that was asked for."""
    fit, metric, watch = rows.watched, setting.train.stop.metric, setting.watch
    if fit is None or rows.x_watched is None:
        return None
    y = _targets(family, module, fit).to(rows.x_watched.device)
    weights = None if fit.weights is None else _relative(fit.weights).to(rows.x_watched)
    if metric == "loss":
        return Watched(rows.x_watched, y, weights=weights)
    if watch is None or watch.name != metric:
        raise RecipeError(
            "train.stop.metric",
            "loss, or a metric that is scored here",
            f"'{metric}'",
            "Watch loss.",
        )

    def score(network: nn.Module) -> float:
        predicted = family.fitted(network, fit.shape).predict(dense(fit.x))
        return watch.score(fit.y, predicted, fit.weights)

    return Watched(rows.x_watched, y, score, weights)


def _seed(fit: Fit, purpose: str) -> int:
    return derive(fit.setting.initialize.seed, fit.seed, purpose)
