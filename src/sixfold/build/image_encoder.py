"""A local image checkpoint that is fine-tuned: ViT, DeiT, ConvNeXt or ResNet, with a head of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from sixfold.build._classes import present
from sixfold.build._fitted_image_encoder import FittedImageEncoder, TunedImageEncoder
from sixfold.build._fitted_images import ScaledImages
from sixfold.build._image_family import ImageFamily, PixelModel, image_of
from sixfold.build.family import TrainDefaults
from sixfold.build.networks.text_checkpoint import LowRank, with_adapters, without_adapters
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

# Guessed, from how transformers of images and ConvNeXt are fine-tuned (Liu and others, 2022, table 5: AdamW, 5e-5, 30 epochs).
WHOLE: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 5e-5, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "rise": 0.1},
        "batch_size": 32,
        "epochs": 5,
        "clip": 1.0,
    },
    "fine-tuning of a whole checkpoint: a small rate, few epochs",
)
LOW_RANK: Final = TrainDefaults(
    {**WHOLE.options, "optimizer": {"name": "adamw", "learning_rate": 5e-4, "weight_decay": 0.01}},
    "low-rank adapters of a checkpoint: ten times the rate of fine-tuning it whole",
)
CHANNELS: Final = 3
RANK: Final = 8
ALPHA: Final = 16.0
SEED_OF_MERGED: Final = 0  # of adapters beside weights that were merged: a training that goes on
HEAD: Final = TrainDefaults(
    {**WHOLE.options, "optimizer": {"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0.01}, "epochs": 10},
    "a head on a frozen checkpoint: a linear model, whose rate may be large",
)


@dataclass(frozen=True)
class PixelEncoder(PixelModel):
    """A fine-tuned checkpoint."""

    network: FittedImageEncoder


class Settings(ImageFamily):
    """A local checkpoint of ViT's, DeiT's, ConvNeXt's or ResNet's kind, fine-tuned for a column of images alone, on augmented
    images, or its head alone. The folder holds config.json, model.safetensors and preprocessor_config.json, which say what
    images become: their size, and how they are scaled.
    """

    checkpoint: str = Field(min_length=1, description="The folder; relative to where the command is started.")
    adapt: Literal["whole", "lora", "head"] = Field(
        "whole",
        description="What is learned: all weights of the checkpoint; low-rank adapters beside its products, merged at the end; "
        "or a head on it as it is.",
    )
    rank: int = Field(RANK, ge=1, le=1024, description="Of lora: columns of the two matrices of each product.")
    alpha: float = Field(ALPHA, gt=0, description="Of lora: what adapters add is multiplied by alpha / rank.")

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.adapt != "lora" and (self.rank, self.alpha) != (RANK, ALPHA):
            raise ValueError("rank and alpha are for adapt: lora")
        return self

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "image_encoder"

    @property
    def needs(self) -> Needs:
        """Color images of the checkpoint's size. Raises DataError."""
        side = read_preparation(Path(self.checkpoint)).side
        return Needs(precision="float32", stored_pixels=True, image_side=side)

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate, which is small for what was trained before."""
        return {"whole": WHOLE, "lora": LOW_RANK, "head": HEAD}[self.adapt]

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        return image_checkpoint.digest(Path(self.checkpoint))

    def derived(self, fit: Fit) -> str:
        """What is taken of the checkpoint, and how images are augmented."""
        found = read_image_checkpoint(Path(self.checkpoint))
        whole = sum(parameter.numel() for parameter in found.module.parameters())
        network = self._adapted(found.module, nn.Linear(found.width, fit.outputs))
        few = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
        learned = f"{few:,} weights are learned, of a checkpoint that has {whole:,} ({self.adapt})"
        told = f"{Path(self.checkpoint).name} ({found.shape.checkpoint.kind}, SHA-256 {found.digest[:12]}…)"
        shape = found.shape.preparation.shape.describe()
        return f"image_encoder: checkpoint {told}: images of {shape}; {learned}. {self.augmentation.describe()}"

    def module(self, fit: Fit) -> nn.Module:
        """The checkpoint with a new head. Raises DataError, and FitError for other features than images of its size."""
        present(fit, self.name)
        found = read_image_checkpoint(Path(self.checkpoint))
        _check_images(found, fit)
        return _Scaled(self._adapted(found.module, nn.Linear(found.width, fit.outputs)), found.shape)

    def _adapted(self, embedding: ImageEmbedding, head: nn.Linear) -> TunedImageEncoder:
        """With adapters where they are what is learned. Raises FitError where there is no product for them."""
        network = TunedImageEncoder(embedding, head, self.adapt == "head")
        if self.adapt == "lora":
            with_adapters(network.embedding, self.rank, self.alpha)
            if not any(isinstance(part, LowRank) for part in network.modules()):
                remedy = "Choose adapt: whole, or a checkpoint of ViT's, DeiT's or ConvNeXt's kind."
                raise FitError("build, image_encoder", "products beside which adapters can stand", "none", remedy)
        return network

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state."""
        if not isinstance(fitted, PixelEncoder):
            raise TypeError(f"{type(fitted).__name__} is no PixelEncoder")
        found = fitted.network.module()
        network = self._adapted(found.embedding, found.head)
        generator = torch.Generator().manual_seed(SEED_OF_MERGED)
        for part in network.modules():
            if isinstance(part, LowRank):
                part.start(generator)
        return _Scaled(network, fitted.network.shape)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays; adapters are merged into the weights."""
        if not isinstance(module, _Scaled):
            raise TypeError(f"{type(module).__name__} is no fine-tuned checkpoint")
        network = without_adapters(copy.deepcopy(module.network)) if self.adapt == "lora" else module.network
        return PixelEncoder(CHANNELS, FittedImageEncoder.of(network, module.shape))


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
        raise FitError("build, image_encoder", f"images of {wanted.describe()}", shape.describe(), remedy)
