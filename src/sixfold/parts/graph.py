"""The one ONNX graph from raw columns to predictions, written node by node by the parts that export themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
ML_OPSET = 4
IR_VERSION = 9
ML = "ai.onnx.ml"


class Graph:
    """Grows by `op`; a value is its name. Every exporter takes the graph and value names, and returns value names."""

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def input(self, name: str, elem_type: int, width: int = 1) -> str:
        """A raw input of shape [rows, width]; `elem_type` is a TensorProto type (DOUBLE, STRING)."""
        self._inputs.append(helper.make_tensor_value_info(name, elem_type, ["rows", width]))
        return name

    def output(self, name: str, value: str, elem_type: int, shape: list[int | str]) -> None:
        """Name `value` as a result of the graph; `shape` starts with "rows"."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, elem_type, shape))

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name. '' stands for an optional input left out."""
        return self.ops(op_type, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        names = [self._name(op_type) for _ in range(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, domain=domain, **attributes))
        return names

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        """An initializer; equal arrays are stored once."""
        value = np.ascontiguousarray(np.asarray(array, dtype=dtype)).reshape(np.shape(array))
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            name = self._name("constant")
            self._initializers.append(numpy_helper.from_array(value, name))
            self._constants[key] = name
        return self._constants[key]

    def cast(self, value: str, elem_type: int) -> str:
        """`value` as another element type."""
        return self.op("Cast", value, to=elem_type)

    def concat(self, values: list[str]) -> str:
        """Side by side: [rows, a] and [rows, b] give [rows, a + b]."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=1)

    def take_columns(self, value: str, columns: npt.ArrayLike) -> str:
        """[rows, m] to [rows, len(columns)]."""
        return self.op("Gather", value, self.constant(columns, np.int64), axis=1)

    def model(self) -> onnx.ModelProto:
        """The finished, checked model."""
        graph = helper.make_graph(self._nodes, "sixfold", self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sixfold")
        onnx.checker.check_model(model)
        return model

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"/{stem.lower()}_{self._count}"  # the slash keeps clear of column names


__all__ = ["ML", "Graph", "TensorProto"]
