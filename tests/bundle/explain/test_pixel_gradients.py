"""Pixels by integrated gradients, of a network of images that is written by hand and of its twin in torch."""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import bright_images
import loud_recordings

from sixfold.bundle.explain.explainer import ExplainEffort, Explainer
from sixfold.bundle.explain.pixels import not_pixels
from sixfold.bundle.explain.told import explanations
from sixfold.bundle.load import load
from sixfold.bundle.manifest import MODEL
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.core.errors import RowError
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.prepare.image_block import image_input
from sixfold.recipe.signature import Input, Output, Signature
from sixfold.serve.app import create
from sixfold.serve.pages import try_page

HEIGHT, WIDTH = 6, 10
CLASSES = ("cat", "dog", "eel")
SIGNATURE = Signature(
    task="classification",
    target=("kind",),
    classes=CLASSES,
    inputs=(Input(name="photo", type="image"),),
    outputs=(Output(name="label", columns=("kind",)), Output(name="probability", columns=CLASSES)),
    missing=("", "NA"),
)
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32) / 8
HEAD = 3 * RNG.normal(size=(5, 3)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def explainer(whole: bool = False) -> Explainer:
    """`whole`: of pixels that are rounded to whole numbers before the network."""
    g = Graph()
    raw = RawInputs(g, [], set())
    pixels = raw.encoded("image", image_input("photo", ImageShape(HEIGHT, WIDTH, 3)))
    if whole:
        pixels = g.cast(pixels, TensorProto.UINT8)
    shape = g.constant([-1, HEIGHT, WIDTH, 3], np.int64)
    first = g.op("Transpose", g.op("Reshape", pixels, shape), perm=[0, 3, 1, 2])
    scaled = g.op("Mul", g.cast(first, TensorProto.FLOAT), g.constant(1 / 64, np.float32))
    h = g.op(
        "Conv", scaled, g.constant(KERNEL), kernel_shape=[3, 3], strides=[1, 2], pads=[1, 1, 1, 1]
    )
    h = g.op("MaxPool", g.op("Relu", h), kernel_shape=[2, 2], strides=[2, 2])
    h = g.op("ReduceMean", h, g.constant([2, 3], np.int64), keepdims=0)
    scores = g.op("MatMul", h, g.constant(HEAD))
    p = g.op("Softmax", g.cast(scores, TensorProto.DOUBLE), axis=1)
    names = g.constant(np.array(CLASSES, dtype=object))
    label = g.op("Gather", names, g.op("ArgMax", p, axis=1, keepdims=1))
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", p, TensorProto.DOUBLE, ["rows", 3])
    content = packed(g.model())
    return Explainer(onnx_predictor(content, SIGNATURE), {MODEL: content}, "here")


def spotted() -> Explainer:
    """Of a model that looks at six pixels."""
    g = Graph()
    pixels = RawInputs(g, [], set()).encoded(
        "image", image_input("photo", ImageShape(HEIGHT, WIDTH, 3))
    )
    weights = np.zeros((HEIGHT, WIDTH, 3, 1))
    weights[1:3, 4:7] = 1 / (18 * 64)
    score = g.op("MatMul", pixels, g.constant(weights.reshape(-1, 1)))
    p = g.op("Sigmoid", g.op("Sub", score, g.constant(np.array([[2.0]]))))
    three = g.concat(
        [
            p,
            g.op("Mul", p, g.constant(np.array([[0.0]]))),
            g.op("Sub", g.constant(np.ones((1, 1))), p),
        ]
    )
    names = g.constant(np.array(CLASSES, dtype=object))
    label = g.op("Gather", names, g.op("ArgMax", three, axis=1, keepdims=1))
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", three, TensorProto.DOUBLE, ["rows", 3])
    content = packed(g.model())
    return Explainer(onnx_predictor(content, SIGNATURE), {MODEL: content}, "here")


def test_pixels_over_http(tmp_path: Path) -> None:
    """In a form, and as the library tells them."""
    one = spotted()
    bundle = replace(
        load(bright_images.make(tmp_path / "bundle")),
        signature=SIGNATURE,
        predictor=one.predictor,
        explainer=one,
    )
    app = create(bundle, bundle.recipe.serve)

    async def ask() -> httpx.Response:
        asked = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        async with asked as client:
            form = {
                "data": {"explain": "gradients"},
                "files": {"photo": ("a.png", photo()["photo"])},
            }
            return await client.post("/predict", **form)  # type: ignore[arg-type]

    (found,) = asyncio.run(ask()).json()["explanations"]
    (told,) = explanations(one, [photo()], "gradients").records
    assert found["pieces"] == told["pieces"]
    areas = told["faithfulness"]
    assert areas["deletion"] > areas["random_deletion"] + 0.1
    assert areas["insertion"] < areas["random_insertion"] - 0.1
    page = try_page(bundle, bundle.recipe.serve)
    assert '<option value="gradients">gradients of pixels</option>' in page


def twin(pixels: torch.Tensor) -> torch.Tensor:
    """[n, height, width, channels] → [n, classes]."""
    first = (pixels / 64).permute(0, 3, 1, 2)
    h = torch.nn.functional.conv2d(first, torch.from_numpy(KERNEL), None, (1, 2), 1)
    h = torch.nn.functional.max_pool2d(torch.relu(h), 2)
    return (h.mean((2, 3)) @ torch.from_numpy(HEAD)).softmax(1)


def photo() -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG")
    return {"photo": stream.getvalue()}


def test_pixels_are_those_of_torch_with_many_points() -> None:
    found = explanations(explainer(), [photo(), photo()], "gradients", output="dog")
    record = found.records[0]
    x = torch.from_numpy(PIXELS.astype(np.float32))
    start = x.mean((0, 1)).expand_as(x)
    when = (torch.arange(2000) + 0.5)[:, None, None, None] / 2000
    points = (start + when * (x - start)).requires_grad_()
    (slopes,) = torch.autograd.grad(twin(points)[:, 1].sum(), points)
    expected = (slopes.mean(0) * (x - start)).sum(2).numpy()
    told = record["pieces"]["photo"]
    assert (told["height"], told["width"]) == (HEIGHT, WIDTH)
    assert record["error"] <= 0.05 * np.abs(expected).max() + 1e-4
    np.testing.assert_allclose(told["changes"], expected, atol=record["error"] + 1e-4)
    with torch.no_grad():
        both = twin(torch.stack([start, x]))[:, 1].tolist()
    assert [record["base"], record["prediction"]] == pytest.approx(both, abs=1e-5)
    assert record["contributions"]["photo"] == pytest.approx(both[1] - both[0], abs=1e-5)
    assert record["output"] == "dog"
    assert "pixels" in record["method"]
    assert found.asked >= 30
    predicted = explanations(explainer(), [photo()], "gradients").records[0]["output"]
    assert predicted == found.predictions.outputs["label"][0]


def test_what_cannot_be_told_of_pixels_says_why(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="Cast, whose answers are steps"):
        explanations(explainer(whole=True), [photo()], "gradients")
    with pytest.raises(RowError, match="at most 1e-09 s of work"):
        explanations(explainer(), [photo()], "gradients", ExplainEffort(1e-9))
    with pytest.raises(RowError, match="at least one row"):
        explanations(explainer(), [], "gradients")
    bright = load(bright_images.make(tmp_path / "bright")).explainer
    assert not_pixels(bright) == "a model that takes more, or other, than an image"
    loud = load(loud_recordings.make(tmp_path / "loud")).explainer
    assert not_pixels(loud) == "a model that takes more, or other, than an image"
    with pytest.raises(RowError, match="a network of table columns"):
        explanations(loud, [{"sound": loud_recordings.sound(0.5)}], "gradients")
