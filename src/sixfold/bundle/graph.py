"""What onnxruntime may be given: a model whose tensors are all inside it. A small reader of protobuf's wire format.

ONNX lets a tensor name a file instead of holding its bytes; such a name can point anywhere. So, before a
session is made, every tensor of the model is visited; one that is kept elsewhere refuses the model. The field numbers
are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import onnxruntime as ort

from sixfold.core.errors import BundleError

AGAIN: Final = "Run the recipe again: Sixfold writes models that hold all of their tensors."
DEEPEST: Final = 64  # nested messages; a graph in a graph takes four

# message → field number → message of that field
NESTED: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA: Final = 13
DATA_LOCATION: Final = 14


class Field(NamedTuple):
    """One field of a message: its number, and its bytes or its number as value."""

    number: int
    value: memoryview | int


class WireError(ValueError):
    """Bytes that are no protobuf message."""


def check_self_contained(model: bytes, where: str) -> None:
    """Raises BundleError when a tensor of the model is kept in another file, or the bytes are no model."""
    try:
        external = next(_external(memoryview(model), "model", 0), None)
    except WireError as error:
        raise BundleError(where, "an ONNX model", str(error), AGAIN) from None
    if external is not None:
        raise BundleError(where, "tensors inside the model", f"external data ({external})", AGAIN)


def session(model: bytes, where: str) -> ort.InferenceSession:
    """A session on one thread, the way a receipt's latency was measured. Raises BundleError."""
    check_self_contained(model, where)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes that it does not export
        problem = str(error).splitlines()[0][:300]
        raise BundleError(where, "a model that onnxruntime can run", problem, AGAIN) from None


def _external(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise WireError(f"messages nested deeper than {DEEPEST}")
    for field in _fields(message):
        if kind == "tensor":
            if field.number == EXTERNAL_DATA or (field.number == DATA_LOCATION and field.value != 0):
                yield f"field {field.number} of a tensor"
            continue
        inner = NESTED[kind].get(field.number)
        if inner is not None and isinstance(field.value, memoryview):
            yield from _external(field.value, inner, depth + 1)


def _fields(message: memoryview) -> Iterator[Field]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            number, position = _varint(message, position)
            yield Field(key >> 3, number)
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise WireError(f"wire type {wire_type} at byte {position}")
        if position + length > len(message):
            raise WireError("a field longer than its message")
        yield Field(key >> 3, message[position : position + length])
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise WireError("bytes that end in the middle of a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("a number longer than ten bytes")
