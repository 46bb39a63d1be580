"""Slopes that a graph gives of itself: those of torch's autograd for every operator that networks are
written with, those of differences for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from sixfold.bundle.explain.backward import SlopedFeatures
from sixfold.bundle.explain.features import AnswersFeatures, NamedFeatures
from sixfold.bundle.explain.slope_rules import RULES, NoRuleError
from sixfold.bundle.graph import CheckedModel
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_trace import ROWS, traced
from sixfold.parts.packed import packed

WIDTH = 24
NAMED = NamedFeatures("x", TensorProto.DOUBLE, WIDTH)
Tensor = torch.Tensor


def learned(x: Tensor, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """The same for the same arguments, in the type of `x`."""
    return made(x.dtype, shape, scale, shift)


@cache
def made(dtype: torch.dtype, shape: tuple[int, ...], scale: float, shift: float) -> Tensor:
    drawn = np.random.default_rng(sum(shape)).normal(size=shape) * shape[-1] ** -0.5
    return torch.from_numpy(scale * drawn + shift).to(dtype)


def perceptron(x: Tensor) -> Tensor:
    h = torch.relu(functional.linear(x, learned(x, 16, WIDTH), learned(x, 16)))
    h = torch.tanh(functional.linear(h, learned(x, 8, 16), learned(x, 8)))
    return functional.linear(torch.sigmoid(h), learned(x, 3, 8), learned(x, 3)).softmax(-1)


def gated(x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    h = functional.silu(one) * functional.gelu(other, approximate="tanh")
    h = torch.maximum(h, one * 0.1) - h.clamp_min(0.2) / (other * other + 1.5)
    return torch.cat([h.amax(1, keepdim=True), 2.0 - h.sum(1, keepdim=True)], 1)


def waves(x: Tensor) -> Tensor:
    numbers = x.index_select(1, torch.tensor([3, 0, 7, 3]))
    angle = numbers.unsqueeze(-1) * learned(x, 4, 5)
    wave = torch.cat([angle.cos(), angle.sin()], -1)
    return functional.linear(wave, learned(x, 6, 10), learned(x, 6)).relu().flatten(1)


def members(x: Tensor) -> Tensor:
    h = x.unsqueeze(0) * learned(x, 3, 1, WIDTH)
    h = torch.matmul(h, learned(x, 3, WIDTH, 4)) + learned(x, 3, 1, 4)
    return h.softmax(-1).mean(0)


def attention(x: Tensor) -> Tensor:
    tokens = x.reshape(-1, 4, 6)
    norm = functional.layer_norm(
        tokens, (6,), weight=learned(x, 6, shift=1.0), bias=learned(x, 6), eps=1e-5
    )
    q, k, v = (
        functional.linear(norm, learned(x, 6, 6, scale=scale), learned(x, 6)) for scale in (1, 2, 3)
    )
    weights = torch.matmul(q, k.transpose(1, 2)).softmax(-1)
    mixed = (tokens + torch.matmul(weights, v)).permute(0, 2, 1)
    some, others = mixed[:, :, 1:2].reshape(-1, 6), mixed[:, :, 3:].reshape(-1, 6)
    return torch.addcmul(mixed.mean(2), some, others)


def exact_gelu(x: Tensor) -> Tensor:
    return functional.linear(functional.gelu(x), learned(x, 3, WIDTH), learned(x, 3)).double()


def image(x: Tensor) -> Tensor:
    """Strides, pads, groups, windows that overlap."""
    h = x.reshape(-1, 1, 4, 6)
    h = functional.conv2d(h, learned(x, 4, 1, 3, 3), learned(x, 4), (1, 2), (1, 1), (1, 1), 1)
    h = functional.max_pool2d(torch.relu(h), 2, stride=1, padding=1)
    h = functional.conv2d(h, learned(x, 8, 2, 2, 2), None, (2, 2), (0, 1), (1, 2), 2)
    h = functional.adaptive_avg_pool2d(torch.tanh(h), (1, 1)).flatten(1)
    return functional.linear(h, learned(x, 3, 8), learned(x, 3)).double()


def sound(x: Tensor) -> Tensor:
    h = functional.pad(x, (2, 1)).unsqueeze(1)
    h = functional.conv1d(h, learned(x, 5, 1, 4), learned(x, 5), (3,), (1,), (2,), 1)
    return torch.matmul(learned(x, 2, 5), h * h).amax(2).double()


SINGLE = {exact_gelu, image, sound}  # onnxruntime has these in float32 alone


def model(build: Callable[[Graph, str], str], outputs: int) -> CheckedModel:
    graph = Graph()
    value = build(graph, graph.input("x", TensorProto.DOUBLE, WIDTH))
    graph.output("value", value, TensorProto.DOUBLE, ["rows", outputs])
    return CheckedModel.of(packed(graph.model()), "here")


def of_torch(function: Callable[[Tensor], Tensor]) -> CheckedModel:
    kind = TensorProto.FLOAT if function in SINGLE else TensorProto.DOUBLE
    example = torch.zeros(ROWS, WIDTH, dtype=torch.float32 if function in SINGLE else torch.float64)

    def build(graph: Graph, x: str) -> str:
        return traced(function, graph, graph.cast(x, kind), example)

    return model(build, function(example).shape[1])


FUNCTIONS = [perceptron, gated, waves, members, attention, exact_gelu, image, sound]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__name__)
def test_slopes_are_those_of_autograd(function: Callable[[Tensor], Tensor]) -> None:
    sloped = SlopedFeatures.of(of_torch(function), NAMED, "value", 1000, "here")
    x = np.random.default_rng(1).normal(size=(5, WIDTH))
    found = sloped(x)
    points = torch.from_numpy(x).requires_grad_()
    answers = function(points)
    tolerance = 2e-4 if function in SINGLE else 1e-9
    np.testing.assert_allclose(found.answers, answers.detach(), atol=tolerance)
    for output in range(answers.shape[1]):
        (expected,) = torch.autograd.grad(answers[:, output].sum(), points, retain_graph=True)
        scale = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(
            found.slopes[:, :, output], expected, atol=tolerance * scale, err_msg=str(output)
        )


def constant(graph: Graph, seed: int, *shape: int) -> str:
    return graph.constant(np.random.default_rng(seed).normal(size=shape))


def number(graph: Graph, value: float) -> str:
    return graph.constant(value, np.float64)


def kernel_machine(g: Graph, x: str) -> str:
    vectors, whole = constant(g, 1, 7, WIDTH), g.constant([1], np.int64)
    dot = g.op("Gemm", x, vectors, constant(g, 2, 7), alpha=-2.0, transB=1)
    squares = g.op("ReduceSumSquare", x, whole, keepdims=1)
    distance = g.op("Max", g.op("Add", dot, squares), number(g, 0.0))
    return g.op("Exp", g.op("Mul", g.op("Neg", distance), number(g, 0.01)))


def calibrated(g: Graph, x: str) -> str:
    """As calibrators do: logarithms, shares, one minus the other, pieces of lines."""
    p = g.op("Softmax", g.op("MatMul", x, constant(g, 3, WIDTH, 3)), axis=1)
    logs = g.op("Log", g.op("Add", p, number(g, 1e-9)))
    some = g.op("Greater", logs, number(g, -1.0))
    bent = g.op("Where", some, logs, g.op("Mul", logs, logs))
    low = g.op("Min", bent, number(g, 0.5))
    total = g.op("ReduceSum", low, g.constant([1], np.int64), keepdims=1)
    return g.op("Div", low, g.op("Add", total, number(g, 9.0)))


def parts(g: Graph, x: str) -> str:
    """Powers, bounds, extremes, a column, and pieces that are put together again."""
    first, second, third = g.ops("Split", x, outputs=3, axis=1, num_outputs=3)
    power = g.op("Pow", g.op("Clip", first, number(g, 0.1), number(g, 2.0)), number(g, 3.0))
    least = g.op("ReduceMin", second, g.constant([1], np.int64), keepdims=0)
    column = g.op("Gather", third, g.constant(2, np.int64), axis=1)
    pair = g.op(
        "Unsqueeze", g.op("Sub", column, g.op("Identity", least)), g.constant([1], np.int64)
    )
    cut = g.op("Slice", power, *(g.constant([each], np.int64) for each in (1, 3, 1)))
    turned = g.op(
        "Transpose", g.op("Reshape", cut, g.constant([-1, 2, 1], np.int64)), perm=[0, 2, 1]
    )
    back = g.op("Reshape", turned, g.constant([0, 2], np.int64))
    return g.op("Concat", back, pair, g.op("Mul", pair, pair), axis=1)


BY_HAND: list[tuple[Callable[[Graph, str], str], int]] = [
    (kernel_machine, 7),
    (calibrated, 3),
    (parts, 4),
]


@pytest.mark.parametrize(("build", "outputs"), BY_HAND)
def test_slopes_are_those_of_differences(build: Callable[[Graph, str], str], outputs: int) -> None:
    checked = model(build, outputs)
    sloped = SlopedFeatures.of(checked, NAMED, "value", 2, "here")
    answer = AnswersFeatures.of(checked, NAMED, "value", 1000, "here")
    x, step = np.random.default_rng(2).normal(size=(5, WIDTH)), 1e-5
    ahead, back = (
        answer((x[:, None] + side * step * np.eye(WIDTH)).reshape(-1, WIDTH)) for side in (1, -1)
    )
    expected = ((ahead - back) / (2 * step)).reshape(5, WIDTH, outputs)
    found = sloped(x)
    np.testing.assert_allclose(found.slopes, expected, atol=1e-6 * max(1.0, np.abs(expected).max()))
    np.testing.assert_allclose(found.answers, answer(x), atol=1e-12)
    one = sloped.of_output(1)(x).slopes
    np.testing.assert_array_equal(one[:, :, 0], found.slopes[:, :, 1])


def test_every_rule_is_tried() -> None:
    models: list[Any] = [of_torch(each) for each in FUNCTIONS]
    models += [model(build, outputs) for build, outputs in BY_HAND]
    tried = {node.operator for each in models for node in each.graph.nodes}
    assert set(RULES) <= tried


def test_probabilities_are_asked_for_all_but_one() -> None:
    graph = Graph()
    scores = graph.product(graph.input("x", TensorProto.DOUBLE, WIDTH), np.eye(WIDTH)[:, :3])
    graph.output(
        "probability", graph.op("Softmax", scores, axis=1), TensorProto.DOUBLE, ["rows", 3]
    )
    checked = CheckedModel.of(packed(graph.model()), "here")
    sloped = SlopedFeatures.of(checked, NAMED, "probability", 1000, "here")
    assert sloped.passes == 2
    x = np.random.default_rng(3).normal(size=(4, WIDTH))
    p = np.exp(x[:, :3]) / np.exp(x[:, :3]).sum(axis=1, keepdims=True)
    expected = np.zeros((4, WIDTH, 3))
    expected[:, :3] = p[:, :, None] * (np.eye(3) - p[:, None])
    np.testing.assert_allclose(sloped(x).slopes, expected, atol=1e-12)


def floored(g: Graph, x: str) -> str:
    return g.op("Floor", x)


def sorted_(g: Graph, x: str) -> str:
    return g.ops("TopK", x, g.constant([2], np.int64), outputs=2, axis=1, largest=0, sorted=1)[0]


def rounded(g: Graph, x: str) -> str:
    return g.cast(g.cast(x, TensorProto.UINT8), TensorProto.DOUBLE)


def unmoved(g: Graph, x: str) -> str:
    return g.cast(g.op("Greater", x, number(g, 0.0)), TensorProto.DOUBLE)


@pytest.mark.parametrize(
    ("build", "outputs", "named"),
    [
        (floored, WIDTH, "Floor, whose answers are steps"),
        (sorted_, 2, "TopK"),
        (rounded, WIDTH, "Cast, whose answers are steps"),
        (unmoved, WIDTH, "answers that do not follow the features"),
    ],
)
def test_what_has_no_slopes_is_named(
    build: Callable[[Graph, str], str], outputs: int, named: str
) -> None:
    with pytest.raises(NoRuleError, match=named):
        SlopedFeatures.of(model(build, outputs), NAMED, "value", 1000, "here")
