"""How many rows one call of onnxruntime takes: by what each row makes, not by what is there once."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.onnx_shapes import costs
from sixfold.parts.graph import Graph
from sixfold.parts.packed import packed


def wide(width: int, cast: bool) -> bytes:
    """A layer of 3 × `width` weights and its sum, [rows, 1]. `cast`: the weights are stored in double, and made single."""
    graph = Graph()
    x = graph.cast(graph.input("numbers", TensorProto.DOUBLE, 3), TensorProto.FLOAT)
    kind = np.float64 if cast else np.float32
    weights = graph.constant(np.ones((3, width), dtype=kind))
    weights = graph.cast(weights, TensorProto.FLOAT) if cast else weights
    layer = graph.op("MatMul", x, weights)
    total = graph.op("MatMul", layer, graph.constant(np.ones((width, 1), dtype=np.float32)))
    graph.output("value", graph.cast(total, TensorProto.DOUBLE), TensorProto.DOUBLE, ["rows", 1])
    return packed(graph.model())


@pytest.mark.parametrize("width", [1, 64, 4096])
def test_what_is_there_once_is_no_part_of_a_row(width: int) -> None:
    plain, cast = (CheckedModel.of(wide(width, one), "here") for one in (False, True))
    assert (
        plain.row_cells == cast.row_cells == 3 + 3 + width + 3
    )  # the last three: sum, cast, output
    both = [costs(one.graph) for one in (plain, cast)]
    assert both[1].cells - both[0].cells == 3 * width  # counted once, for the bound of a file
