"""The bytes of an ONNX model with its lists of numbers packed: a tree ensemble's are most of its
file.

protobuf's own writer puts a tag before every number of a list, as onnx.proto asks; every reader has
to take the packed form as well (protobuf.dev/programming-guides/encoding, "packed"). Field numbers
are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx

GRAPH: Final = 7  # of a model
NODE: Final = 1  # of a graph
ATTRIBUTE: Final = 5  # of a node
BODY: Final = 6  # of an attribute: what a loop does
FLOATS: Final = 7
INTS: Final = 8


def packed(model: onnx.ModelProto) -> bytes:
    """The model's bytes; read again they are the same model."""
    return _with(model, "graph", GRAPH, [_graph(model.graph)])


def _graph(graph: onnx.GraphProto) -> bytes:
    return _with(graph, "node", NODE, [_node(node) for node in graph.node])


def _node(node: onnx.NodeProto) -> bytes:
    return _with(
        node, "attribute", ATTRIBUTE, [_attribute(attribute) for attribute in node.attribute]
    )


def _attribute(attribute: onnx.AttributeProto) -> bytes:
    floats = np.array(attribute.floats, dtype="<f4").tobytes()
    rest = onnx.AttributeProto()
    rest.CopyFrom(attribute)
    rest.ClearField("floats")
    rest.ClearField("ints")
    rest.ClearField("g")
    found = [rest.SerializeToString(deterministic=True)]
    if attribute.HasField("g"):
        found.append(_field(BODY, _graph(attribute.g)))
    if floats:
        found.append(_field(FLOATS, floats))
    if attribute.ints:
        found.append(_field(INTS, b"".join(map(_varint, attribute.ints))))
    return b"".join(found)


def _with(message: Any, name: str, number: int, parts: Sequence[bytes]) -> bytes:
    """A message with field `name` written as `parts`: fields may come in any order."""
    rest = type(message)()
    rest.CopyFrom(message)
    rest.ClearField(name)
    return b"".join(
        [rest.SerializeToString(deterministic=True), *(_field(number, part) for part in parts)]
    )


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: its tag, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number is its two's complement in 64 bits."""
    value &= (1 << 64) - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
