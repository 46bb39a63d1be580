"""Channels of a convolutional network, or of the MLPs of a language model: all layers that hang together
get narrower, then the network learns from what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import Field

from sixfold.build._fitted_audio import AudioNetwork
from sixfold.build._fitted_images import FittedImages
from sixfold.build.cnn import PixelNetwork
from sixfold.compress.amount import Found, largest
from sixfold.compress.channels import ChannelPruning, channels_removed, multiply_adds
from sixfold.compress.keep import Keep
from sixfold.compress.language.pruning import LanguagePruning
from sixfold.compress.language.removals import CHANNELS
from sixfold.compress.pruner import tried
from sixfold.compress.pruners.neurons import as_trained
from sixfold.compress.subject import Basis, CompressionState, Job
from sixfold.evaluate.model import Model, fit_prepared
from sixfold.parts.language_model import LanguageModel
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

Convolutional: TypeAlias = PixelNetwork | AudioNetwork


class Settings(Section):
    """Remove the least important channels (L2 norm of the filters that go together), then train on
    by the labels and by the answers of the network before the cut (distillation). Of a language model
    the channels of every layer's MLP go that add least to the stream between the layers; what reads
    the others makes up for them.

    Where `ratio` costs more than `keep` allows, half of it is tried, then a quarter, down to 5%;
    `largest` searches by bisection.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] | Literal["largest"] = Field(
        0.5,
        description="Share of the multiply-adds (of a language model: of the channels) that goes, in (0, 1); or `largest` "
        "within keep.",
    )
    epochs: int = Field(
        10,
        ge=1,
        description="Epochs of training afterwards: without them hardly an answer is right.",
    )

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        fitted = subject.model.fitted
        if isinstance(fitted, LanguageModel):
            pruning = LanguagePruning(CHANNELS, self.ratio, self.epochs)
            return pruning.prune(subject, job, keep, context)
        if not isinstance(fitted, Convolutional):
            return (
                None,
                f"{job.candidate.name} is no cnn, audio_cnn or language model, whose channels go",
            )

        def attempt(ratio: float) -> Found:
            def change(model: Model, position: int) -> Model:
                return self._trained(
                    cut(model.fitted, ratio), model, subject.basis, position, context
                )

            return tried(subject, job, keep, change)

        found, why = largest(self.ratio, attempt, context)
        if found is None:
            return None, why
        before, after = operations(fitted), operations(found.model.fitted)
        what = "an image" if isinstance(fitted, PixelNetwork) else "a recording"
        return found, f"{why} of the multiply-adds of {what}: {before:,} → {after:,}"

    def _trained(
        self, network: Convolutional, model: Model, basis: Basis, position: int, context: Context
    ) -> Model:
        """θ ← θ - α∇J(θ) on the same training rows, from the network that was cut, which asks the
        one before.
        """
        training = basis.rows(position)
        part = context.within("channels", position, fold=position)
        train = basis.candidate.train.model_copy(update={"epochs": self.epochs})
        prepared = as_trained(model, basis, training, part)
        candidate = replace(basis.candidate, train=train)
        again = fit_prepared(candidate, prepared, training.target, part, network, model.fitted)
        return replace(model, fitted=again.fitted)  # calibrator and threshold stay


def cut(fitted: object, ratio: float) -> Convolutional:
    """The network without the share `ratio` of its multiply-adds, or a little more."""
    network, example = _network(fitted)
    pruned = channels_removed(network.network.module(), ChannelPruning(1 - ratio), example)
    images = network.network
    return replace(
        network, network=FittedImages.of(pruned, images.shape, images.side, images.scaling)
    )


def operations(fitted: object) -> int:
    """Multiply-adds for one image, or one spectrogram."""
    network, example = _network(fitted)
    return multiply_adds(network.network.module(), example)


def _network(fitted: object) -> tuple[Convolutional, torch.Tensor]:
    if not isinstance(fitted, Convolutional):
        raise TypeError(f"{type(fitted).__name__} has no channels to remove")
    return fitted, torch.zeros(2, fitted.channels, *fitted.network.side)
