"""What onnxruntime may be given: a model that was read to its last byte, checked, and written anew.

Two readers of one format never agree on everything, and what ours passes over another may follow to
a file outside. So onnxruntime gets nothing that was not understood here: `onnx_messages` reads the
bytes, `onnx_graph` the operators, `onnx_shapes` what a row will take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import onnxruntime as ort

from sixfold.bundle import onnx_messages, onnx_shapes
from sixfold.bundle.onnx_graph import ModelGraph
from sixfold.bundle.onnx_messages import Message, WireError
from sixfold.core.errors import BundleError

AGAIN: Final = "Run the recipe again: Sixfold writes models that hold all of their tensors, and operators of its own list only."


@dataclass(frozen=True)
class CheckedModel:
    """`content`: the model, written anew from what was read. `row_cells`: those of the values that
    each row makes; `row_products`: what makes them.
    """

    content: bytes
    graph: ModelGraph
    row_cells: int
    row_products: int

    @classmethod
    def of(cls, model: bytes, where: str) -> CheckedModel:
        """Raises BundleError for whatever Sixfold does not write."""
        try:
            message = onnx_messages.read(model)
            graph = ModelGraph.of(message)
            costs = onnx_shapes.costs(graph)
            content = b"".join(onnx_messages.written(message))
            return cls(content, graph, costs.row_cells, costs.products)
        except WireError as error:
            raise BundleError(
                where, "an ONNX model as Sixfold writes it", str(error), AGAIN
            ) from None

    def session(self, where: str) -> ort.InferenceSession:
        """On one thread, the way a receipt's latency was measured. Raises BundleError."""
        return session_on(self.content, where)

    def session_of(self, value: str, elem_type: int, where: str) -> ort.InferenceSession:
        """The same graph, whose one output is its inner value `value`, of this type. Raises
        BundleError.
        """
        return self.session_giving({value: elem_type}, where)

    def session_giving(self, values: Mapping[str, int], where: str) -> ort.InferenceSession:
        """The same graph, whose outputs are inner values, of these types. Raises BundleError."""
        message = onnx_messages.read(self.content)
        outputs = [
            {1: [value.encode()], 2: [{1: [{1: [elem_type]}]}]}
            for value, elem_type in values.items()
        ]
        inner = {**message, 7: [{**message[7][0], 12: outputs}]}
        return session_on(b"".join(onnx_messages.written(inner)), where)

    def part_behind(self, value: str, elem_type: int, width: int, output: str) -> Message:
        """The part of the graph from its inner value `value` [rows, width], which becomes the one
        input, to `output`. Raises WireError where more than it is needed.
        """
        message = onnx_messages.read(self.content)
        graph = message[7][0]
        needed, kept = {output.encode()}, []
        for node in reversed(graph.get(1, [])):
            made = set(map(bytes, node.get(2, [])))
            if made & needed and value.encode() not in made:
                kept.append(node)
                needed |= set(map(bytes, node.get(1, [])))
        inputs = {bytes(given[1][0]) for given in graph.get(11, [])}
        if value.encode() not in needed or (needed & inputs) - {value.encode()}:
            raise WireError("answers that are not made of the features alone")
        shape = {1: [{2: [b"rows"]}, {1: [width]}]}
        given = {1: [value.encode()], 2: [{1: [{1: [elem_type], 2: [shape]}]}]}
        tensors = [tensor for tensor in graph.get(5, []) if bytes(tensor[8][0]) in needed]
        outputs = [each for each in graph[12] if bytes(each[1][0]) == output.encode()]
        inner = {**graph, 1: kept[::-1], 5: tensors, 11: [given], 12: outputs}
        return {**message, 7: [inner]}

    def classes(self) -> tuple[str, ...] | None:
        """The labels that the output `label` is taken from, in the order of the classes' columns;
        None without a label.

        Raises WireError where it is not taken from a list of texts by the number of a class.
        """
        if "label" not in self.graph.outputs:
            return None
        makers = {name: node for node in self.graph.nodes for name in node.outputs}
        node = makers.get("label")
        while node is not None and node.operator == "Identity":
            node = makers.get(node.inputs[0])
        names = (
            self.graph.tensors.get(node.inputs[0])
            if node is not None and node.operator == "Gather"
            else None
        )
        if names is None:
            raise WireError("a label that is not taken from a list of classes")
        return names.texts()


def session_on(content: bytes, where: str) -> ort.InferenceSession:
    """On one thread, of what was checked, or was made of it. Raises BundleError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes that it does not export
        raise BundleError(
            where, "a model that onnxruntime can run", first_line(error), AGAIN
        ) from None


def first_line(error: Exception) -> str:
    """What onnxruntime says, short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def answering(where: str) -> Iterator[None]:
    """Inside, what onnxruntime raises is a BundleError: the graph fails on values that its
    signature allows.
    """
    try:
        yield
    except Exception as error:  # onnxruntime raises classes that it does not export
        raise BundleError(
            where, "a graph that answers what its signature allows", first_line(error), AGAIN
        ) from None
