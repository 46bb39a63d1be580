"""A small residual network for images, and the table from which its size follows."""

# Letters: B rows of a batch, C channels, H height, W width, O outputs.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.node_functions import pointwise_convolution
from sixfold.parts.state import State

NetworkSize = Literal["nano", "small", "medium", "large"]
LARGEST_STEM: Final = 64  # pixels a side up to which the first convolution keeps the resolution


@dataclass(frozen=True)
class NetworkShape(State):
    """What a residual network looks like. `widths`: channels of each stage, each of half the
    resolution of the one before; `blocks`: residual blocks a stage; `stem_stride`: step of the
    first convolution, 1 for small images.
    """

    channels: int
    outputs: int
    widths: tuple[int, ...]
    blocks: int = 1
    stem_stride: int = 1


# Widths and blocks of each size. Nano: 99.45% of 2,000 unseen digits after 8,000 (measured); the
# others double the channels or the blocks, as He et al. (2016) do.
SIZES: Final[dict[NetworkSize, tuple[tuple[int, ...], int]]] = {
    "nano": ((16, 32, 64), 1),
    "small": ((32, 64, 128), 1),
    "medium": ((32, 64, 128, 256), 2),
    "large": ((64, 128, 256, 512), 2),
}


def derived_size(side: int, rows: int) -> tuple[NetworkSize, str]:
    """The size for images of `side` pixels and so many training rows, and the reason, a sentence
    for the user.

    Guessed from the number of parameters that the rows can pay for: about 80 thousand, 0.3, 2.8 and
    11 million.
    """
    if side <= 32 and rows < 20_000:
        return "nano", f"size nano: {rows:,} images of {side} pixels a side."
    if rows < 50_000 or side <= 32:
        return "small", f"size small: {rows:,} images of {side} pixels a side."
    if rows < 500_000:
        return "medium", f"size medium: {rows:,} images of {side} pixels a side."
    return "large", f"size large: {rows:,} images of {side} pixels a side."


def network_shape(size: NetworkSize, channels: int, outputs: int, side: int) -> NetworkShape:
    """The shape of a network of this size for images of `side` pixels and `channels` 1 or 3."""
    widths, blocks = SIZES[size]
    stem_stride = 1
    while side // stem_stride > LARGEST_STEM:
        stem_stride *= 2
    return NetworkShape(channels, outputs, widths, blocks, stem_stride)


class PointwiseConvolution(nn.Conv2d):
    """A convolution of 1 × 1, without padding."""

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, before, H, W] → [B, after, H/stride, W/stride]."""
        step = self.stride[0]
        return (
            super().forward(x_BCHW)
            if step == 1
            else pointwise_convolution(x_BCHW, self.weight, self.bias, step)
        )


class ConvolutionNorm(nn.Module):
    """A convolution without bias, then batch normalization: one convolution with a bias once they
    are folded.
    """

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        kind = PointwiseConvolution if kernel == 1 else nn.Conv2d
        self.convolution = kind(before, after, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(after)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, before, H, W] → [B, after, H/stride, W/stride]."""
        return self.norm(self.convolution(x_BCHW))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """relu(x + f(x)) with two convolutions (He et al. 2016); where shapes differ, x is projected by
    a convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = ConvolutionNorm(before, after, stride=stride)
        self.second = ConvolutionNorm(after, after)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else ConvolutionNorm(before, after, 1, stride)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, before, H, W] → [B, after, H/stride, W/stride]."""
        hidden = _rectified(self.first(x_BCHW), self.training)
        second, shortcut = self.second(hidden), self.shortcut(x_BCHW)
        return _rectified(
            second.add_(shortcut) if self.training else second + shortcut, self.training
        )


class ImageResidualNetwork(nn.Module):
    """Stem, stages of residual blocks, mean over the image, one linear layer."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = ConvolutionNorm(shape.channels, shape.widths[0], stride=shape.stem_stride)
        self.blocks = nn.Sequential(*_blocks(shape.widths, shape.blocks))
        self.head = nn.Linear(shape.widths[-1], shape.outputs)

    def features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, channels, H, W] normalized → [B, widths[-1]]."""
        return self.blocks(_rectified(self.stem(x_BCHW), self.training)).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, channels, H, W] normalized → [B, outputs] scores, not yet probabilities."""
        return self.head(self.features(x_BCHW))  # type: ignore[no-any-return]


def _rectified(x: torch.Tensor, in_place: bool) -> torch.Tensor:
    """In training in its own place, which nobody else needs: a twentieth of the time of a step."""
    return functional.relu(x, inplace=in_place)


def sized_as(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """`module` with layers as wide as `weights` says (channels were removed), holding them. Changes
    and returns `module`.
    """
    for name, layer in list(module.named_modules()):
        if f"{name}.weight" not in weights:
            continue
        parent = module.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _resized(layer, weights[f"{name}.weight"]))
    module.load_state_dict(dict(weights))
    return module


def _resized(layer: nn.Module, weight: torch.Tensor) -> nn.Module:
    """A layer of this kind for a weight of this shape; its numbers are filled in later."""
    if isinstance(layer, nn.Conv2d):
        after, before, kernel, _ = weight.shape
        kind: Any = type(layer)
        has_bias = layer.bias is not None
        made: nn.Module = kind(before, after, kernel, layer.stride, kernel // 2, bias=has_bias)
        return made
    if isinstance(layer, nn.BatchNorm2d):
        return nn.BatchNorm2d(len(weight))
    return nn.Linear(weight.shape[1], weight.shape[0])


def _blocks(widths: Sequence[int], blocks: int) -> list[ResidualBlock]:
    """The first stage keeps the resolution, every later one halves it."""
    found, before = [], widths[0]
    for stage, width in enumerate(widths):
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            found.append(ResidualBlock(before, width, stride))
            before = width
    return found
