"""A local image checkpoint of transformers, read from its folder: safetensors and JSON alone, no code and no pickle from it.

Shape letters: B images, C channels, H height, W width, D width of an embedding, O outputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel

from sixfold.core.errors import DataError, SystemFault

NEEDED: Final = ("config.json", "model.safetensors", "preprocessor_config.json")
KINDS: Final = frozenset({"vit", "deit", "convnext", "resnet"})
OF_TOKENS: Final = frozenset({"vit", "deit"})  # whose first token stands for the image
BYTE: Final = 255.0


@dataclass(frozen=True)
class ImageCheckpoint:
    """`module`: float32 [B, 3, side, side] → [B, width]. `mean`, `deviation`: what images are scaled by, in steps of a byte."""

    module: nn.Module
    side: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class ImageEmbedding(nn.Module):
    """What a checkpoint makes of an image before its own classes: the first token of a transformer, or the mean over places."""

    def __init__(self, encoder: nn.Module, of_tokens: bool) -> None:
        super().__init__()
        self.encoder, self.of_tokens = encoder, of_tokens

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """float32 [B, 3, H, W] → [B, D]."""
        found = self.encoder(pixel_values=x_BCHW)
        return found.last_hidden_state[:, 0] if self.of_tokens else found.pooler_output.flatten(1)  # type: ignore[no-any-return]


class FineTuned(nn.Module):
    """An embedding with a linear layer of its own, all of it trained, or the layer alone (`frozen`)."""

    def __init__(self, embedding: nn.Module, width: int, outputs: int, frozen: bool) -> None:
        super().__init__()
        self.embedding = embedding.requires_grad_(not frozen)
        self.head = nn.Linear(width, outputs)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """float32 [B, 3, H, W] → [B, O] scores."""
        return self.head(self.embedding(x_BCHW))  # type: ignore[no-any-return]


def read_image_checkpoint(folder: Path) -> ImageCheckpoint:
    """Raises DataError for a folder that is no checkpoint, or one of another kind; SystemFault where it cannot be read."""
    missing = next((name for name in NEEDED if not (folder / name).is_file()), None)
    if missing is not None:
        remedy = "Save model and image processor with save_pretrained(folder); files with pickle in them are not read."
        raise DataError(str(folder), f"a checkpoint: {', '.join(NEEDED)}", f"no {missing}", remedy)
    config, processor = (_json(folder / name) for name in (NEEDED[0], NEEDED[2]))
    kind = config.get("model_type")
    if kind not in KINDS:
        expected = f"a model_type of {', '.join(sorted(KINDS))}"
        raise DataError(str(folder / NEEDED[0]), expected, repr(kind), "Choose another one.")
    try:
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SystemFault(str(folder), "a checkpoint that transformers can read", text, "Save it again.") from None
    module = ImageEmbedding(model.to(torch.float32), kind in OF_TOKENS).eval()
    side, mean, deviation = _preparation(processor, folder / NEEDED[2])
    with torch.no_grad():
        width = module(torch.zeros(1, len(mean), side, side)).shape[1]
    return ImageCheckpoint(module, side, width, mean, deviation)


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(str(file), "the configuration of a model", "something else", "Save the checkpoint again.")
    return found


def _preparation(processor: dict[str, Any], file: Path) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Side, and mean and deviation in steps of a byte, as the checkpoint was trained. Raises DataError."""
    size = processor.get("size")
    sides = [size] if isinstance(size, int) else [value for value in (size or {}).values() if isinstance(value, int)]
    try:
        mean, deviation = (np.asarray(processor[name], dtype=np.float64) for name in ("image_mean", "image_std"))
        if not sides or mean.shape != (3,) or deviation.shape != (3,) or deviation.min() <= 0:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        expected = "size, image_mean and image_std of three channels"
        raise DataError(str(file), expected, "something else", "Save the image processor again.") from None
    return min(sides), tuple((mean * BYTE).tolist()), tuple((deviation * BYTE).tolist())
