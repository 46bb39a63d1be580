"""What the tests of families and of training share: candidates, and grids of settings, on fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sixfold.build.candidate import Candidate, fits_of
from sixfold.build.family import Family
from sixfold.parts.fit import Fit, Fitted, Setting, Watch
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.augment import Augment
from sixfold.train.image_examples import ImageExamples
from sixfold.train.loop import train
from sixfold.train.losses import row_losses
from sixfold.train.module import ModuleFit, ModuleLearner, load_weights
from sixfold.train.stopping import EarlyStopping


def fit_many(
    candidates: Sequence[Candidate],
    fits: Sequence[Fit],
    context: Context,
    watch: Watch | None = None,
) -> Iterator[Fitted]:
    """Fit by fit, and within a fit candidate by candidate."""
    return candidates[0].family.fit(fits_of(candidates, fits, watch), context)


def fit_grid(settings: Sequence[Family], fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
    """Fit by fit, and within a fit setting by setting."""
    named = [Setting(name=str(number), family=family) for number, family in enumerate(settings)]
    return settings[0].fit(
        [replace(fit, setting=setting) for fit in fits for setting in named], context
    )


def image_fit(
    module: nn.Module, images: Any, y: Any, augment: Augment | None = None, **options: Any
) -> ModuleFit:
    """A module of images uint8 [rows, H, W, C] and classes; all rows a step, unless `options` of
    train say otherwise.
    """
    sgd = {
        "name": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
    }
    section = Train.model_validate({"optimizer": sgd, "batch_size": len(y), "epochs": 1, **options})
    examples = ImageExamples(
        images, torch.from_numpy(y), int(y.max()) + 1, augment or Augment(shift=0)
    )
    return ModuleFit(
        module,
        examples,
        row_losses,
        section,
        EarlyStopping(section.stop),
        Context(),
        0,
        operations=0,
    )


def train_images(
    module: nn.Module, images: Any, y: Any, augment: Augment | None = None, **options: Any
) -> nn.Module:
    """The same module, trained."""
    work = image_fit(module, images, y, augment, **options)
    ((_, weights),) = train(ModuleLearner(work))
    return load_weights(work.module, weights)
