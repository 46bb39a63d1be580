"""Costs are measured in onnxruntime, on the graph that is served."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from short_figures.sitecustomize import USERS
from sixfold.bundle.graph import CheckedModel
from sixfold.compress.measure import (
    MOST_PRODUCTS,
    compare,
    cost,
    feeds,
    median_ms,
    parameters,
)
from sixfold.core.errors import SystemFault
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.table import Column, Table

Build = Any
peak_memory = USERS["peak_memory"]


@pytest.fixture(autouse=True)
def _in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users measure it."""
    monkeypatch.setattr("sixfold.compress.measure.peak_memory", peak_memory)


def test_costs_are_measured_in_onnxruntime(made: Build) -> None:
    job, model = made("linear", {}, {})
    data = model.export().SerializeToString()
    other = made("tree", {"max_depth": 2}, {})[1].export().SerializeToString()
    for model_bytes, found in zip(
        (data, other), compare(data, other, job.dataset.table), strict=True
    ):
        assert found.file_bytes == len(model_bytes)
        assert found.inputs == 7
        assert 0 < found.p50_1_ms <= found.p99_1_ms < 1000
        assert 0 < found.p50_64_ms <= found.p99_64_ms < 1000
        assert 10_000_000 < found.peak_memory_bytes < 1_000_000_000
        assert found.parameters is not None
        assert found.parameters > 0
    alone = cost(data, job.dataset.table)
    assert alone.file_bytes == len(data)
    assert alone.inputs == 7
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    labels = session.run(["label"], feeds(data, job.dataset.table, 5))[0].reshape(-1)
    assert labels.tolist() == model.labels(job.dataset.table)[:5].tolist()


def test_a_model_beside_itself_costs_the_same(made: Build) -> None:
    job, model = made("linear", {}, {})
    data = model.export().SerializeToString()
    before, after = compare(data, data, job.dataset.table)
    assert before == after


def test_parameters_are_the_numbers_of_the_graph(made: Build) -> None:
    small, large = (made("mlp", {"hidden": hidden}, {})[1] for hidden in ([8], [64, 64]))
    count = [parameters(model.export().SerializeToString()) for model in (small, large)]
    theta = [
        sum(array.size for array in model.fitted.parameters().values()) for model in (small, large)
    ]
    assert all(stored >= learned for stored, learned in zip(count, theta, strict=True))
    assert count[1] - count[0] == theta[1] - theta[0]  # what preparation stores is the same
    trees = made("boosting", {"rounds": 10, "patience": None}, {})[1]
    assert parameters(trees.export().SerializeToString()) >= trees.fitted.node_count


def test_rows_are_repeated_and_missing_values_asked_with(made: Build) -> None:
    _, model = made("linear", {}, {})
    data = model.export().SerializeToString()
    columns = {f"x{i}": Column("number", np.array([0.5, np.nan])) for i in range(6)}
    columns["city"] = Column("category", np.array([-1, 2], dtype=np.int32), ("a", "b", "c"))
    table = Table(columns, 2)
    arrays = feeds(data, table, 5)
    assert {name: array.shape for name, array in arrays.items()} == {
        "numbers": (5, 6),
        "categories": (5, 1),
    }
    assert arrays["categories"].ravel().tolist() == ["", "c", "", "c", ""]
    assert peak_memory(data, table) > 10_000_000
    assert all(value > 0 for value in median_ms(data, data, table, 64))


def test_a_model_that_cannot_be_loaded_is_said(
    made: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, model = made("linear", {}, {})
    data = model.export().SerializeToString()
    monkeypatch.setattr(
        "sixfold.compress.measure.feeds", lambda model, table, rows: {"nobody": np.zeros((rows, 1))}
    )
    with pytest.raises(
        SystemFault, match="measuring memory: expected a process that loads the model"
    ):
        peak_memory(data, job.dataset.table)


@pytest.mark.slow
def test_a_row_that_takes_long_is_asked_alone() -> None:
    """By what is counted in its graph: here a loop of many rounds, of which it needs one."""
    graph, wide = Graph(), 1 << 11
    x = graph.cast(graph.input("numbers", TensorProto.DOUBLE), TensorProto.FLOAT)
    graph.describe("numbers", ["x"])
    table = graph.constant(np.zeros(1 << 24, dtype=np.uint8))  # what a large file may take
    first = graph.cast(graph.op("Gather", table, graph.constant([0], np.int64)), TensorProto.FLOAT)
    start = graph.op("Mul", graph.op("Add", x, first), graph.constant(np.ones((1, wide), "f4")))
    weights = graph.constant(np.ones((wide, wide), dtype=np.float32))

    def body(number: str, states: list[str]) -> list[str]:
        going = graph.op("Less", number, graph.constant(0, np.int64))
        return [going, graph.op("MatMul", states[0], weights)]

    (found,) = graph.loop(1 << 12, [start], [TensorProto.FLOAT], body)
    graph.output("value", found, TensorProto.FLOAT, ["rows", wide])
    model = packed(graph.model())
    assert CheckedModel.of(model, "model.onnx").row_products > MOST_PRODUCTS
    found_cost = cost(model, Table({"x": Column("number", np.zeros(3))}, 3), most_s=0.1)
    assert found_cost.p50_64_ms is None and found_cost.p99_64_ms is None
    assert found_cost.p50_1_ms is not None and found_cost.peak_memory_bytes is not None
