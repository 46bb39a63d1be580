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
from sixfold.train.network import Network


class FitShape(NamedTuple):
    """What is known of a fit before it is trained. `shapes`: of its parameters; `rows`: of a batch;
    `full`: all of them.
    """

    shapes: tuple[tuple[int, ...], ...]
    rows: int
    full: bool
    task: Task


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


def chosen(
    fits: Sequence[Fit], module_of: Callable[[Fit], nn.Module], context: Context
) -> list[Fit]:
    """The same fits, with an optimizer in the place of every chooser. Each choice of a setting is
    noted once.

    `module_of`: the network of a fit, of which the shapes of its parameters are looked at.
    """
    done, notes = [], {}
    for fit in fits:
        train = fit.setting.train
        chooser = OPTIMIZER.load(str(train.optimizer["name"]))
        if issubclass(chooser, Chooser):
            found = OPTIMIZER.make(train.optimizer).choose(_fit_shape(fit, module_of))
            train = train.model_copy(update={"optimizer": found.optimizer})
            notes[f"{fit.setting.name}: optimizer {found.optimizer['name']}: {found.why}"] = True
            fit = replace(fit, setting=replace(fit.setting, train=train))
        done.append(fit)
    for text in notes:
        context.emit("note", text=text)
    return done


def unfilled(family: Network, fit: Fit) -> nn.Module:
    """The network of a fit, to be looked at and not to be held."""
    if fit.start is not None:
        return family.resume(fit.start)
    with torch.device("meta"):
        return family.module(fit.shape)


def _fit_shape(fit: Fit, module_of: Callable[[Fit], nn.Module]) -> FitShape:
    size = fit.setting.train.batch_size
    rows = fit.rows if size == "full" else min(size, fit.rows)
    shapes = tuple(tuple(one.shape) for one in module_of(fit).parameters() if one.requires_grad)
    return FitShape(shapes, rows, rows == fit.rows, fit.task)
