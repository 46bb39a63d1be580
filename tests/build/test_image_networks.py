"""The residual network: sizes, folding, export, channels removed, states; and the whole way from
files to answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from fitting import train_images
from sixfold.build._fitted_images import FittedImages, ImageSize, ScaledImages
from sixfold.build._residual_network import (
    SIZES,
    ImageResidualNetwork,
    NetworkShape,
    derived_size,
    network_shape,
)
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.images import ENDINGS, read
from sixfold.compress.channels import ChannelPruning, channels_removed, multiply_adds
from sixfold.core.errors import BundleError
from sixfold.data.class_folder import FileKind, labeled_files
from sixfold.parts import state
from sixfold.parts.decoded_rows import fill
from sixfold.parts.folded_norms import norms_folded
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape, Resizer, resize_graph
from sixfold.parts.image_store import ImageDecoder, survey
from sixfold.parts.packed import packed
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.train.augment import Augment

TINY = NetworkShape(1, 3, (4, 8), 1, 1)


def network(shape: NetworkShape = TINY, seed: int = 0) -> nn.Module:
    """With statistics of batch normalization that are not those of the start."""
    torch.manual_seed(seed)
    made = ImageResidualNetwork(shape)
    made(torch.randn(32, shape.channels, 8, 8) * 3 + 1)
    return made.eval()


def scaling(channels: int = 1) -> PixelScaling:
    return PixelScaling(np.full(channels, 100, np.float32), np.full(channels, 50, np.float32))


def pixels(rows: int, side: int = 8, channels: int = 1) -> Any:
    return np.random.default_rng(0).integers(0, 256, (rows, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (33, 3), (7, 3)])
def test_every_size_takes_gray_and_color_and_odd_sides(size: Any, side: int, channels: int) -> None:
    shape = network_shape(size, channels, 5, side)
    assert ImageResidualNetwork(shape)(torch.zeros(2, channels, side, side)).shape == (2, 5)


def test_large_images_are_halved_by_the_first_convolution() -> None:
    assert [network_shape("nano", 3, 2, side).stem_stride for side in (28, 64, 96, 224)] == [
        1,
        1,
        2,
        4,
    ]


def test_the_size_follows_from_images_and_rows_and_is_explained() -> None:
    assert derived_size(28, 8_000) == ("nano", "size nano: 8,000 images of 28 pixels a side.")
    assert [derived_size(224, rows)[0] for rows in (1_000, 60_000, 10**6)] == [
        "small",
        "medium",
        "large",
    ]


def test_folded_norms_answer_alike_and_are_gone() -> None:
    plain, x = network(), torch.randn(5, 1, 8, 8)
    folded = norms_folded(plain)
    assert torch.allclose(folded(x), plain(x), atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_channels_are_removed_until_the_share_is_met(share: float) -> None:
    plain, x = network(NetworkShape(1, 3, (16, 32), 1, 1)), torch.randn(2, 1, 8, 8)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    cut = channels_removed(plain, ChannelPruning(multiply_adds=share), x)
    assert 0.6 * share < multiply_adds(cut, x) / multiply_adds(plain, x) <= share
    assert cut(x).shape == (2, 3)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


def test_the_weakest_filters_go_first() -> None:
    plain = network(NetworkShape(1, 3, (8,), 1, 1))
    block: Any = plain.get_submodule("blocks.0")
    with (
        torch.no_grad()
    ):  # all that goes with these channels: a filter, its normalization, what reads it
        block.first.convolution.weight[2:6] *= 1e-3
        block.first.norm.weight[2:6] *= 1e-3
        block.second.convolution.weight[:, 2:6] *= 1e-3
    cut: Any = channels_removed(plain, ChannelPruning(0.6), torch.randn(2, 1, 8, 8)).get_submodule(
        "blocks.0.first"
    )
    norms = cut.convolution.weight.flatten(1).norm(dim=1)
    assert (norms > 0.1).sum() == 4


def test_multiply_adds_are_counted_by_the_formula() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(4 * 16, 5)
    )
    assert multiply_adds(layers, torch.zeros(2, 3, 8, 8)) == 4 * 3 * 9 * 16 + 5 * 64


def test_the_scaling_is_that_of_the_training_pixels() -> None:
    images = pixels(10, channels=3)
    found = PixelScaling.of([images[:3], images[3:]])
    assert np.allclose(found.mean, images.mean((0, 1, 2)))
    assert np.allclose(found.deviation, images.std((0, 1, 2)))
    assert PixelScaling.of([np.zeros((2, 4, 4, 1), np.uint8)]).deviation.tolist() == [1.0]


@pytest.mark.parametrize("pruned", [False, True])
def test_a_state_comes_back_and_its_graph_answers_alike(pruned: bool, tmp_path: Path) -> None:
    module = network()
    if pruned:
        module = channels_removed(module, ChannelPruning(0.5), torch.zeros(1, 1, 8, 8))
    state.save(FittedImages.of(module, TINY, ImageSize(8, 8), scaling()), tmp_path)
    found = state.load(tmp_path, FittedImages)
    images = pixels(7)
    with torch.no_grad():
        scaled = (torch.from_numpy(images.transpose(0, 3, 1, 2)).float() - 100) / 50
        wanted = module(scaled).double().softmax(1).numpy()
    assert np.allclose(found.predict(images), wanted, atol=1e-6)
    graph = Graph()
    answer = found.export(graph, graph.input_of("images", TensorProto.UINT8, ["rows", 8, 8, 1]))
    graph.output("probabilities", answer, TensorProto.DOUBLE, ["rows", 3])
    checked = CheckedModel.of(packed(graph.model()), "model.onnx")
    assert np.allclose(
        checked.session("model.onnx").run(None, {"images": images})[0], wanted, atol=1e-6
    )
    assert checked.session("model.onnx").run(None, {"images": images[:1]})[0].shape == (1, 3)


def drawn(folder: Path, count: int) -> None:
    """PNG files of bars that lie or stand, some 12 and some 20 pixels a side."""
    random = np.random.default_rng(0)
    for number in range(count):
        side = int(random.choice([12, 20]))
        image, at = (
            np.zeros((side, side), dtype=np.uint8),
            int(random.integers(side // 4, side // 2)),
        )
        image[at : at + side // 4] = random.integers(150, 256)
        lying = number % 2 == 0
        path = folder / ("lying" if lying else "standing") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image if lying else np.ascontiguousarray(image.T)).save(path)


def test_from_a_folder_of_files_to_answers_about_raw_files(tmp_path: Path) -> None:
    drawn(tmp_path / "bars", 80)
    files = labeled_files(tmp_path / "bars", FileKind("image", ENDINGS))
    names = [str(tmp_path / "bars" / path) for path in files.paths]
    shape, _ = survey(names)
    cache, _ = fill(names, ImageDecoder(shape), tmp_path / "cache")
    y = np.unique(files.labels, return_inverse=True)[1].astype(np.int64)
    rows, unseen = np.arange(80)[:60:1], np.arange(60, 80)
    order = np.random.default_rng(1).permutation(80)
    rows, unseen = order[:60], order[60:]
    scaled = PixelScaling.of(cache.take(rows).batches(16))
    shaped = NetworkShape(shape.channels, 2, (4, 8), 1, 2)
    torch.manual_seed(0)
    module = ImageResidualNetwork(shaped)
    train_images(ScaledImages(module, scaled), cache.images(rows), y[rows], Augment(), epochs=12)
    fitted = FittedImages.of(module, shaped, ImageSize(shape.height, shape.width), scaled)
    graph = Graph()
    images = graph.input_of(
        "images", TensorProto.UINT8, ["rows", shape.height, shape.width, shape.channels]
    )
    graph.output("probabilities", fitted.export(graph, images), TensorProto.DOUBLE, ["rows", 2])
    session = onnxruntime.InferenceSession(packed(graph.model()))
    resize = Resizer(shape)
    raw = [resize(read(tmp_path / "bars" / files.paths[row], shape.channels)) for row in unseen]
    answers = session.run(None, {"images": np.stack(raw)})[0]
    assert np.array_equal(np.stack(raw), cache.images(unseen))
    assert np.allclose(answers, fitted.predict(cache.images(unseen)), atol=1e-6)
    assert (answers.argmax(1) == y[unseen]).mean() >= 0.9


def test_the_resizing_graph_passes_the_strict_reader() -> None:
    shape = ImageShape(8, 6, 3)
    checked = CheckedModel.of(resize_graph(shape), "resize.onnx")
    image = pixels(1, 20, 3)[0][:, 2:17]
    assert np.array_equal(
        checked.session("resize.onnx").run(None, {"image": image})[0], Resizer(shape)(image)
    )


def test_an_image_of_any_size_is_for_resize_alone() -> None:
    graph = Graph()
    image = graph.input_of("image", TensorProto.UINT8, ["h", "w", 3])
    graph.output("y", graph.cast(image, TensorProto.FLOAT), TensorProto.FLOAT, ["h", "w", 3])
    with pytest.raises(
        BundleError, match="Cast of an image of any size, which is for Resize alone"
    ):
        CheckedModel.of(packed(graph.model()), "a.onnx")


@pytest.mark.parametrize(
    ("filters", "options"),
    [
        ((1, 3, 3, 3), {}),
        ((4, 2, 3, 3), {"group": 2}),
        ((3, 1, 3, 3), {"group": 2}),
        ((4, 2, 3, 3), {"group": 0}),
        ((4, 2, 3, 3), {"group": -1}),
        ((4, 2, 3, 3), {"strides": [0, 1]}),
        ((4, 2, 3, 3), {"pads": [0, 0, -1, 0]}),
        (None, {"kernel_shape": [2, 2], "strides": [1, 0]}),
        (None, {"kernel_shape": [2, 2], "pads": [0, 0]}),
        (None, {"kernel_shape": [2]}),
        (None, {"kernel_shape": [0, 2]}),
        (None, {"kernel_shape": [9, 9]}),
    ],
)
def test_a_kernel_that_does_not_fit_is_refused(
    filters: tuple[int, ...] | None, options: dict[str, Any]
) -> None:
    """Of a convolution, and of a largest value."""
    graph = Graph()
    x = graph.input_of("x", TensorProto.FLOAT, ["rows", 2, 4, 4])
    weights = () if filters is None else (graph.constant(np.zeros(filters), np.float32),)
    found = graph.op("MaxPool" if filters is None else "Conv", x, *weights, **options)
    graph.output("y", graph.op("Relu", found), TensorProto.FLOAT, ["rows", 1, 2, 2])
    content = packed(graph.model())
    with pytest.raises(BundleError, match="of values whose shapes do not fit"):
        CheckedModel.of(content, "a.onnx")


@pytest.mark.parametrize("side", [7, 8])
def test_the_places_of_windows_are_counted_as_onnxruntime_counts_them(side: int) -> None:
    def content(*dims: int | str) -> bytes:
        graph = Graph()
        x = graph.input_of("x", TensorProto.FLOAT, ["rows", 4, side, side])
        weights = graph.constant(np.ones((6, 2, 3, 2)), np.float32)
        wide = graph.op(
            "Conv", x, weights, group=2, pads=[1, 0, 0, 1], strides=[2, 1], dilations=[1, 2]
        )
        found = graph.op("MaxPool", wide, kernel_shape=[3, 2], pads=[1, 1, 1, 0], strides=[2, 3])
        graph.output("y", found, TensorProto.FLOAT, ["rows", *dims])
        return packed(graph.model())

    x = np.zeros((2, 4, side, side), np.float32)
    shape = onnxruntime.InferenceSession(content(6, "h", "w")).run(None, {"x": x})[0].shape
    assert CheckedModel.of(content(*shape[1:]), "a.onnx")
    with pytest.raises(BundleError, match="the output 'y' of shape"):
        CheckedModel.of(content(6, shape[2] + 1, shape[3]), "a.onnx")
