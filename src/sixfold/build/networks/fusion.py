"""Columns of several kinds in one network: an encoder for each kind or column, what they give side
by side, two products on top.

Joint representations: Baltrušaitis, Ahuja and Morency, Multimodal machine learning: a survey and
taxonomy, 2019. Each text and each image is brought to one scale by a layer norm, so that no column
drowns out another; numbers come scaled, and their size tells.

Shape letters: B rows, F features, W numbers that an encoder gives, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import nn

from sixfold.build._fitted_images import ScaledImages
from sixfold.build._residual_network import ImageResidualNetwork, NetworkShape
from sixfold.build.networks.text_cnn import ConvolutionShape, TextCNN
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.train.network import Scheme
from sixfold.train.starting import norm_parameters

CODE_WIDTH = 8  # numbers that a category's code becomes; guessed


@dataclass(frozen=True)
class TokenColumn(State):
    """A column of texts: features `start` up to `stop` are its tokens."""

    start: int
    stop: int
    network: ConvolutionShape


@dataclass(frozen=True)
class PixelColumn(State):
    """A column of images: its pixels begin with feature `start`, the channels of one side by
    side.
    """

    start: int
    height: int
    width: int
    network: NetworkShape

    @property
    def image(self) -> ImageShape:
        """What every image has become."""
        return ImageShape(self.height, self.width, 3 if self.network.channels == 3 else 1)

    @property
    def stop(self) -> int:
        """The feature after its last pixel."""
        return self.start + self.height * self.width * self.network.channels

    def images(self, x_BF: torch.Tensor) -> torch.Tensor:
        """[B, F] → [B, channels, height, width]."""
        shape = (-1, self.height, self.width, self.network.channels)
        return x_BF[:, self.start : self.stop].reshape(shape).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class FusionShape(State):
    """`numbers`, `codes`: features that are numbers, and codes of a category; `levels`: how many
    codes each of these has; `width`: W.
    """

    features: int
    outputs: int
    numbers: tuple[int, ...]
    codes: tuple[int, ...]
    levels: tuple[int, ...]
    texts: tuple[TokenColumn, ...]
    images: tuple[PixelColumn, ...]
    width: int
    dropout: float = 0.0


class NumberEncoder(nn.Module):
    """Numbers, and vectors for the codes of categories, one product, relu. The vector of a value
    never seen (-1) is 0.
    """

    numbers: torch.Tensor
    codes: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        sizes = [levels + 1 for levels in shape.levels]
        offsets = [1 + before for before in accumulate([0, *sizes[:-1]])][: len(sizes)]
        for name, values in (
            ("numbers", shape.numbers),
            ("codes", shape.codes),
            ("offsets", offsets),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)
        self.table = nn.Embedding(sum(sizes), CODE_WIDTH) if sizes else None
        self.linear = nn.Linear(len(shape.numbers) + CODE_WIDTH * len(sizes), shape.width)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        """[B, F] → [B, W]."""
        pieces = [x_BF.index_select(1, self.numbers)]
        if self.table is not None:
            rows = x_BF.index_select(1, self.codes).long() + self.offsets
            pieces.append(self.table(rows).flatten(1))
        return torch.relu(
            self.linear(torch.cat(pieces, 1) if self.table is not None else pieces[0])
        )


class ColumnEncoder(nn.Module):
    """The network of one column, what it gives brought to one scale."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.norm = network, nn.LayerNorm(width)

    def forward(self, column: torch.Tensor) -> torch.Tensor:
        """What the network takes → [B, W]."""
        return torch.relu(self.norm(self.network(column)))


class FusionNetwork(nn.Module):
    """`scalings`: of the pixels of each column of images; none where those of a trained network are
    loaded.
    """

    def __init__(self, shape: FusionShape, scalings: Sequence[PixelScaling] = ()) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        known = scalings or [unscaled(column.network.channels) for column in shape.images]
        self.numbers = NumberEncoder(shape) if shape.numbers or shape.codes else None
        self.texts = nn.ModuleList(
            ColumnEncoder(TextCNN(column.network), width) for column in shape.texts
        )
        self.images = nn.ModuleList(
            ColumnEncoder(ScaledImages(ImageResidualNetwork(column.network), scaling), width)
            for column, scaling in zip(shape.images, known, strict=True)
        )
        encoders = (self.numbers is not None) + len(shape.texts) + len(shape.images)
        self.dropout = nn.Dropout(shape.dropout)
        self.hidden = nn.Linear(encoders * width, 2 * width)
        self.head = nn.Linear(2 * width, shape.outputs)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Norms and vectors of tokens start as in the networks of one column; vectors of codes at
        0, as in tabular networks.
        """
        filled = set(norm_parameters(self))
        for name, part in self.named_modules():
            if isinstance(part, TextCNN):
                filled |= {f"{name}.{own}" for own in part.start(weights, biases, generator)}
        if self.numbers is not None and self.numbers.table is not None:
            nn.init.zeros_(self.numbers.table.weight)
            filled.add("numbers.table.weight")
        return frozenset(filled)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        """[B, F] → [B, K] scores of classes, or values."""
        parts = [] if self.numbers is None else [self.numbers(x_BF)]
        for column, encoder in zip(self.shape.texts, self.texts, strict=True):
            parts.append(encoder(x_BF[:, column.start : column.stop].long()))
        for image, encoder in zip(self.shape.images, self.images, strict=True):
            parts.append(encoder(image.images(x_BF)))
        joint = self.dropout(torch.cat(parts, 1))
        return self.head(torch.relu(self.hidden(joint)))  # type: ignore[no-any-return]


def unscaled(channels: int) -> PixelScaling:
    """A place for the scaling that a trained network has."""
    return PixelScaling(np.zeros(channels, np.float32), np.ones(channels, np.float32))
