"""The one ONNX graph from raw columns to predictions, written node by node by the parts that export
themselves.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
ML_OPSET = 4
ML_OPSET_OF_TREES = 5  # where there are any: what an older one can do, more runtimes take
IR_VERSION = 9
ML = "ai.onnx.ml"
WIDE = 4096  # features, from which on a single column of weights is a sum: 115 and 38 µs at 30,000 (measured, one row)
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


class Graph:
    """Grows by `op`; a value is its name. Every exporter takes the graph and value names, and
    returns value names.
    """

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._seen: dict[tuple[bytes, int], list[str]] = {}
        self._constants: dict[bytes, str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._casts: dict[str, tuple[int, str]] = {}
        self._beside: dict[str, dict[tuple[int, int], str]] = {}
        self._count = 0
        self._factor = 0  # of `fixed_point`; 0 outside
        self._domains: dict[str, int] = {}
        self._described: dict[str, str] = {}

    def input(self, name: str, elem_type: int, width: int = 1) -> str:
        """An input of shape [rows, width]; `elem_type` is a TensorProto type (DOUBLE, STRING)."""
        return self.input_of(name, elem_type, ["rows", width])

    def input_of(self, name: str, elem_type: int, shape: list[int | str]) -> str:
        """An input of any shape; a dimension that is a word is free."""
        self._inputs.append(helper.make_tensor_value_info(name, elem_type, shape))
        return name

    def describe(self, name: str, columns: Sequence[str]) -> None:
        """Write into the model which raw column each column of input `name` is."""
        self._described[name] = json.dumps(list(columns))

    def describe_text(self, name: str, described: str) -> None:
        """Write into the model what input `name` holds of a column of text or images: the JSON of
        `TextInput`, `ImageInput`.
        """
        self._described[name] = described

    def output(self, name: str, value: str, elem_type: int, shape: list[int | str]) -> None:
        """Name `value` as a result of the graph; `shape` starts with "rows"."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, elem_type, shape))

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name. '' stands for an optional input
        left out.
        """
        return self.ops(op_type, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return their names; of a node that is there already,
        its own.
        """
        node = helper.make_node(op_type, list(inputs), [], domain=domain, **attributes)
        key = node.SerializeToString(deterministic=True), outputs
        if key not in self._seen:
            self._seen[key] = [self._name(op_type) for _ in range(outputs)]
            node.output.extend(self._seen[key])
            self._nodes.append(node)
        return list(self._seen[key])

    def loop(
        self,
        rounds: int,
        states: Sequence[str],
        types: Sequence[int],
        body: Callable[[str, list[str]], Sequence[str]],
    ) -> list[str]:
        """What `states`, values of these TensorProto types, are after at most so many rounds. `body`: the
        number of a round (int64, from 0) and the states → whether another one follows (bool), and the
        states. What a round makes is known in it alone; constants lie in the graph around it.
        """
        one: Any = []  # the shape of a single number; those of states are left to the graph
        kinds = [
            (TensorProto.INT64, one),
            (TensorProto.BOOL, one),
            *((kind, None) for kind in types),
        ]
        given = [self._name("round"), self._name("going"), *(self._name("state") for _ in states)]
        outside = self._nodes, self._seen, self._casts
        self._nodes, self._seen, self._casts = [], dict(self._seen), dict(self._casts)
        left = [self.op("Identity", name) for name in body(given[0], given[2:])]
        takes, gives = (
            [
                helper.make_tensor_value_info(name, kind, shape)
                for name, (kind, shape) in zip(names, wanted, strict=True)
            ]
            for names, wanted in ((given, kinds), (left, kinds[1:]))
        )
        inner = helper.make_graph(self._nodes, "body", takes, gives)
        self._nodes, self._seen, self._casts = outside
        count, going = self.constant(rounds, np.int64), self.constant(True, np.bool_)
        return self.ops("Loop", count, going, *states, outputs=len(states), body=inner)

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
        """Inside, constants that are multiples of 1/factor are stored as small integers and divided
        when loaded.
        """
        self._factor = factor
        try:
            yield
        finally:
            self._factor = 0

    def embed(self, model: onnx.ModelProto, inputs: dict[str, str]) -> list[str]:
        """Another model's nodes in place, its inputs bound to values of this graph; returns its
        outputs.

        Raises ValueError for an opset other than this graph's, and for nodes that hold graphs of
        their own.
        """
        own = {"": OPSET, ML: ML_OPSET, **self._domains}
        for opset in model.opset_import:
            if own.get(opset.domain, opset.version) != opset.version:
                raise ValueError(
                    f"opset {opset.version} of '{opset.domain}' cannot be embedded in {own[opset.domain]}"
                )
        if any(
            attribute.type in _GRAPHS for node in model.graph.node for attribute in node.attribute
        ):
            raise ValueError("a node that holds a graph cannot be embedded")
        names = dict(inputs)
        for tensor in model.graph.initializer:
            copied = onnx.TensorProto()
            copied.CopyFrom(tensor)
            names[tensor.name] = self._kept(copied)
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
        return self._kept(numpy_helper.from_array(value))

    def _kept(self, tensor: onnx.TensorProto) -> str:
        """The name of an initializer; equal ones are stored once."""
        tensor.ClearField("name")
        if (
            tensor.data_location == onnx.TensorProto.DEFAULT
        ):  # onnxruntime's quantizer says so of some
            tensor.ClearField("data_location")
        key = tensor.SerializeToString(deterministic=True)
        if key not in self._constants:
            tensor.name = self._constants[key] = self._name("constant")
            self._initializers.append(tensor)
        return self._constants[key]

    def cast(self, value: str, elem_type: int) -> str:
        """`value` as another element type. What was made of it by a cast is that, and float32 made
        double is itself again.
        """
        known, source = self._casts.get(value, (None, ""))
        if known == elem_type:
            return value
        widened = (
            known == TensorProto.DOUBLE
            and self._casts.get(source, (None, ""))[0] == TensorProto.FLOAT
        )
        if widened and elem_type == TensorProto.FLOAT:
            return source
        name = self.op("Cast", value, to=elem_type)
        self._casts[name] = elem_type, value
        return name

    def concat(self, values: list[str], widths: list[int] | None = None) -> str:
        """Side by side: [rows, a] and [rows, b] give [rows, a + b]. `widths`: a, b, …, so that
        `span` can find them again.
        """
        whole = values[0] if len(values) == 1 else self.op("Concat", *values, axis=1)
        if widths is not None:
            ends = list(itertools.accumulate(widths))
            spans = zip([0, *ends[:-1]], ends, strict=True)
            self._beside[whole] = dict(zip(spans, values, strict=True))
        return whole

    def span(self, value: str, start: int, stop: int) -> str:
        """Columns `start` to `stop`; of a value put together by `concat` what was there before,
        where it is just these.
        """
        known = self._beside.get(value, {}).get((start, stop))
        if known is not None:
            return known
        first, last, axis = (self.constant([number], np.int64) for number in (start, stop, 1))
        return self.op("Slice", value, first, last, axis)

    def product(self, x: str, weights: npt.NDArray[np.float64]) -> str:
        """[rows, m] @ [m, k], double. A single wide column as a sum: onnxruntime's MatMul took
        three times as long.
        """
        if weights.shape[1] > 1 or len(weights) < WIDE:
            return self.op("MatMul", x, self.constant(weights, np.float64))
        row = self.constant(np.ascontiguousarray(weights.T), np.float64)
        return self.op(
            "ReduceSum", self.op("Mul", x, row), self.constant([1], np.int64), keepdims=1
        )

    def take_columns(self, value: str, columns: npt.ArrayLike) -> str:
        """[rows, m] to [rows, len(columns)]."""
        return self.op("Gather", value, self.constant(columns, np.int64), axis=1)

    def split_columns(self, value: str, width: int) -> list[str]:
        """[rows, width] to `width` values [rows, 1]."""
        return (
            [value]
            if width == 1
            else self.ops("Split", value, outputs=width, axis=1, num_outputs=width)
        )

    def model(self) -> onnx.ModelProto:
        """The finished, checked model, of what an output depends on."""
        nodes, used = [], {value.name for value in self._outputs}
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                used.update(_taken(node))
                nodes.append(node)
        tensors = [tensor for tensor in self._initializers if tensor.name in used]
        graph = helper.make_graph(nodes[::-1], "sixfold", self._inputs, self._outputs, tensors)
        ml = (
            ML_OPSET_OF_TREES if any(node.op_type == "TreeEnsemble" for node in nodes) else ML_OPSET
        )
        versions = {**self._domains, "": OPSET, ML: ml}
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sixfold"
        )
        helper.set_model_props(model, self._described)
        onnx.checker.check_model(model)
        return model

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"/{stem.lower()}_{self._count}"  # the slash keeps clear of column names


def _taken(node: onnx.NodeProto) -> Iterator[str]:
    """By it, and by what it holds."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _taken(inner)


def _as_integers(value: npt.NDArray[Any], factor: int) -> npt.NDArray[Any] | None:
    """`value · factor` in the smallest integer type, or None where that is not exactly `value`."""
    scaled = np.rint(value.astype(np.float64) * factor)
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if scaled.size and limits.min <= scaled.min() and scaled.max() <= limits.max:
            integers = scaled.astype(kind)
            back = integers.astype(value.dtype) / value.dtype.type(factor)
            return (
                integers if integers.nbytes < value.nbytes and np.array_equal(back, value) else None
            )
    return None


__all__ = ["ML", "Graph", "TensorProto"]
