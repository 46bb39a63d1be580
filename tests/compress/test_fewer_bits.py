"""Fixed point equals its formula; int8 is smaller, close, and answers as served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper, numpy_helper

from sixfold.bundle.parity import Parity, check_parity
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.compress.compress import compress
from sixfold.compress.fixed_point import Fixed, rounded
from sixfold.compress.quantize import Quantized, quantized
from sixfold.data.raw import text_rows
from sixfold.evaluate.model import Model
from sixfold.package.receipt import expected_answers, signature_of, stored_rows
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.recipe.compression import Quantize
from sixfold.runs.context import Context

Build = Any
MLP = {"hidden": [64, 64]}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": MLP,
    "residual_mlp": {"width": 64, "blocks": 1},
    "tabm": {"width": 64, "blocks": 2, "members": 4},
}
THETA = arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e3, 1e3))


def answers_as_served(model: Model, job: Any) -> None:
    rows = stored_rows(job.dataset.table, 0)
    parity = Parity(text_rows(rows, model.preparer.inputs), expected_answers(model, rows))
    check_parity(
        onnx_predictor(packed(model.export()), signature_of(model, job.dataset, ("",))), parity
    )


def size(model: Model) -> int:
    return len(model.export().SerializeToString())


@given(THETA, st.integers(2, 4096))
def test_fixed_point_is_the_formula(theta: Any, factor: int) -> None:
    floor, nearest = rounded(theta, factor, "floor"), rounded(theta, factor, "nearest")
    assert (floor == np.floor(theta * factor) / factor).all()
    assert (floor <= theta + 1e-9).all()
    assert (theta - floor < 1 / factor + 1e-9).all()
    assert (np.abs(nearest - theta) <= 0.5 / factor + 1e-9).all()


@given(THETA, st.integers(1, 12).map(lambda n: 2**n))
def test_fixed_point_twice_is_once(theta: Any, factor: int) -> None:
    for rounding in ("floor", "nearest"):
        once = rounded(theta, factor, rounding)
        assert (rounded(once, factor, rounding) == once).all()


def test_the_floor_of_negatives_goes_down() -> None:
    theta = np.array([-1.3, -0.1, -0.0, 0.1, 1.3])
    assert rounded(theta, 2, "floor").tolist() == [-1.5, -0.5, 0.0, 0.0, 1.0]
    assert rounded(theta, 2, "nearest").tolist() == [-1.5, 0.0, 0.0, 0.0, 1.5]


@pytest.mark.parametrize("factor", [64, 100, 1000])
@pytest.mark.parametrize("family", ["linear", "mlp", "residual_mlp", "svm", "tabm"])
def test_a_fixed_point_graph_stores_integers_and_answers_the_same(
    made: Build, family: str, factor: int
) -> None:
    options = NETWORKS.get(family, {})
    job, model = made(
        family, options, {"keep": {"accuracy": -0.1}, "fixed_point": {"factor": factor}}
    )
    done = compress(job, model, Context())
    if not done.steps[0].accepted:
        assert family == "linear"  # a handful of weights: nothing to save
        assert done.steps[0].why.startswith("no gain on this machine: θ in steps of 1/")
        return
    fitted = done.model.fitted
    assert isinstance(fitted, Fixed)
    before, after = model.fitted.parameters(), fitted.inner.parameters()
    for name in before:
        np.testing.assert_allclose(
            after[name], np.floor(before[name] * factor) / factor, rtol=1e-7, atol=1e-12
        )
    stored = {
        t.data_type for t in done.model.export().graph.initializer if np.prod(t.dims) > 200
    }  # not ‖s‖² of the support vectors s
    assert stored <= {TensorProto.INT8, TensorProto.INT16}
    assert size(done.model) < 0.75 * size(model)
    answers_as_served(done.model, job)


def test_a_fixed_point_regression_answers_as_served(made: Build) -> None:
    section = {"keep": {"rmse": 30.0}, "fixed_point": {"factor": 256, "rounding": "nearest"}}
    job, model = made("mlp", MLP, section, "regression")
    done = compress(job, model, Context())
    assert done.steps[0].accepted, done.steps
    answers_as_served(done.model, job)


@pytest.mark.parametrize("activations", ["dynamic", "static"])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("family", NETWORKS)
def test_int8_is_smaller_close_and_answers_as_served(
    made: Build, family: str, activations: str, task: str
) -> None:
    keep = {"accuracy": -0.05} if task == "classification" else {"rmse": 30.0}
    job, model = made(
        family, NETWORKS[family], {"keep": keep, "quantize": {"activations": activations}}, task
    )
    done = compress(job, model, Context())
    assert done.steps[0].accepted, done.steps
    assert size(done.model) < 0.6 * size(model)
    exact, rough = model.predict(job.dataset.table), done.model.predict(job.dataset.table)
    assert np.abs(exact - rough).mean() < (0.03 if task == "classification" else 20.0)
    answers_as_served(done.model, job)


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_int8_weights_are_bytes_and_activations_are_rounded(made: Build, activations: str) -> None:
    job, model = made("mlp", MLP, {})
    x = model.preparer.transform(job.dataset.table)
    small = quantized(model.fitted, x, Quantize(activations=activations))
    graph = onnx.load_from_string(small.model.tobytes()).graph
    weights = {t.data_type for t in graph.initializer if np.prod(t.dims) >= 64 * 10}
    assert weights <= {TensorProto.INT8, TensorProto.UINT8}
    used = {node.op_type for node in graph.node}
    assert used & {"DynamicQuantizeLinear", "QuantizeLinear"}
    again = quantized(model.fitted, x, Quantize(activations=activations))
    assert np.array_equal(again.model, small.model)
    np.testing.assert_allclose(small.predict(x).sum(axis=1), 1.0, atol=1e-6)


def test_static_int8_of_a_row_does_not_depend_on_the_others(made: Build) -> None:
    job, model = made("mlp", MLP, {})
    x = model.preparer.transform(job.dataset.table)
    small = quantized(model.fitted, x, Quantize(activations="static"))
    np.testing.assert_array_equal(small.predict(x)[7:8], small.predict(x[7:8]))


def test_int8_of_a_network_without_hidden_layers(made: Build) -> None:
    job, model = made("mlp", {"hidden": []}, {})
    x = model.preparer.transform(job.dataset.table)
    for activations in ("dynamic", "static"):
        small = quantized(model.fitted, x, Quantize(activations=activations))
        assert np.abs(small.predict(x) - model.predict(job.dataset.table)).max() < 0.1


def test_after_int8_there_is_nothing_to_round(made: Build) -> None:
    section = {"keep": {"accuracy": -0.05}, "quantize": {}, "fixed_point": {"factor": 64}}
    job, model = made("mlp", MLP, section)
    done = compress(job, model, Context())
    assert isinstance(done.model.fitted, Quantized)
    assert done.steps[1].why == "the weights of mlp are integers already (int8)"


def test_after_pruning_the_smaller_network_is_quantized(made: Build) -> None:
    section = {
        "keep": {"accuracy": -0.05},
        "prune": [{"target": "neurons", "epochs": 5}],
        "quantize": {},
    }
    job, model = made("mlp", MLP, section)
    done = compress(job, model, Context())
    assert [step.accepted for step in done.steps] == [True, True], done.steps
    assert size(done.model) < 0.4 * size(model)
    answers_as_served(done.model, job)


def inner(opset: int = 18) -> onnx.ModelProto:
    """y = relu(x @ w) + w, with names that clash with everything."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["/add_1"]),
        helper.make_node("Relu", ["/add_1"], ["h"]),
        helper.make_node("Add", ["h", "w"], ["y"]),
    ]
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in ("x", "y")]
    weight = numpy_helper.from_array(np.array([[1, -1], [2, 0.5]], dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "inner", value[:1], value[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def test_an_embedded_model_computes_the_same_twice_over() -> None:
    graph = Graph()
    x = graph.input("x", TensorProto.FLOAT, 2)
    once = graph.embed(
        inner(), {"x": graph.op("Add", x, graph.constant([[1.0, 1.0]], np.float32))}
    )[0]
    twice = graph.embed(inner(), {"x": once})[0]
    graph.output("y", twice, TensorProto.FLOAT, ["rows", 2])
    session = _session(graph.model())
    given_x = np.array([[0.5, 1.0], [-2.0, 3.0]], dtype=np.float32)
    w = np.array([[1, -1], [2, 0.5]], dtype=np.float32)
    h = np.maximum((given_x + 1) @ w, 0) + w
    np.testing.assert_allclose(
        session.run(None, {"x": given_x})[0], np.maximum(h @ w, 0) + w, rtol=1e-6
    )


def test_another_opset_is_not_embedded() -> None:
    graph = Graph()
    with pytest.raises(ValueError, match="opset 13 of '' cannot be embedded in 18"):
        graph.embed(inner(13), {"x": graph.input("x", TensorProto.FLOAT, 2)})


def test_a_node_that_holds_a_graph_is_not_embedded() -> None:
    model = inner()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    model.graph.node.append(
        helper.make_node("If", ["c"], ["q"], then_branch=branch, else_branch=branch)
    )
    graph = Graph()
    with pytest.raises(ValueError, match="a node that holds a graph cannot be embedded"):
        graph.embed(model, {"x": graph.input("x", TensorProto.FLOAT, 2)})


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def test_rounding_never_edits_in_place(made: Build) -> None:
    job, model = made(
        "mlp", MLP, {"keep": {"accuracy": -0.5}, "fixed_point": {"factor": 4}, "quantize": {}}
    )
    before = [a.copy() for a in (*model.fitted.weights, *model.fitted.biases)]
    compress(job, model, Context())
    compress(
        replace(job, section=job.section.model_copy(update={"quantize": None})), model, Context()
    )
    assert all(
        np.array_equal(a, b)
        for a, b in zip((*model.fitted.weights, *model.fitted.biases), before, strict=True)
    )
