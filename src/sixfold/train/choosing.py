"""`optimizer: auto`: before the first step, every candidate gets the optimizer that suits its
network and its batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from sixfold.parts.fit import Fit
from sixfold.parts.table import Task
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.plugin_fields import Options
from sixfold.runs.context import Context
from sixfold.train.batch_parts import optimized_shapes
from sixfold.train.network import Network


class FitShape(NamedTuple):
    """What is known of a fit before it is trained. `shapes`: of its parameters, as `optimized_shapes`
    has them; `rows`: of a batch; `full`: all of them. `unit`: what rows are called, where each is more
    than one vector that a matrix is multiplied with.
    """

    shapes: tuple[tuple[int, ...], ...]
    rows: int
    full: bool
    task: Task
    unit: str = "rows"


class OptimizerChoice(NamedTuple):
    """The options of an optimizer, as a recipe would write them, and why it is that one, with
    figures.
    """

    optimizer: Options
    why: str


@runtime_checkable
class Chooser(Protocol):
    """Ability of a file in `train/optimizers`: it chooses one of the others."""

    def choose(self, work: FitShape) -> OptimizerChoice:
        """Depends on `work` alone: a fit gets the same optimizer whoever is trained beside it."""


def chosen(fits: Sequence[Fit], shape_of: Callable[[Fit], FitShape], context: Context) -> list[Fit]:
    """The same fits, with an optimizer in the place of every chooser. Each choice of a setting is
    noted once.
    """
    done, notes = [], {}
    for fit in fits:
        train = fit.setting.train
        chooser = OPTIMIZER.load(str(train.optimizer["name"]))
        if issubclass(chooser, Chooser):
            found = OPTIMIZER.make(train.optimizer).choose(shape_of(fit))
            train = train.model_copy(update={"optimizer": found.optimizer})
            notes[f"{fit.setting.name}: optimizer {found.optimizer['name']}: {found.why}"] = True
            fit = replace(fit, setting=replace(fit.setting, train=train))
        done.append(fit)
    for text in notes:
        context.emit("note", text=text)
    return done


def stacked_shape(family: Network, fit: Fit) -> FitShape:
    """Of a network that is trained beside others."""
    if fit.start is not None:
        return fit_shape(family.resume(fit.start), fit)
    with torch.device("meta"):
        return fit_shape(family.module(fit.shape), fit)


def fit_shape(module: nn.Module, fit: Fit) -> FitShape:
    """Of a network that is looked at, and not held."""
    size = fit.setting.train.batch_size
    rows = fit.rows if size == "full" else min(size, fit.rows)
    shapes = tuple(tuple(shape) for shape in optimized_shapes(module))
    return FitShape(shapes, rows, rows == fit.rows, fit.task)
