"""Local image checkpoints: tiny ones of every kind are saved, read, and answer as transformers
itself does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_images
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import DataError
from sixfold.parts import state
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_checkpoint import (
    ImageEncoderShape,
    digest,
    embedding_nodes,
    read_image_checkpoint,
    read_preparation,
)
from sixfold.parts.packed import packed


def pixels(rows: int, side: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (rows, side, side, 3), dtype=np.uint8)


def by_transformers(model: Any, kind: str, images: Any) -> Any:
    """What stands before the classes of the published model, by its own image processor."""
    given = tiny_images.processor(kind)(list(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        answer = model.base_model(pixel_values=given)
    return (
        answer.last_hidden_state[:, 0] if "it" in kind else answer.pooler_output.flatten(1)
    ).numpy()


@pytest.mark.parametrize("kind", tiny_images.MODELS)
def test_nodes_answer_as_transformers_and_its_processor(kind: str, tmp_path: Path) -> None:
    model, found = tiny_images.write(tmp_path, kind), read_image_checkpoint(tmp_path)
    preparation = found.shape.preparation
    images = pixels(5, preparation.side)
    wanted, graph = by_transformers(model, kind, images), Graph()
    side = preparation.side
    given = graph.input_of("images", TensorProto.UINT8, ["rows", side, side, 3])
    graph.output(
        "y",
        embedding_nodes(found.module, preparation, graph, given),
        TensorProto.FLOAT,
        ["rows", 16],
    )
    checked = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    assert found.width == wanted.shape[1] == 16 and np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(checked.run(None, {"images": images})[0], wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        checked.run(None, {"images": images[:1]})[0], wanted[:1], rtol=0, atol=1e-5
    )


def test_a_module_is_put_together_from_its_shape_and_weights(tmp_path: Path) -> None:
    tiny_images.write(tmp_path / "given", "resnet")
    found = read_image_checkpoint(tmp_path / "given")
    (tmp_path / "state").mkdir()
    state.save(found.shape, tmp_path / "state")
    again = state.load(tmp_path / "state", ImageEncoderShape).network()
    again.load_state_dict(found.module.state_dict())
    x = torch.randn(2, 3, 36, 36)
    with torch.no_grad():
        assert torch.equal(again(x), found.module(x))


@pytest.mark.parametrize(
    ("changed", "sides"),
    [
        ({"size": 24}, (24, 24)),
        (
            {
                "size": {"shortest_edge": 30},
                "do_center_crop": True,
                "crop_size": {"height": 28, "width": 28},
            },
            (30, 28),
        ),
        (
            {"size": {"shortest_edge": 224}, "image_processor_type": "ConvNextImageProcessor"},
            (256, 224),
        ),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, (384, 384)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.95}, (235, 224)),
    ],
)
def test_the_sizes_of_processors(
    changed: dict[str, Any], sides: tuple[int, int], tmp_path: Path
) -> None:
    tiny_images.write(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(tiny_images.SCALING | changed))
    found = read_preparation(tmp_path)
    assert (found.side, found.crop) == sides
    np.testing.assert_allclose(found.scaling.mean, [127.5, 102, 51])
    np.testing.assert_allclose(found.scaling.deviation, [51, 102, 255])


def test_what_is_not_scaled_stays_bytes(tmp_path: Path) -> None:
    tiny_images.write(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": 32, "do_rescale": false, "do_normalize": false}'
    )
    found = read_preparation(tmp_path).scaling
    assert found.mean.tolist() == [0, 0, 0] and found.deviation.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "config.json",
            {"model_type": "bert"},
            "expected a model_type of convnext, deit, resnet, vit; found 'bert'",
        ),
        ("config.json", {"image_size": 64}, "expected weights of every layer"),
        ("config.json", {"num_channels": 1}, "expected weights of every layer"),
        (
            "preprocessor_config.json",
            {"size": {"height": 24, "width": 32}},
            "expected size, image_mean and image_std",
        ),
        (
            "preprocessor_config.json",
            {"size": 24},
            "expected a checkpoint of color images of 24 pixels a side",
        ),
        (
            "preprocessor_config.json",
            {"size": 2048},
            "expected images of 1 to 1024 pixels a side; found 2048",
        ),
        (
            "preprocessor_config.json",
            {"image_mean": [0.5]},
            "expected size, image_mean and image_std",
        ),
        (
            "preprocessor_config.json",
            {"image_std": [0.5, 0, 0.5]},
            "expected size, image_mean and image_std",
        ),
        (
            "preprocessor_config.json",
            {"image_mean": None},
            "expected size, image_mean and image_std",
        ),
    ],
)
def test_other_folders_are_refused(
    name: str, content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny_images.write(tmp_path)
    file = tmp_path / name
    file.write_text(json.dumps(json.loads(file.read_text()) | content))
    with pytest.raises(DataError, match=message):
        read_image_checkpoint(tmp_path)


def test_folders_without_weights_or_processor_are_refused_by_name(tmp_path: Path) -> None:
    tiny_images.write(tmp_path)
    before = digest(tmp_path)
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "aside.json")
    with pytest.raises(DataError, match=r"found no preprocessor_config\.json"):
        read_image_checkpoint(tmp_path)
    (tmp_path / "aside.json").rename(tmp_path / "preprocessor_config.json")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps(tiny_images.SCALING | {"size": 32})
    )
    assert digest(tmp_path) != before
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(
        DataError,
        match=r"found no model\.safetensors, but pytorch_model\.bin.*pickle in them are not",
    ):
        read_image_checkpoint(tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        read_image_checkpoint(tmp_path / "nowhere")


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    tiny_images.write(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    with pytest.raises(DataError, match="expected a checkpoint that transformers can read"):
        read_image_checkpoint(tmp_path)
