"""A traced forward pass answers as torch does, for any number of rows; what has no nodes is
refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional
from torch.overrides import resolve_name

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_functions import (
    COMPUTING,
    FREE,
    IN_PLACE,
    MOVING,
    SIZES,
    pointwise_convolution,
)
from sixfold.parts.node_trace import ROWS, traced

FEATURES = 6
Forward = Callable[[torch.Tensor], torch.Tensor]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def like(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """Numbers that single precision holds, in the type of `x`."""
    return draw(*shape).to(x.dtype)


# Every function that has nodes, with what it is here asked of [rows, 6]; the result starts with the
# rows, or ends with [rows, …].
FUNCTIONS: dict[Any, Forward] = {
    torch.relu: torch.relu,
    torch.Tensor.relu: lambda x: x.relu(),
    torch.tanh: torch.tanh,
    torch.sigmoid: torch.sigmoid,
    torch.Tensor.cos: lambda x: x.cos(),
    torch.Tensor.sin: lambda x: x.sin(),
    torch.Tensor.add: lambda x: 2.5 + x + like(x, FEATURES),
    torch.Tensor.sub: lambda x: x - 2.5 - like(x, FEATURES),
    torch.Tensor.__rsub__: lambda x: 2.5 - x,
    torch.Tensor.mul: lambda x: 2.5 * x * like(x, FEATURES),
    torch.Tensor.div: lambda x: x / 2.5 / like(x, FEATURES),
    torch.Tensor.pow: lambda x: (x * x + 1.0).pow(-0.5),
    torch.maximum: lambda x: torch.maximum(x, like(x, FEATURES)),
    torch.Tensor.clamp_min: lambda x: x.clamp_min(0.5),
    torch.Tensor.ne: lambda x: (x.relu() != 0).to(x.dtype),
    torch.Tensor.eq: lambda x: x.relu().eq(0).to(x.dtype),
    torch.where: lambda x: torch.where(x.relu().ne(0), x, like(x, FEATURES)),
    torch.log: lambda x: torch.log(x * x + 1.0),
    torch.Tensor.argmax: lambda x: grid(x).argmax(2) + x.argmax(1, keepdim=True)[:, :, None],
    torch.Tensor.matmul: lambda x: x @ like(x, FEATURES, 3),
    torch.matmul: lambda x: torch.matmul(x, like(x, FEATURES, 3)),
    functional.relu: functional.relu,
    functional.softmax: lambda x: functional.softmax(x, dim=-1, dtype=x.dtype),
    torch.addcmul: lambda x: torch.addcmul(like(x, FEATURES), x, like(x, FEATURES)),
    torch.Tensor.softmax: lambda x: x.softmax(-1),
    torch.Tensor.mean: lambda x: (x.unsqueeze(0) * like(x, 4, 1, 1)).mean(0),
    torch.Tensor.sum: lambda x: (x / x.sum(dim=-1, keepdim=True)).sum(1),
    torch.Tensor.amax: lambda x: grid(x).amax(dim=(1, -1)),
    functional.linear: lambda x: functional.linear(x, like(x, 3, FEATURES), like(x, 3)),
    functional.layer_norm: lambda x: functional.layer_norm(
        x, (FEATURES,), like(x, FEATURES), like(x, 1, FEATURES)[0]
    ),
    functional.group_norm: lambda x: functional.group_norm(
        x.reshape(-1, 2, 3), 2, like(x, 2), like(x, 1, 2)[0], eps=1e-3
    ),
    functional.gelu: lambda x: functional.gelu(x, approximate="tanh"),
    functional.silu: functional.silu,
    functional.embedding: lambda x: functional.embedding((x * 0).long() + 1, like(x, 3, 2)).flatten(
        -2
    ),
    torch.Tensor.to: lambda x: x.to(torch.float64),
    torch.Tensor.double: lambda x: x.double(),
    torch.Tensor.long: lambda x: (x * 3).long(),
    torch.Tensor.unsqueeze: lambda x: x.unsqueeze(-1) + x.unsqueeze(1),
    torch.Tensor.flatten: lambda x: (x.unsqueeze(-1) * like(x, 1, 3)).flatten(-2),
    torch.Tensor.index_select: lambda x: x.index_select(-1, torch.tensor([4, 0])),
    torch.cat: lambda x: torch.cat(
        [like(x, 1, 2).expand(len_of(x), -1), torch.cat([x, x.relu()], -1)], -1
    ),
    functional.conv1d: lambda x: functional.conv1d(
        x.reshape(-1, 2, 3), like(x, 4, 2, 2), like(x, 4), (1,), (1,), (1,), 1
    ),
    functional.conv2d: lambda x: functional.conv2d(
        functional.conv2d(grid(x), like(x, 4, 2, 3, 2), None, (2, 1), (2, 1), (1, 2), 1),
        like(x, 4, 2, 1, 1),
        like(x, 4),
        (1, 1),
        (0, 0),
        (1, 1),
        2,
    ),
    pointwise_convolution: lambda x: pointwise_convolution(
        grid(x), like(x, 4, 2, 1, 1), like(x, 4), 2
    ),
    functional.max_pool2d: lambda x: functional.max_pool2d(grid(x), 3, 2, 1),
    functional.adaptive_avg_pool2d: lambda x: functional.adaptive_avg_pool2d(grid(x), (1, 1)),
    functional.pad: lambda x: functional.pad(grid(x), (1, 0, 2, 3)),
    functional.dropout: lambda x: functional.dropout(x, 0.5, training=False).relu(),
    torch.Tensor.reshape: lambda x: x.reshape(-1, 3, 2) + x.reshape((-1, x.shape[1] // 2, 2)),
    torch.Tensor.view: lambda x: x.view(*x.shape[:-1], 3, 2),
    torch.Tensor.add_: lambda x: added_in_place(x.relu(), x),
    torch.Tensor.permute: lambda x: grid(x).permute(0, 2, -1, 1) + grid(x).permute((0, 2, 3, 1)),
    torch.Tensor.transpose: lambda x: grid(x).transpose(1, -1),
    torch.Tensor.contiguous: lambda x: grid(x).transpose(1, 2).contiguous(),
    torch.Tensor.chunk: lambda x: torch.cat(x.chunk(3, dim=1)[::2], 1),
    torch.Tensor.__getitem__: lambda x: x[:, None, 1:-1:2, None] + x[:, 3:, None][:, :, :, None],
}


SINGLE = {
    functional.conv1d,
    functional.conv2d,
    pointwise_convolution,
}  # onnxruntime's Conv has no double


def len_of(x: torch.Tensor) -> int:
    """Rows, as transformers asks for them."""
    return x.shape[0]


def viewed_and_changed(x: torch.Tensor) -> torch.Tensor:
    """What a view of it held would be another number afterwards."""
    y = x.relu()
    view = y.reshape(-1, 3, 2)
    y += 1
    return view


def added_in_place(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    x += other
    return x * 2 + other


def grid(x: torch.Tensor) -> torch.Tensor:
    """[rows, 6] → [rows, 2, 6, 6]."""
    return x.unsqueeze(1).unsqueeze(1) * like(x, 2, FEATURES, FEATURES)


def model(forward: Forward, dtype: Any, *more: str) -> onnx.ModelProto:
    kind = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    graph = Graph()
    name = traced(
        forward,
        graph,
        graph.input("x", kind, FEATURES),
        torch.from_numpy(np.zeros((ROWS, FEATURES), dtype)),
    )
    graph.output(
        "y", graph.cast(name, TensorProto.DOUBLE), TensorProto.DOUBLE, ["rows", "outputs", *more]
    )
    return graph.model()


@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (each, kind)
        for each in FUNCTIONS
        for kind in (np.float32, np.float64)
        if kind == np.float32 or each not in SINGLE
    ],
    ids=lambda one: resolve_name(one) or one.__name__,
)
def test_a_function_answers_as_torchs(function: Any, dtype: Any) -> None:
    """For more rows than it was traced with, for one, and for none."""
    forward = FUNCTIONS[function]
    more = ["more"] * (forward(torch.zeros(ROWS, FEATURES)).ndim - 2)
    session = onnxruntime.InferenceSession(model(forward, dtype, *more).SerializeToString())
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for rows in (1, 7, 0):
        x = np.random.default_rng(rows).normal(size=(rows, FEATURES)).astype(dtype)
        wanted = forward(torch.from_numpy(x)).double().numpy()
        np.testing.assert_allclose(
            session.run(None, {"x": x})[0], wanted, rtol=tolerance, atol=tolerance
        )


def test_every_function_that_has_nodes_was_looked_at() -> None:
    assert set(FUNCTIONS) == COMPUTING.keys() | MOVING.keys() | IN_PLACE.keys()
    assert not (FREE | SIZES) & FUNCTIONS.keys()


@pytest.mark.parametrize(
    ("forward", "name"),
    [
        (lambda x: x * len(x), "torch.Tensor.__len__"),
        (lambda x: x.relu() if x.mean(0).mean(0) else x, "torch.Tensor.__bool__"),
        (lambda x: x * float(x.mean(0).mean(0)), "torch.Tensor.__float__"),
        (lambda x: torch.from_numpy(x.numpy() + 1), "torch.Tensor.numpy"),
        (lambda x: x.mul_(1.0), "torch.Tensor.mul_"),
        (lambda x: x.exp(), "torch.Tensor.exp"),
        (lambda x: torch.stack([x, x]), "torch.stack"),
    ],
)
def test_what_has_no_nodes_is_refused(forward: Forward, name: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^{name} has no nodes: sixfold\.parts\.node_functions says which"
    ):
        model(forward, np.float32)


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (lambda x: functional.linear(x, x.relu(), draw(1)), "where only a constant can"),
        (
            lambda x: functional.group_norm(x.reshape(-1, 2, 3), 1, draw(2), draw(2)),
            "a norm over groups has nodes where each channel is a group",
        ),
        (lambda x: x.flatten(0), "the number of rows cannot"),
        (
            lambda x: functional.gelu(x.double()),
            "gelu has nodes in single precision, or in its form with tanh",
        ),
        (
            lambda x: functional.relu(x, inplace=True),
            r"functional\.relu has nodes where it changes nothing",
        ),
        (lambda x: functional.softmax(x, -1, dtype=torch.float64), "softmax has nodes in the type"),
        (
            lambda x: functional.max_pool2d(grid(x), 2, ceil_mode=True),
            "a largest value has nodes by size",
        ),
        (
            lambda x: functional.adaptive_avg_pool2d(grid(x), 2),
            "an adaptive mean has nodes over all places",
        ),
        (lambda x: torch.cat([x, draw(x.shape[0], 2)], 1), "constants that differ from row to row"),
        (
            lambda x: torch.cat([x, draw(1, 2).expand(x.shape[0], -1), x], 1),
            "constants that differ from row to row",
        ),
        (lambda x: viewed_and_changed(x), "a tensor that others look at is changed in its place"),
        (lambda x: x * x.shape[0], "another number of rows gives other nodes"),
        (lambda x: x.reshape(3, x.shape[0], 2), "another number of rows gives other nodes"),
        (lambda x: x[: x.size(0)], "another number of rows gives other nodes"),
        (lambda x: x[:, 0], "an index has nodes where it consists of slices and None"),
        (lambda x: x[torch.tensor([0])], "an index has nodes where it consists of slices and None"),
        (lambda x: functional.dropout(x, 0.5), "export a network in evaluation"),
        (lambda x: functional.pad(x, (0, -1)), "pad has nodes for zeros"),
        (lambda x: functional.pad(x, (0, 1), value=1.0), "pad has nodes for zeros"),
        (lambda x: x.chunk(4, 1)[0], "3 chunks where 4 were asked for"),
        (
            lambda x: functional.conv1d(x.reshape(-1, 2, 3), draw(2, 2, 1), None, 1, "same", 1, 1),
            "padding in numbers",
        ),
    ],
)
def test_what_would_need_other_nodes_is_refused(forward: Forward, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        model(forward, np.float32)


def test_single_numbers_are_stored_as_such_in_a_graph_of_doubles() -> None:
    """And those that single precision does not hold are not rounded."""
    weight, bias = draw(8, FEATURES), torch.full((8,), 0.1, dtype=torch.float64)
    made = model(lambda x: functional.linear(x, weight.to(x.dtype), bias.to(x.dtype)), np.float64)
    stored = {tuple(each.dims): onnx.numpy_helper.to_array(each) for each in made.graph.initializer}
    np.testing.assert_array_equal(stored[FEATURES, 8], weight.T.numpy())
    assert (stored[FEATURES, 8].dtype, stored[8,].dtype) == (np.float32, np.float64)


def test_a_product_of_constants_is_a_node() -> None:
    """In double it would be stored twice as large as its factors are."""
    made = model(lambda x: x * (np.pi * draw(FEATURES).to(x.dtype)), np.float64)
    assert [node.op_type for node in made.graph.node][:3] == ["Cast", "Mul", "Mul"]
    sizes = {each.data_type: int(np.prod(each.dims)) for each in made.graph.initializer}
    assert sizes == {TensorProto.FLOAT: FEATURES, TensorProto.DOUBLE: 1}


def test_sizes_of_a_row_may_be_asked_for() -> None:
    made = model(lambda x: x[:, : x.shape[1] // 2] * x.size(1), np.float32)
    assert [node.op_type for node in made.graph.node][:2] == ["Slice", "Mul"]


def test_a_pointwise_convolution_by_steps_is_one_node() -> None:
    made = model(
        lambda x: pointwise_convolution(grid(x), draw(4, 2, 1, 1), None, 2),
        np.float32,
        "height",
        "width",
    )
    (node,) = (node for node in made.graph.node if node.op_type in ("Conv", "Slice"))
    assert next(each.ints for each in node.attribute if each.name == "strides") == [2, 2]
