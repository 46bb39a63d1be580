"""A loop in a graph: what it gives, and that its rounds, and what they take, are bounded before it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from sixfold.bundle import onnx_shapes
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.onnx_shapes import MOST_PRODUCTS
from sixfold.core.errors import BundleError
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed

WIDTH = 8
Change = Callable[[onnx.ModelProto], None]


def doubling(rounds: int, width: int = WIDTH) -> onnx.ModelProto:
    """x + round, of each round until all are above 9; beside it x as it was, and a product."""
    graph = Graph()
    x = graph.input("x", TensorProto.FLOAT, width)
    scaled = graph.op("Mul", x, graph.constant(1.0, np.float32))

    def body(number: str, states: list[str]) -> list[str]:
        added = graph.op("Add", states[0], graph.cast(number, TensorProto.FLOAT))
        eye = graph.constant(np.eye(width, dtype=np.float32))
        added = graph.op("MatMul", added, eye)
        axes = graph.constant([0, 1], np.int64)
        least = graph.op("ReduceMin", added, axes, keepdims=0)
        going = graph.op("Less", least, graph.constant(9.0, np.float32))
        return [going, added, scaled]

    found, _ = graph.loop(rounds, [scaled, x], [TensorProto.FLOAT] * 2, body)
    graph.output("y", found, TensorProto.FLOAT, ["rows", width])
    return graph.model()


def node_of(model: onnx.ModelProto) -> Any:
    return next(node for node in model.graph.node if node.op_type == "Loop")


def body_of(model: onnx.ModelProto) -> Any:
    return node_of(model).attribute[0].g


@pytest.mark.parametrize(("rounds", "added"), [(3, 3), (100, 10)])
def test_it_goes_round_until_its_end_or_its_last_round(rounds: int, added: int) -> None:
    model = doubling(rounds)
    checked = CheckedModel.of(packed(model), "model.onnx")
    assert onnx.load_from_string(checked.content) == model
    x = np.zeros((2, WIDTH), dtype=np.float32)
    (found,) = checked.session("model.onnx").run(None, {"x": x})
    np.testing.assert_array_equal(found, sum(range(rounds if rounds < 9 else 5)))
    assert found.max() == (added if rounds < 9 else 10)


def test_its_rounds_count_as_often_as_they_are() -> None:
    once, often = (
        onnx_shapes.costs(CheckedModel.of(packed(doubling(rounds)), "m").graph)
        for rounds in (1, 51)
    )
    assert once.cells == often.cells
    assert often.products - once.products > 50 * WIDTH * WIDTH
    width, most = 512, MOST_PRODUCTS // 512**2
    CheckedModel.of(packed(doubling(most // 2, width)), "m")
    with pytest.raises(BundleError, match="a row that takes more than"):
        CheckedModel.of(packed(doubling(2 * most, width)), "m")


def test_many_small_nodes_of_a_loop_are_too_many() -> None:
    """Each takes a microsecond to start, whatever it computes."""

    def body(number: str, states: list[str]) -> list[str]:
        value = states[0]
        for _ in range(1_000):
            value = graph.op("Neg", value)
        return [graph.op("Less", number, graph.constant(9, np.int64)), value]

    for rounds, taken in ((20, True), (1_000, False)):
        graph = Graph()
        x = graph.input("x", TensorProto.FLOAT)
        (found,) = graph.loop(rounds, [x], [TensorProto.FLOAT], body)
        graph.output("y", found, TensorProto.FLOAT, ["rows", 1])
        if taken:
            CheckedModel.of(packed(graph.model()), "m")
            continue
        with pytest.raises(BundleError, match="a row that takes more than"):
            CheckedModel.of(packed(graph.model()), "m")


def endless(model: onnx.ModelProto) -> None:
    node_of(model).input[0] = ""


def by_the_row(model: onnx.ModelProto) -> None:
    node_of(model).input[0] = "x"


def many(model: onnx.ModelProto) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == node_of(model).input[0])
    tensor.raw_data = np.int64(1 << 40).tobytes()


def growing(model: onnx.ModelProto) -> None:
    """A state that is longer in every round."""
    body = body_of(model)
    node = onnx.helper.make_node("Concat", [body.output[1].name] * 2, ["twice"], axis=1)
    body.node.append(node)
    body.output[1].name = "twice"


def nested(model: onnx.ModelProto) -> None:
    body_of(model).node.append(node_of(model))


def shadowing(model: onnx.ModelProto) -> None:
    """A value of a round that is called as one outside."""
    body, outside = body_of(model), model.graph.node[0].output[0]
    for node in body.node:
        node.output[:] = [outside if one == body.node[0].output[0] else one for one in node.output]


def reaching_in(model: onnx.ModelProto) -> None:
    """A node outside that takes what a round made."""
    model.graph.node[-1].input[0] = body_of(model).node[0].output[0]


def foreign(model: onnx.ModelProto) -> None:
    body_of(model).node[0].op_type = "NonZero"


def with_tensors(model: onnx.ModelProto) -> None:
    body_of(model).initializer.append(onnx.numpy_helper.from_array(np.zeros(3), "more"))


def fewer_states(model: onnx.ModelProto) -> None:
    del body_of(model).output[-1]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (endless, "Loop of values whose shapes do not fit"),
        (by_the_row, "Loop of values whose shapes do not fit"),
        (many, "Loop of values whose shapes do not fit"),
        (growing, "Loop of values whose shapes do not fit"),
        (fewer_states, "Loop of values whose shapes do not fit"),
        (nested, "field 6 of type 2 in a body_attribute"),
        (shadowing, "a value that is not made before it, or made twice"),
        (reaching_in, "a value that is not made before it, or made twice"),
        (foreign, "the operator 'NonZero'"),
        (with_tensors, "field 5 of type 2 in a body"),
    ],
)
def test_other_loops_are_refused(change: Change, problem: str) -> None:
    model = doubling(3)
    change(model)
    with pytest.raises(BundleError, match=problem):
        CheckedModel.of(packed(model), "model.onnx")
