"""A local image checkpoint of transformers: its module, and how the images are prepared that it was
trained on.

ViT: Dosovitskiy and others, An image is worth 16x16 words, 2020; DeiT: Touvron and others, 2020;
ConvNeXt: Liu and others, 2022; ResNet: He and others, 2015.

Shape letters: B images, C channels, H height, W width, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint, checkpoint_files
from sixfold.parts.checkpoint import LIMITS, OF_IMAGES, CheckpointShape, read_checkpoint
from sixfold.parts.checkpoint_files import CONFIG
from sixfold.parts.folded_norms import norms_folded
from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.node_trace import ROWS, traced
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.recipe.images import LARGEST_SIDE

PROCESSOR: Final = "preprocessor_config.json"
OF_TOKENS: Final = frozenset({"deit", "vit"})  # whose first token stands for the image
KEPT_SHARE: Final = 224 / 256  # of a side, that ConvNeXt's processor keeps where it does not say
WHOLE_FROM: Final = 384  # pixels a side, from which on ConvNeXt's processor keeps all
AGAIN: Final = "Save model and image processor with save_pretrained(folder); files with pickle in them are not read."


@dataclass(frozen=True)
class Preparation(State):
    """What an image becomes for a checkpoint: `side` pixels a side, of which the middle `crop` are
    kept, in color, scaled.
    """

    side: int
    crop: int
    scaling: PixelScaling

    @property
    def shape(self) -> ImageShape:
        """What is stored of an image."""
        return ImageShape(self.side, self.side, 3)

    def example(self) -> torch.Tensor:
        """Black images, scaled or not, as many as a trace takes."""
        return torch.zeros(ROWS, 3, self.side, self.side)


@dataclass(frozen=True)
class ImageEncoderShape(State):
    """What a module is put together by, without its folder."""

    checkpoint: CheckpointShape
    preparation: Preparation

    def network(self) -> ImageEmbedding:
        """In evaluation, with weights of any value."""
        return self.around(self.checkpoint.network())

    def around(self, encoder: nn.Module) -> ImageEmbedding:
        """`encoder` is the module of the checkpoint."""
        preparation, of_tokens = self.preparation, self.checkpoint.kind in OF_TOKENS
        return ImageEmbedding(
            encoder, of_tokens, (preparation.side - preparation.crop) // 2, preparation.crop
        ).eval()


@dataclass(frozen=True)
class ImageCheckpoint:
    """`module`: float32, [B, 3, side, side] → [B, width]. `digest`: SHA-256 of all files that were
    read.
    """

    shape: ImageEncoderShape
    module: ImageEmbedding
    width: int
    digest: str


class ImageEmbedding(nn.Module):
    """What a checkpoint makes of an image before its own classes: the first token of a transformer,
    or the mean over places.
    """

    def __init__(self, encoder: nn.Module, of_tokens: bool, start: int, crop: int) -> None:
        super().__init__()
        self.encoder, self.of_tokens, self.kept = encoder, of_tokens, slice(start, start + crop)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """float32 [B, 3, side, side], scaled → [B, D]."""
        found = self.encoder(pixel_values=x_BCHW[:, :, self.kept, self.kept])
        pooled = found.last_hidden_state[:, :1] if self.of_tokens else found.pooler_output
        return pooled.flatten(1)  # type: ignore[no-any-return]


def digest(folder: Path) -> str:
    """SHA-256 of all files that are read. Raises DataError for a folder that is no checkpoint."""
    names = [
        CONFIG,
        *checkpoint.weight_files(folder),
        *checkpoint_files.present(folder, [PROCESSOR]),
    ]
    return checkpoint_files.digest(folder, names)


def read_image_checkpoint(folder: Path) -> ImageCheckpoint:
    """Raises DataError for a folder that is no checkpoint, is damaged, of another kind, or takes
    images of another size.
    """
    preparation, found = read_preparation(folder), read_checkpoint(folder, OF_IMAGES)
    shape = ImageEncoderShape(found.shape, preparation)
    module = shape.around(found.module)
    try:
        with torch.inference_mode():
            width = module(preparation.example()[:1]).shape[1]
    except (RuntimeError, ValueError) as error:
        expected = (
            f"a checkpoint of color images of {preparation.crop} pixels a side, as {PROCESSOR} says"
        )
        raise DataError(
            str(folder), expected, (str(error).splitlines() or ["another one"])[0][:200], AGAIN
        ) from None
    return ImageCheckpoint(shape, module, width, digest(folder))


def embedding_nodes(
    module: ImageEmbedding, preparation: Preparation, graph: Graph, images: str
) -> str:
    """The nodes of a checkpoint, from `images` [rows, side, side, 3] of bytes, to float [rows,
    width].
    """
    return traced(
        norms_folded(module),
        graph,
        preparation.scaling.export(graph, images),
        preparation.example(),
    )


def read_preparation(folder: Path) -> Preparation:
    """From the folder's image processor. Raises DataError where it says none that is known here."""
    checkpoint_files.present(folder, [CONFIG, PROCESSOR])
    file = folder / PROCESSOR
    found = checkpoint_files.read_json(file, LIMITS)
    try:
        side, crop = _sides(found)
        scaling = _scaling(found)
    except (AttributeError, KeyError, TypeError, ValueError):
        expected = "size, image_mean and image_std of square color images"
        raise DataError(
            str(file), expected, "something else", "Save the image processor again."
        ) from None
    if not 1 <= crop <= side <= LARGEST_SIDE:
        expected = f"images of 1 to {LARGEST_SIDE} pixels a side"
        raise DataError(
            str(file),
            expected,
            f"{side} pixels, of which {crop} are kept",
            "Choose another checkpoint.",
        )
    return Preparation(side, crop, scaling)


def _sides(found: Mapping[str, Any]) -> tuple[int, int]:
    """What the shorter side becomes, and how much of it is kept."""
    side = _side(found["size"])
    kind = str(found.get("image_processor_type") or found.get("feature_extractor_type") or "")
    if "crop_pct" in found or kind.startswith("ConvNext"):
        share = found.get("crop_pct") or KEPT_SHARE
        return (side, side) if side >= WHOLE_FROM else (int(side / share), side)
    if found.get("do_center_crop") and found.get("crop_size"):
        return side, _side(found["crop_size"])
    return side, side


def _side(size: Any) -> int:
    """Of a number, `{shortest_edge}`, or `{height, width}` that are equal. Raises ValueError."""
    sides = set(size.values()) if isinstance(size, dict) else {size}
    if len(sides) != 1 or not all(type(side) is int for side in sides):
        raise ValueError("no square")
    return int(sides.pop())


def _scaling(found: Mapping[str, Any]) -> PixelScaling:
    """In steps of a byte: (x · factor - mean) / deviation. Raises KeyError, TypeError,
    ValueError.
    """
    factor = (
        _numbers(found.get("rescale_factor", 1 / 255))
        if found.get("do_rescale", True)
        else _numbers(1)
    )
    normalized = found.get("do_normalize", True)
    mean = _numbers(found["image_mean"] if normalized else [0, 0, 0]) / factor
    deviation = _numbers(found["image_std"] if normalized else [1, 1, 1]) / factor
    if (
        mean.shape != (3,)
        or deviation.shape != (3,)
        or not (np.isfinite(mean).all() and (deviation > 0).all())
    ):
        raise ValueError("not three channels")
    return PixelScaling(mean.astype(np.float32), deviation.astype(np.float32))


def _numbers(value: Any) -> FloatArray:
    return np.asarray(value, dtype=np.float64)
