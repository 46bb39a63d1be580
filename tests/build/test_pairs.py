"""One against one: scores of classes from decision values of pairs, in NumPy and in the graph."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sixfold.build import _pairs
from sixfold.parts.graph import Graph, TensorProto

Array = np.ndarray[Any, Any]
VALUES = st.floats(-3, 3)


def machine(classes: int, counts: list[int], seed: int) -> tuple[Array, Array]:
    """Random weights of vectors that have a part in their class's pairs, in random order, and a
    bias.
    """
    rng = np.random.default_rng(seed)
    pairs = list(itertools.combinations(range(classes), 2))
    rows = []
    for own, count in enumerate(counts):
        for _ in range(count):
            rows.append([rng.normal() if own in pair else 0.0 for pair in pairs])
    return rng.permutation(np.array(rows)), rng.normal(size=len(pairs))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 6).flatmap(lambda k: arrays(np.float64, (4, k * (k - 1) // 2), elements=VALUES))
)
def test_a_class_has_its_smallest_decision_value(decisions: Array) -> None:
    classes = next(k for k in range(3, 7) if k * (k - 1) // 2 == decisions.shape[1])
    found = _pairs.least(decisions, classes)
    for row, scores in zip(decisions, found, strict=True):
        margins: dict[int, list[float]] = {k: [] for k in range(classes)}
        for value, (i, j) in zip(row, itertools.combinations(range(classes), 2), strict=True):
            margins[i].append(value)
            margins[j].append(-value)
        assert scores.tolist() == [min(margins[k]) for k in range(classes)]
        winners = [k for k in range(classes) if min(margins[k]) > 0]
        assert len(winners) <= 1
        assert winners in ([], [int(scores.argmax())])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=3, max_size=6).filter(any), st.integers(0, 10_000))
def test_the_graph_gives_the_same_from_fewer_numbers(counts: list[int], seed: int) -> None:
    classes = len(counts)
    weights, bias = machine(classes, counts, seed)
    kernel = np.random.default_rng(seed).normal(size=(7, len(weights)))
    order, found = _pairs.grouped(weights, classes)
    graph = Graph()
    scores = _pairs.export(
        graph, graph.input("kernel", TensorProto.DOUBLE, len(weights)), weights[order], found, bias
    )
    graph.output("scores", scores, TensorProto.DOUBLE, ["rows", classes])
    session = onnxruntime.InferenceSession(
        graph.model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given_back,) = session.run(None, {"kernel": kernel[:, order]})
    np.testing.assert_allclose(
        given_back, _pairs.least(kernel @ weights + bias, classes), atol=1e-12
    )
    stored = [
        np.prod(tensor.dims)
        for tensor in graph.model().graph.initializer
        if tensor.dims[1:] == [classes - 1]
    ]
    if all(counts):
        assert sum(stored) == len(weights) * (classes - 1)


def test_vectors_of_a_class_come_side_by_side() -> None:
    weights, _ = machine(4, [3, 2, 4, 1], 0)
    order, counts = _pairs.grouped(weights, 4)
    assert counts.tolist() == [3, 2, 4, 1]
    assert sorted(order.tolist()) == list(range(10))
    with pytest.raises(ValueError, match="without a class in common"):
        _pairs.grouped(np.ones((1, 6)), 4)
