"""The shapes that a graph's values really have, from onnxruntime: what `bundle.onnx_shapes` says
before is held against them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnxruntime

from sixfold.bundle import onnx_messages
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.onnx_graph import ModelGraph
from sixfold.bundle.onnx_shapes import Shape, costs, shapes
from sixfold.parts.packed import packed


def checked(model: onnx.ModelProto, feeds: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The bytes that a bundle would run of `model`; every value has the shape and the cells that
    were told before.
    """
    found = CheckedModel.of(packed(model), "model.onnx")
    rows, told = (
        len(next(iter(feeds.values()))),
        shapes(ModelGraph.of(onnx_messages.read(found.content))),
    )
    open_model = onnx.load_from_string(found.content)
    names = [name for node in open_model.graph.node for name in node.output]
    del open_model.graph.output[:]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), options)
    for name, value in zip(names, session.run(names, feeds), strict=True):
        assert np.shape(value) == _of(told[name], rows), name
    made = [shape for name, shape in told.items() if name in names or name in feeds]
    told_costs = costs(found.graph)
    assert told_costs.cells == sum(math.prod(_of(shape, 1)) for shape in made)
    assert found.row_cells == sum(math.prod(_of(one, 1)) for one in made if min(one, default=0) < 0)
    return found.content


def _of(shape: Shape, rows: int) -> tuple[int, ...]:
    return tuple(-dim * rows if dim < 0 else dim for dim in shape)
