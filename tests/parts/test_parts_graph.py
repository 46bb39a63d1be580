"""The graph: nothing twice, nothing that no output asks for."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from sixfold.parts.graph import Graph


def test_equal_nodes_and_equal_constants_are_there_once() -> None:
    graph = Graph()
    x = graph.input("x", TensorProto.DOUBLE, 3)
    first = graph.op("Mul", x, graph.constant(np.arange(3.0)))
    assert graph.op("Mul", x, graph.constant(np.arange(3.0))) == first
    assert graph.op("Mul", x, graph.constant(np.arange(3.0)[None])) != first  # of another shape
    assert graph.op("Softmax", x, axis=0) != graph.op("Softmax", x, axis=1)
    model = graph.model()
    assert list(model.graph.node) == []  # no output asks for them
    assert list(model.graph.initializer) == []


def test_what_no_output_asks_for_is_left_out() -> None:
    graph = Graph()
    x = graph.input("x", TensorProto.DOUBLE, 3)
    graph.op("Mul", x, graph.constant(np.arange(3.0)))
    graph.output(
        "y", graph.op("Add", x, graph.constant(np.ones(3))), TensorProto.DOUBLE, ["rows", 3]
    )
    model = graph.model()
    assert [node.op_type for node in model.graph.node] == ["Add", "Identity"]
    assert len(model.graph.initializer) == 1


def test_casts_that_change_nothing_are_no_nodes() -> None:
    graph = Graph()
    x = graph.input("x", TensorProto.DOUBLE, 3)
    narrow = graph.cast(x, TensorProto.FLOAT)
    assert graph.cast(narrow, TensorProto.FLOAT) == narrow
    wide = graph.cast(narrow, TensorProto.DOUBLE)
    assert wide not in (x, narrow)  # what float32 rounded stays rounded
    assert graph.cast(wide, TensorProto.FLOAT) == narrow
    assert graph.cast(graph.cast(x, TensorProto.INT64), TensorProto.DOUBLE) != x
    unknown = graph.cast(graph.op("Neg", x), TensorProto.DOUBLE)
    assert graph.cast(unknown, TensorProto.FLOAT) != graph.cast(x, TensorProto.FLOAT)


@pytest.mark.parametrize(("start", "stop", "nodes"), [(0, 3, 0), (3, 5, 0), (2, 4, 1), (0, 5, 1)])
def test_a_span_is_what_was_put_there_or_a_slice(start: int, stop: int, nodes: int) -> None:
    graph = Graph()
    parts = [graph.input("a", TensorProto.DOUBLE, 3), graph.input("b", TensorProto.DOUBLE, 2)]
    found = graph.span(graph.concat(parts, [3, 2]), start, stop)
    graph.output("y", found, TensorProto.DOUBLE, ["rows", stop - start])
    model = graph.model()
    assert [node.op_type for node in model.graph.node].count("Slice") == nodes
    a, b = np.arange(6.0).reshape(2, 3), 10 + np.arange(4.0).reshape(2, 2)
    answer = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"a": a, "b": b})[0]
    np.testing.assert_array_equal(answer, np.hstack([a, b])[:, start:stop])
