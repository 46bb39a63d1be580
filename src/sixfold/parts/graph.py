"""The one ONNX graph from raw columns to predictions, written node by node by the parts that export themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
ML_OPSET = 5
IR_VERSION = 9
ML = "ai.onnx.ml"
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


class Graph:
    """Grows by `op`; a value is its name. Every exporter takes the graph and value names, and returns value names."""

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0
        self._factor = 0  # of `fixed_point`; 0 outside
        self._domains: dict[str, int] = {}

    def input(self, name: str, elem_type: int, width: int = 1) -> str:
        """A raw input of shape [rows, width]; `elem_type` is a TensorProto type (DOUBLE, STRING). The same name asked for
        again (by another member of an ensemble) is the same input.
        """
        if any(known.name == name for known in self._inputs):
            return name
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
        if self._factor and value.dtype.kind == "f" and value.size > 1:
            integers = _as_integers(value, self._factor)
            if integers is not None:
                return self._scaled_back(integers, value.dtype)
        return self._stored(value)

    @contextmanager
    def fixed_point(self, factor: int) -> Iterator[None]:
        """Inside, constants that are multiples of 1/factor are stored as small integers and divided when loaded."""
        self._factor = factor
        try:
            yield
        finally:
            self._factor = 0

    def embed(self, model: onnx.ModelProto, inputs: dict[str, str]) -> list[str]:
        """Another model's nodes in place, its inputs bound to values of this graph; returns its outputs.

        Raises ValueError for an opset other than this graph's, and for nodes that hold graphs of their own.
        """
        own = {"": OPSET, ML: ML_OPSET, **self._domains}
        for opset in model.opset_import:
            if own.get(opset.domain, opset.version) != opset.version:
                raise ValueError(f"opset {opset.version} of '{opset.domain}' cannot be embedded in {own[opset.domain]}")
        if any(attribute.type in _GRAPHS for node in model.graph.node for attribute in node.attribute):
            raise ValueError("a node that holds a graph cannot be embedded")
        names = dict(inputs)
        for tensor in model.graph.initializer:
            copied = onnx.TensorProto()
            copied.CopyFrom(tensor)
            copied.name = names[tensor.name] = self._name("embedded")
            self._initializers.append(copied)
        for node in model.graph.node:
            copied_node = onnx.NodeProto()
            copied_node.CopyFrom(node)
            del copied_node.input[:], copied_node.output[:]
            copied_node.input.extend(names[value] if value else "" for value in node.input)
            for value in node.output:
                names[value] = self._name(node.op_type) if value else ""
            copied_node.output.extend(names[value] if value else "" for value in node.output)
            copied_node.name = ""
            self._nodes.append(copied_node)
        self._domains |= {opset.domain: opset.version for opset in model.opset_import}
        return [names[value.name] for value in model.graph.output]

    def _scaled_back(self, integers: npt.NDArray[Any], dtype: npt.DTypeLike) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        whole = self.op("Cast", self._stored(integers), to=kind)
        return self.op("Div", whole, self._stored(np.asarray(self._factor, dtype=dtype)))

    def _stored(self, value: npt.NDArray[Any]) -> str:
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
        versions = {**self._domains, "": OPSET, ML: ML_OPSET}
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sixfold")
        onnx.checker.check_model(model)
        return model

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"/{stem.lower()}_{self._count}"  # the slash keeps clear of column names


def _as_integers(value: npt.NDArray[Any], factor: int) -> npt.NDArray[Any] | None:
    """`value · factor` in the smallest integer type, or None where that is not exactly `value`."""
    scaled = np.rint(value.astype(np.float64) * factor)
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if scaled.size and limits.min <= scaled.min() and scaled.max() <= limits.max:
            integers = scaled.astype(kind)
            back = integers.astype(value.dtype) / value.dtype.type(factor)
            return integers if integers.nbytes < value.nbytes and np.array_equal(back, value) else None
    return None


__all__ = ["ML", "Graph", "TensorProto"]
