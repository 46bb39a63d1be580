"""Slopes of a graph's answers in its features, by another graph, which is made of it when it is first
needed: nodes that go back from the answers (`slope_rules`) are written behind those that are there,
and onnxruntime runs both. The bundle keeps the one graph that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle import onnx_shapes
from sixfold.bundle.explain.added_nodes import AddedNodes
from sixfold.bundle.explain.features import NamedFeatures
from sixfold.bundle.explain.slope_rules import (
    RULES,
    TOGETHER,
    Backstep,
    NoRuleError,
    taken_from,
)
from sixfold.bundle.graph import CheckedModel, answering, session_on
from sixfold.bundle.onnx_graph import DOUBLE, FLOAT, ModelGraph, Node
from sixfold.bundle.onnx_messages import Message, written

Floats = npt.NDArray[np.float64]
BOOL: Final = 9
WHOLE: Final = 7
FLOATING: Final = frozenset({FLOAT, DOUBLE})
TRUE_OR_FALSE: Final = frozenset(
    {"Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not"}
)
NUMBERED: Final = frozenset({"ArgMax", "LabelEncoder"})
# Their answers are steps: slopes of 0 would say that nothing counts.
STEPS: Final = frozenset(
    {"DynamicQuantizeLinear", "Floor", "MatMulInteger", "QuantizeLinear", "Round", "TreeEnsemble"}
)
SHORT: Final = frozenset({2, 3, 5})  # whole numbers that a value is rounded to; codes are longer
SEED, SLOPES = "//seed", "//slopes"
PASSES: Final = 4  # cells of both ways, as a multiple of those of the way to the answers; guessed


class Sloped(NamedTuple):
    """Of points: `answers` [n, outputs], `slopes` [n, features, K]."""

    answers: Floats
    slopes: Floats


@dataclass(frozen=True)
class SlopedFeatures:
    """Answers to features, and slopes of K `chosen` ones of its `outputs`. `add_up`: they are all the
    probabilities there are, so that the last one's slopes follow from the others'.
    """

    session: Any
    named: NamedFeatures
    output: str
    outputs: int
    chosen: tuple[int, ...]
    add_up: bool
    rows_at_once: int
    where: str

    @classmethod
    def of(
        cls, model: CheckedModel, named: NamedFeatures, output: str, rows_at_once: int, where: str
    ) -> SlopedFeatures:
        """Raises NoRuleError for a graph with a node whose slopes are not known, WireError for one
        whose answers take more than the features, BundleError.
        """
        part = model.part_behind(named.value, named.elem_type, named.width, output)
        graph = ModelGraph.of(part)
        whole = _with_slopes(part, graph, named, output)
        session = session_on(b"".join(written(whole)), where)
        outputs = graph.outputs[output][1] or 1
        every, add_up = tuple(range(outputs)), output == "probability" and outputs > 1
        at_once = max(1, rows_at_once // PASSES)
        return cls(session, named, output, outputs, every, add_up, at_once, where)

    def of_output(self, number: int) -> SlopedFeatures:
        """Slopes of this one alone."""
        return replace(self, chosen=(number,), add_up=False)

    @property
    def passes(self) -> int:
        """Rows that the model answers for one point."""
        return len(self.chosen) - self.add_up

    def __call__(self, x: Floats) -> Sloped:
        """[n, features], n at least 1."""
        kind = np.float32 if self.named.elem_type == FLOAT else np.float64
        pieces = [
            self._asked(x[start : start + self.rows_at_once].astype(kind, copy=False))
            for start in range(0, len(x), self.rows_at_once)
        ]
        if len(pieces) == 1:
            return pieces[0]
        return Sloped(*(np.concatenate(each) for each in zip(*pieces, strict=True)))

    def _asked(self, x: npt.NDArray[Any]) -> Sloped:
        slopes = np.empty((*x.shape, len(self.chosen)))
        for place, output in enumerate(self.chosen[: self.passes]):
            seed = np.zeros((len(x), self.outputs))
            seed[:, output] = 1.0
            with answering(self.where):
                answers, found = self.session.run(
                    [self.output, SLOPES], {self.named.value: x, SEED: seed}
                )
            slopes[:, :, place] = found
        if self.add_up:
            slopes[:, :, -1] = -slopes[:, :, :-1].sum(axis=2)
        return Sloped(np.asarray(answers), slopes)


def _with_slopes(part: Message, graph: ModelGraph, named: NamedFeatures, output: str) -> Message:
    """The graph with one more input, the weights of the answers [rows, K], and one more output, the
    slopes of their sum [rows, features]. Raises NoRuleError.
    """
    way = _WayBack.of(graph, named)
    slopes = way.to_features(output)
    write, held = way.write, part[7][0]
    write.nodes.append({1: [slopes.encode()], 2: [SLOPES.encode()], 4: [b"Identity"]})
    shape = {1: [{2: [b"rows"]}, {1: [graph.outputs[output][1] or 1]}]}
    seed = {1: [SEED.encode()], 2: [{1: [{1: [DOUBLE], 2: [shape]}]}]}
    found = {1: [SLOPES.encode()], 2: [{1: [{1: [named.elem_type]}]}]}
    inner = {
        **held,
        1: [*map(_with_places, held.get(1, [])), *write.nodes],
        5: [*held.get(5, []), *write.tensors],
        11: [*held[11], seed],
        12: [*held[12], found],
    }
    return {**part, 7: [inner]}


def _with_places(message: Message) -> Message:
    """A MaxPool tells where it took its values from."""
    if bytes(message[4][0]) != b"MaxPool":
        return message
    name = bytes(message[2][0]).decode()
    node = Node("MaxPool", (), (name,), {})
    return {**message, 2: [*message[2], taken_from(node).encode()]}


@dataclass(frozen=True)
class _WayBack:
    """From the answers to the features. `follow`: floating values that are made of these."""

    graph: ModelGraph
    named: NamedFeatures
    shapes: Mapping[str, onnx_shapes.Shape]
    types: Mapping[str, int]
    follow: frozenset[str]
    write: AddedNodes

    @classmethod
    def of(cls, graph: ModelGraph, named: NamedFeatures) -> _WayBack:
        """Raises NoRuleError for answers that are steps."""
        types = types_of(graph, {named.value: named.elem_type})
        follow = {named.value}
        for node in graph.nodes:
            if follow.isdisjoint(node.inputs):
                continue
            if node.operator in STEPS or (
                node.operator == "Cast" and types[node.outputs[0]] in SHORT
            ):
                raise NoRuleError(f"{node.operator}, whose answers are steps")
            follow.update(name for name in node.outputs if types[name] in FLOATING)
        shapes = onnx_shapes.shapes(graph)
        return cls(graph, named, shapes, types, frozenset(follow), AddedNodes())

    def to_features(self, output: str) -> str:
        """The name of the slopes. Raises NoRuleError."""
        found: dict[str, str] = {output: SEED}
        for node in reversed(self.graph.nodes):
            slopes = tuple(found.get(name, "") for name in node.outputs)
            wanted = [at for at, name in enumerate(node.inputs) if name in self.follow]
            if not wanted or not any(slopes):
                continue
            for at, slope in self._handed_back(node, frozenset(wanted), slopes).items():
                name = node.inputs[at]
                found[name] = self.write.add("Add", found[name], slope) if name in found else slope
        if self.named.value not in found:
            raise NoRuleError("answers that do not follow the features")
        return found[self.named.value]

    def _handed_back(
        self, node: Node, wanted: frozenset[int], slopes: tuple[str, ...]
    ) -> dict[int, str]:
        if node.operator not in RULES:
            raise NoRuleError(node.operator)
        step = Backstep(
            self.write, node, wanted, slopes, self.shapes, self.types, self.graph.tensors
        )
        found = RULES[node.operator](step)
        if node.operator in TOGETHER:
            made = self.shapes[node.outputs[0]]
            found = {at: step.summed(each, made, step.shape(at)) for at, each in found.items()}
        return found


def types_of(graph: ModelGraph, inputs: Mapping[str, int]) -> dict[str, int]:
    """The type of every value, from those of the inputs."""
    types = {name: tensor.data_type for name, tensor in graph.tensors.items()} | dict(inputs)
    for node in graph.nodes:
        for at, name in enumerate(node.outputs):
            types[name] = _type(node, types) if at == 0 else _type_beside(node, types)
    return types


def _type(node: Node, types: Mapping[str, int]) -> int:
    """Of the first output."""
    if node.operator == "Cast":
        return node.integer("to", FLOAT)
    if node.operator in TRUE_OR_FALSE:
        return BOOL
    if node.operator in NUMBERED:
        return WHOLE
    if node.operator in ("Where", "DequantizeLinear"):
        return types[node.inputs[1]]
    return types[node.inputs[0]]


def _type_beside(node: Node, types: Mapping[str, int]) -> int:
    """Of the others."""
    return WHOLE if node.operator == "TopK" else types[node.inputs[0]]
