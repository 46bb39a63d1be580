"""Image checkpoints of every kind with random weights, as transformers saves them, and PNG files:
small enough for tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    DeiTConfig,
    DeiTForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

SIDE, CLASSES = 32, 3
TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
    "num_labels": CLASSES,
}
MODELS: dict[str, Any] = {
    "vit": lambda: ViTForImageClassification(ViTConfig(**TOKENS)),
    "deit": lambda: DeiTForImageClassification(DeiTConfig(**TOKENS)),
    "convnext": lambda: ConvNextForImageClassification(
        ConvNextConfig(
            hidden_sizes=[8, 16],
            depths=[1, 2],
            num_stages=2,
            drop_path_rate=0.1,
            num_labels=CLASSES,
        )
    ),
    "resnet": lambda: ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], num_labels=CLASSES)
    ),
    "basic_resnet": lambda: ResNetForImageClassification(
        ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16],
            depths=[1, 1],
            layer_type="basic",
            num_labels=CLASSES,
        )
    ),
}
SCALING = {"image_mean": [0.5, 0.4, 0.2], "image_std": [0.2, 0.4, 1.0]}


def processor(kind: str) -> Any:
    """As is published for this kind; of the middle of 36 × 36 pixels ConvNeXt and ResNet see 32."""
    if kind in ("vit", "deit"):
        return ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, **SCALING)
    return ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=SIDE / 36, **SCALING)


def write(folder: Path, kind: str = "vit", seed: int = 0) -> Any:
    """Save a checkpoint; returns transformers' model. Statistics of its batch norms are not those
    of the start.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODELS[kind]()
        model.train()(pixel_values=torch.randn(8, 3, SIDE, SIDE) * 2 + 1)
        for name, parameter in model.named_parameters():
            if "layer_scale" in name:
                torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    return model.eval()


def draw(folder: Path, count: int) -> list[Path]:
    """PNG files of red bars that lie or blue ones that stand, some 36 and some 48 pixels a side, in
    a subfolder a class.
    """
    random, paths = np.random.default_rng(0), []
    for number in range(count):
        side = int(random.choice([36, 48]))
        image, at = (
            random.integers(0, 40, (side, side, 3), dtype=np.uint8),
            int(random.integers(side // 4, side // 2)),
        )
        lying = number % 2 == 0
        image[at : at + side // 4, :, 0 if lying else 2] += random.integers(
            120, 200, dtype=np.uint8
        )
        paths.append(folder / ("lying" if lying else "standing") / f"{number}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image if lying else np.ascontiguousarray(image.transpose(1, 0, 2))).save(
            paths[-1]
        )
    return paths
