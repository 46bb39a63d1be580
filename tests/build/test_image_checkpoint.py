"""Local image checkpoints: tiny ones of every kind are saved, read, and answer as transformers itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ConvNextConfig, ConvNextModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from sixfold.build.networks.image_checkpoint import FineTuned, read_image_checkpoint
from sixfold.core.errors import DataError, SystemFault

PROCESSOR = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.2], "image_std": [0.2, 0.4, 1.0]}
MODELS: dict[str, Any] = {
    "vit": lambda: ViTModel(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=32,
            patch_size=8,
        )
    ),
    "convnext": lambda: ConvNextModel(ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2)),
    "resnet": lambda: ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ),
}


def saved(folder: Path, kind: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_embeddings_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    model, x = saved(tmp_path, kind), torch.randn(2, 3, 32, 32)
    found = read_image_checkpoint(tmp_path)
    with torch.no_grad():
        answer = model(pixel_values=x)
        wanted = answer.last_hidden_state[:, 0] if kind == "vit" else answer.pooler_output.flatten(1)
        assert torch.allclose(found.module(x), wanted, atol=1e-5)
    assert (found.side, found.width) == (32, wanted.shape[1])
    assert found.mean == pytest.approx((127.5, 102.0, 51.0))
    assert found.deviation == pytest.approx((51.0, 102.0, 255.0))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_embedding_learns_nothing_and_its_head_does(frozen: bool, tmp_path: Path) -> None:
    saved(tmp_path, "resnet")
    checkpoint = read_image_checkpoint(tmp_path)
    network = FineTuned(checkpoint.module, checkpoint.width, 3, frozen)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert network.head.weight.grad is not None
    assert all((weight.grad is None) is frozen for weight in checkpoint.module.parameters())


def test_a_file_with_pickle_in_it_is_not_read(tmp_path: Path) -> None:
    saved(tmp_path, "resnet")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"found no model\.safetensors\..*pickle in them are not read"):
        read_image_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    saved(tmp_path, "resnet")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises((DataError, SystemFault), match="a checkpoint that transformers can read"):
        read_image_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", '{"model_type": "bert"}', "expected a model_type of convnext, deit, resnet, vit; found 'bert'"),
        ("config.json", "[]", "expected the configuration of a model"),
        ("preprocessor_config.json", '{"size": 32}', "expected size, image_mean and image_std of three channels"),
    ],
)
def test_other_folders_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    saved(tmp_path, "resnet")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_image_checkpoint(tmp_path)
