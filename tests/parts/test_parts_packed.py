"""The packed writer against protobuf's own."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from sixfold.bundle import onnx_messages
from sixfold.parts.graph import Graph
from sixfold.parts.packed import packed


def model() -> onnx.ModelProto:
    """Lists of whole numbers of every length in bytes, negative ones too, and of floats; an
    initializer, two inputs.
    """
    graph = Graph()
    x = graph.input("x", TensorProto.DOUBLE, 4)
    graph.input("unused", TensorProto.STRING)
    keys = [0, 1, 127, 128, 16_383, 16_384, 2**31, 2**62, -1, -(2**63)]
    found = graph.op(
        "LabelEncoder",
        graph.cast(x, TensorProto.INT64),
        domain="ai.onnx.ml",
        keys_int64s=keys,
        values_floats=[0.1 * number for number in range(len(keys))],
        default_float=-0.5,
    )
    total = graph.op("Add", graph.cast(found, TensorProto.DOUBLE), graph.constant(np.arange(4.0)))
    graph.output("y", total, TensorProto.DOUBLE, ["rows", 4])
    return graph.model()


def test_packed_bytes_are_the_same_model() -> None:
    own = packed(model())
    assert onnx.load_from_string(own) == model()
    assert packed(onnx.load_from_string(own)) == own


def test_no_number_of_a_list_has_a_tag_of_its_own() -> None:
    many = list(range(100, 128)) * 200
    graph = Graph()
    x = graph.input("x", TensorProto.INT64)
    floats = [float(number) for number in many]
    found = graph.op("LabelEncoder", x, domain="ai.onnx.ml", keys_int64s=many, values_floats=floats)
    graph.output("y", found, TensorProto.FLOAT, ["rows", 1])
    assert (
        len(packed(graph.model()))
        < len(many) * (1 + 4) + 500
        < len(graph.model().SerializeToString())
    )


def test_onnxruntime_and_the_bundles_own_reader_take_them() -> None:
    own, plain = packed(model()), model().SerializeToString()
    assert (
        onnx.load_from_string(b"".join(onnx_messages.written(onnx_messages.read(own)))) == model()
    )
    feeds = {
        "x": np.array([[0.0, 127, 16_384, -1], [5, 2.0**31, 2.0**62, -(2.0**63)]]),
        "unused": np.array([[""]]),
    }
    first, second = (
        onnxruntime.InferenceSession(each).run(None, feeds)[0] for each in (own, plain)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[0], [0.0, 1.2, 2.5, 3.8], atol=1e-6)


def test_a_graph_in_an_attribute_is_kept() -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["b"], value_ints=[1, 300])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.INT64, [2])],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    whole = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2])],
    )
    made = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)])
    assert onnx.load_from_string(packed(made)) == made
