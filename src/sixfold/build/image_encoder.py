"""A local image checkpoint that is fine-tuned: ViT, DeiT, ConvNeXt or ResNet, with a head of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field
from torch import nn

from sixfold.build._classes import present
from sixfold.build._fine_tuning import DEFAULTS, FineTuning
from sixfold.build._fitted_image_encoder import FittedImageEncoder, TunedImageEncoder
from sixfold.build._fitted_images import ScaledImages
from sixfold.build._image_family import ImageFamily, PixelModel, image_of
from sixfold.build.family import TrainDefaults
from sixfold.core.errors import FitError
from sixfold.parts import image_checkpoint
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.image_checkpoint import (
    ImageCheckpoint,
    ImageEmbedding,
    ImageEncoderShape,
    read_image_checkpoint,
    read_preparation,
)

CHANNELS: Final = 3


@dataclass(frozen=True)
class PixelEncoder(PixelModel):
    """A fine-tuned checkpoint."""

    network: FittedImageEncoder


class Settings(FineTuning, ImageFamily):
    """A local checkpoint of ViT's, DeiT's, ConvNeXt's or ResNet's kind, fine-tuned for a column of
    images alone, on augmented images, or its head alone. The folder holds config.json,
    model.safetensors and preprocessor_config.json, which say what images become: their size, and
    how they are scaled.
    """

    checkpoint: str = Field(
        min_length=1, description="The folder; relative to where the command is started."
    )

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "image_encoder"

    @property
    def needs(self) -> Needs:
        """Color images of the checkpoint's size. Raises DataError."""
        side = read_preparation(Path(self.checkpoint)).side
        return Needs(precision="float32", stored=True, image_side=side)

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate, which is small for what was trained before."""
        return DEFAULTS[self.adapt]

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        return image_checkpoint.digest(Path(self.checkpoint))

    def derived(self, fit: Fit) -> str:
        """What is taken of the checkpoint, and how images are augmented."""
        found = read_image_checkpoint(Path(self.checkpoint))
        network = self._adapted(found.module, nn.Linear(found.width, fit.outputs))
        learned = self.learned(network, network.embedding)
        told = f"{Path(self.checkpoint).name} ({found.shape.checkpoint.kind}, SHA-256 {found.digest[:12]}…)"
        shape = found.shape.preparation.shape.describe()
        return f"image_encoder: checkpoint {told}: images of {shape}; {learned}. {self.describe()}"

    def module(self, fit: Fit) -> nn.Module:
        """The checkpoint with a new head. Raises DataError, and FitError for other features than
        images of its size.
        """
        present(fit, self.name)
        found = read_image_checkpoint(Path(self.checkpoint))
        _check_images(found, fit)
        return _Scaled(
            self._adapted(found.module, nn.Linear(found.width, fit.outputs)), found.shape
        )

    def _adapted(self, embedding: ImageEmbedding, head: nn.Linear) -> TunedImageEncoder:
        """Ready to be trained. Raises FitError where there is no product for an adapter."""
        return TunedImageEncoder(self.adapted(embedding, self.name), head).train()

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state."""
        if not isinstance(fitted, PixelEncoder):
            raise TypeError(f"{type(fitted).__name__} is no PixelEncoder")
        found = fitted.network.module()
        return _Scaled(self._adapted(found.embedding, found.head), fitted.network.shape)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays; adapters are merged into the weights."""
        if not isinstance(module, _Scaled):
            raise TypeError(f"{type(module).__name__} is no fine-tuned checkpoint")
        return PixelEncoder(
            CHANNELS, FittedImageEncoder.of(self.merged(module.network), module.shape)
        )


class _Scaled(ScaledImages):
    """A checkpoint's scaling and its network; `shape`: what that is put together by."""

    def __init__(self, network: nn.Module, shape: ImageEncoderShape) -> None:
        super().__init__(network, shape.preparation.scaling)
        self.shape = shape


def _check_images(found: ImageCheckpoint, fit: Fit) -> None:
    """Raises FitError."""
    shape, wanted = image_of(fit, "image_encoder"), found.shape.preparation.shape
    if shape != wanted:
        remedy = "Leave prepare.features for images out: the checkpoint says what they become."
        raise FitError(
            "build, image_encoder", f"images of {wanted.describe()}", shape.describe(), remedy
        )
