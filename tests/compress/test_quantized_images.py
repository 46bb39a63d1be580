"""int8 image networks: few bytes, answers near those in float32, and nothing that the strict reader
refuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitting import train_images
from sixfold.build._fitted_images import FittedImages, ImageSize, ScaledImages
from sixfold.build._residual_network import ImageResidualNetwork, NetworkShape
from sixfold.bundle.graph import CheckedModel
from sixfold.compress.quantized_images import QuantizedImages, quantized_images
from sixfold.parts import state
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.pixel_scaling import PixelScaling

Trained = tuple[FittedImages, Any, Any]
SHAPE = NetworkShape(1, 2, (16, 32), 1, 1)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Bars that lie or stand."""
    random = np.random.default_rng(0)
    images, y = random.integers(0, 60, (120, 8, 8, 1), dtype=np.uint8), random.integers(0, 2, 120)
    for image, stands in zip(images, y, strict=True):
        at = random.integers(1, 6)
        image[:, at : at + 2] = np.where(stands, 220, image[:, at : at + 2])
        image[at : at + 2] = np.where(stands, image[at : at + 2], 220)
    scaling = PixelScaling.of([images])
    torch.manual_seed(0)
    module = ImageResidualNetwork(SHAPE)
    train_images(ScaledImages(module, scaling), images, y, epochs=15)
    return FittedImages.of(module, SHAPE, ImageSize(8, 8), scaling), images, y


def written(network: FittedImages | QuantizedImages) -> bytes:
    graph = Graph()
    value = network.export(graph, graph.input_of("images", TensorProto.UINT8, ["rows", 8, 8, 1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", 2])
    return packed(graph.model())


def test_int8_answers_nearly_as_float32_in_fewer_bytes(trained: Trained, tmp_path: Path) -> None:
    fitted, images, y = trained
    state.save(quantized_images(fitted, images), tmp_path)
    quantized = state.load(tmp_path, QuantizedImages)
    content = written(quantized)
    answers = (
        CheckedModel.of(content, "model.onnx")
        .session("model.onnx")
        .run(None, {"images": images})[0]
    )
    assert len(content) < len(written(fitted)) / 2
    assert np.array_equal(answers, quantized.predict(images))
    assert (answers.argmax(1) == y).mean() >= 0.97
    assert np.abs(answers - fitted.predict(images)).mean() < 0.05


def test_the_same_images_give_the_same_bytes(trained: Trained) -> None:
    fitted, images, _ = trained
    assert (
        quantized_images(fitted, images).model.tobytes()
        == quantized_images(fitted, images).model.tobytes()
    )
