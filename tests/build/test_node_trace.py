"""A traced forward pass answers as torch does, for any number of rows; what has no nodes is refused, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional

from sixfold.build._node_trace import COMPUTING, FREE, MOVING, ROWS, traced
from sixfold.parts.graph import Graph, TensorProto

FEATURES = 6
Forward = Callable[[torch.Tensor], torch.Tensor]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def like(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """Numbers that single precision holds, in the type of `x`."""
    return draw(*shape).to(x.dtype)


# Every function that has nodes, with what it is here asked of [rows, 6]; the result starts with the rows, or ends with [rows, …].
FUNCTIONS: dict[Any, Forward] = {
    torch.relu: torch.relu,
    torch.Tensor.relu: lambda x: x.relu(),
    torch.tanh: torch.tanh,
    torch.sigmoid: torch.sigmoid,
    torch.Tensor.cos: lambda x: x.cos(),
    torch.Tensor.sin: lambda x: x.sin(),
    torch.Tensor.add: lambda x: 2.5 + x + like(x, FEATURES),
    torch.Tensor.mul: lambda x: 2.5 * x * like(x, FEATURES),
    torch.Tensor.matmul: lambda x: x @ like(x, FEATURES, 3),
    torch.addcmul: lambda x: torch.addcmul(like(x, FEATURES), x, like(x, FEATURES)),
    torch.Tensor.softmax: lambda x: x.softmax(-1),
    torch.Tensor.mean: lambda x: (x.unsqueeze(0) * like(x, 4, 1, 1)).mean(0),
    functional.linear: lambda x: functional.linear(x, like(x, 3, FEATURES), like(x, 3)),
    functional.layer_norm: lambda x: functional.layer_norm(x, (FEATURES,), like(x, FEATURES), like(x, 1, FEATURES)[0]),
    functional.gelu: lambda x: functional.gelu(x, approximate="tanh"),
    functional.silu: functional.silu,
    functional.embedding: lambda x: functional.embedding((x * 0).long() + 1, like(x, 3, 2)).flatten(-2),
    torch.Tensor.to: lambda x: x.to(torch.float64),
    torch.Tensor.double: lambda x: x.double(),
    torch.Tensor.long: lambda x: (x * 3).long(),
    torch.Tensor.unsqueeze: lambda x: x.unsqueeze(-1) + x.unsqueeze(1),
    torch.Tensor.flatten: lambda x: (x.unsqueeze(-1) * like(x, 1, 3)).flatten(-2),
    torch.Tensor.index_select: lambda x: x.index_select(-1, torch.tensor([4, 0])),
    torch.cat: lambda x: torch.cat([x, x.relu()], -1),
}


def model(forward: Forward, dtype: Any, *more: str) -> onnx.ModelProto:
    kind = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    graph = Graph()
    name = traced(forward, graph, graph.input("x", kind, FEATURES), torch.from_numpy(np.zeros((ROWS, FEATURES), dtype)))
    graph.output("y", graph.cast(name, TensorProto.DOUBLE), TensorProto.DOUBLE, ["rows", "outputs", *more])
    return graph.model()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_answers_as_torchs(function: Any, dtype: Any) -> None:
    """For more rows than it was traced with, for one, and for none."""
    forward = FUNCTIONS[function]
    more = ["more"] * (forward(torch.zeros(ROWS, FEATURES)).ndim - 2)
    session = onnxruntime.InferenceSession(model(forward, dtype, *more).SerializeToString())
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for rows in (1, 7, 0):
        x = np.random.default_rng(rows).normal(size=(rows, FEATURES)).astype(dtype)
        wanted = forward(torch.from_numpy(x)).double().numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=tolerance, atol=tolerance)


def test_every_function_that_has_nodes_was_looked_at() -> None:
    assert set(FUNCTIONS) == COMPUTING.keys() | MOVING.keys()
    assert not FREE & FUNCTIONS.keys()


@pytest.mark.parametrize(
    ("forward", "name"),
    [
        (lambda x: x * x.shape[0], "torch.Tensor.shape.__get__"),
        (lambda x: x * len(x), "torch.Tensor.__len__"),
        (lambda x: x.relu() if x.mean(0).mean(0) else x, "torch.Tensor.__bool__"),
        (lambda x: x * float(x.mean(0).mean(0)), "torch.Tensor.__float__"),
        (lambda x: torch.from_numpy(x.numpy() + 1), "torch.Tensor.numpy"),
        (lambda x: x.add_(1.0), "torch.Tensor.add_"),
        (lambda x: x.exp(), "torch.Tensor.exp"),
        (lambda x: torch.stack([x, x]), "torch.stack"),
    ],
)
def test_what_has_no_nodes_is_refused(forward: Forward, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} has no nodes: sixfold\.build\._node_trace says which"):
        model(forward, np.float32)


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (lambda x: functional.linear(x, x.relu(), draw(1)), "where only a constant can"),
        (lambda x: x.flatten(0), "the number of rows cannot"),
        (lambda x: functional.gelu(x), "gelu has nodes in its form with tanh alone"),
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
