"""What a row may take grows with the file, and with the row itself."""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import BundleError
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed

LONG = 480_000  # samples: half a minute


def model(samples: int, numbers: int, values: int) -> bytes:
    """A graph of `numbers` that makes so many values of a row, each as long as that."""
    graph = Graph()
    value = graph.input("x", TensorProto.FLOAT, samples)
    for number in range(values):
        value = graph.op("Mul", value, graph.constant(1.5 + number, np.float32))
    mean = graph.op("ReduceMean", value, graph.constant([1], np.int64), keepdims=1)
    table = graph.constant(np.ones((1, numbers)), np.float32)
    graph.output("y", graph.op("MatMul", mean, table), TensorProto.FLOAT, ["rows", numbers])
    return packed(graph.model())


@pytest.mark.parametrize(
    ("samples", "numbers", "values", "taken"),
    [
        (LONG, 1_000, 30, True),
        (LONG, 1_000, 40, False),
        (LONG, 1 << 20, 40, True),
        (LONG, 1 << 20, 140, False),
        (10_000, 1 << 20, 1_300, True),
        (10_000, 1 << 20, 2_000, False),
    ],
)
def test_a_long_row_of_a_large_file_may_take_more(
    samples: int, numbers: int, values: int, taken: bool
) -> None:
    content = model(samples, numbers, values)
    if taken:
        assert CheckedModel.of(content, "model.onnx").row_cells > samples * values
    else:
        with pytest.raises(BundleError, match="a row that takes more than"):
            CheckedModel.of(content, "model.onnx")
