"""The messages of an ONNX model: read strictly, and written anew from what was read.

protobuf lets a message be written in many ways, and readers differ in which of them they take: what
one skips as unknown is the name of a file to another. So there is one way here: the fields below
and no other, each with its one wire type, a single field once, keys and numbers in as few bytes as
they need, lists of numbers packed (but `dims`, which protobuf's own writer does not pack). What is
read is written again field by field, and only these bytes go to onnxruntime.

Field numbers are those of onnx.proto; the wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

MOST_FIELDS: Final = 1 << 20  # of a whole model: a vocabulary of 100,000 levels has a field each
MOST_MESSAGES: Final = 1 << 17  # nodes, attributes, tensors; 5,000 columns need some thousands
LARGEST_KEY: Final = (1 << 32) - 1
SMALL: Final = 1 << 12  # bytes of a value that are copied: a view of them would take more
INLINE: Final = 1 << 16  # bytes of a value that are put together with their neighbors when written

Wire = Literal["number", "float", "bytes", "numbers", "floats", "doubles", "message"]
Message = dict[int, list[Any]]  # field number → its values: int, bytes, memoryview or Message
WIRE_TYPES: Final[dict[Wire, int]] = {
    "number": 0,
    "float": 5,
    "bytes": 2,
    "numbers": 2,
    "floats": 2,
    "doubles": 2,
    "message": 2,
}


class Field(NamedTuple):
    """How a field of a message is written. `inner`: the kind of message that it holds."""

    name: str
    wire: Wire
    repeated: bool = False
    inner: str = ""


class WireError(ValueError):
    """Bytes that are no model as Sixfold writes one."""


FIELDS: Final[dict[str, dict[int, Field]]] = {
    "model": {
        1: Field("ir_version", "number"),
        2: Field("producer_name", "bytes"),
        7: Field("graph", "message", inner="graph"),
        8: Field("opset_import", "message", True, "opset"),
        14: Field("metadata_props", "message", True, "entry"),
    },
    "opset": {1: Field("domain", "bytes"), 2: Field("version", "number")},
    "entry": {1: Field("key", "bytes"), 2: Field("value", "bytes")},
    "graph": {
        1: Field("node", "message", True, "node"),
        2: Field("name", "bytes"),
        5: Field("initializer", "message", True, "tensor"),
        11: Field("input", "message", True, "value"),
        12: Field("output", "message", True, "value"),
    },
    "body": {  # of a Loop: its tensors lie in the graph around it
        1: Field("node", "message", True, "body_node"),
        2: Field("name", "bytes"),
        11: Field("input", "message", True, "value"),
        12: Field("output", "message", True, "value"),
    },
    "node": {
        1: Field("input", "bytes", True),
        2: Field("output", "bytes", True),
        3: Field("name", "bytes"),
        4: Field("op_type", "bytes"),
        5: Field("attribute", "message", True, "attribute"),
        7: Field("domain", "bytes"),
    },
    "attribute": {
        1: Field("name", "bytes"),
        2: Field("f", "float"),
        3: Field("i", "number"),
        4: Field("s", "bytes"),
        5: Field("t", "message", inner="tensor"),
        6: Field("g", "message", inner="body"),
        7: Field("floats", "floats"),
        8: Field("ints", "numbers"),
        9: Field("strings", "bytes", True),
        20: Field("type", "number"),
    },
    "tensor": {
        1: Field("dims", "number", True),
        2: Field("data_type", "number"),
        4: Field("float_data", "floats"),
        5: Field("int32_data", "numbers"),
        6: Field("string_data", "bytes", True),
        7: Field("int64_data", "numbers"),
        8: Field("name", "bytes"),
        9: Field("raw_data", "bytes"),
        10: Field("double_data", "doubles"),
    },
    "value": {1: Field("name", "bytes"), 2: Field("type", "message", inner="type")},
    "type": {1: Field("tensor_type", "message", inner="tensor_type")},
    "tensor_type": {1: Field("elem_type", "number"), 2: Field("shape", "message", inner="shape")},
    "shape": {1: Field("dim", "message", True, "dim")},
    "dim": {1: Field("dim_value", "number"), 2: Field("dim_param", "bytes")},
}
# Nodes of a body are as others, but hold no body of their own: what is nested has an end.
FIELDS["body_node"] = {**FIELDS["node"], 5: Field("attribute", "message", True, "body_attribute")}
FIELDS["body_attribute"] = {
    number: field for number, field in FIELDS["attribute"].items() if field.inner != "body"
}
EXTERNAL: Final = {13: "external data", 14: "external data"}  # of a tensor: where else it may lie


def read(model: bytes) -> Message:
    """The model's fields. Raises WireError for whatever is not written as above."""
    return _MessageReader().message(memoryview(model), "model")


def written(message: Message, kind: str = "model") -> list[bytes | memoryview]:
    """The bytes of a message, in parts: fields by their number, large values as they lie."""
    writer = _Writer()
    writer.message(message, kind)
    return writer.parts()


class _MessageReader:
    """Counts what it has read: a small file can hold many empty fields."""

    def __init__(self) -> None:
        self.fields = self.messages = 0

    def message(self, data: memoryview, kind: str) -> Message:
        """The fields of one message, read through to its end."""
        self.messages += 1
        if self.messages > MOST_MESSAGES:
            raise WireError(f"more than {MOST_MESSAGES:,} messages")
        found: Message = {}
        known, position = FIELDS[kind], 0
        while position < len(data):
            key, position = varint(data, position)
            field = known.get(key >> 3)
            if key > LARGEST_KEY or field is None or key & 7 != WIRE_TYPES[field.wire]:
                raise WireError(_foreign(key, kind))
            value, position = self._value(data, position, field)
            values = found.setdefault(key >> 3, [])
            if values and not field.repeated:
                raise WireError(f"the field {field.name} of a {kind} twice")
            values.append(value)
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise WireError(f"more than {MOST_FIELDS:,} fields")
        return found

    def _value(self, data: memoryview, position: int, field: Field) -> tuple[Any, int]:
        wire = field.wire
        if wire == "number":
            return varint(data, position)
        if wire == "float":
            length = 4
        else:
            length, position = varint(data, position)
        end = position + length
        if end > len(data):
            raise WireError(f"a field {field.name} longer than its message")
        content = data[position:end]
        if wire == "message":
            return self.message(content, field.inner), end
        if wire == "numbers":
            check_packed(content, field.name)
        elif wire in ("floats", "doubles") and length % (4 if wire == "floats" else 8):
            raise WireError(f"a list {field.name} that ends in the middle of a number")
        return content.tobytes() if length < SMALL else content, end


def _foreign(key: int, kind: str) -> str:
    if kind == "tensor" and (key & LARGEST_KEY) >> 3 in EXTERNAL:
        return f"external data (field {key >> 3} of a tensor)"
    return f"field {key >> 3} of type {key & 7} in a {kind}, which Sixfold does not write"


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number in as few bytes as it needs, below 2^64, and the position after it. Raises
    WireError.
    """
    if position < len(data) and (value := data[position]) < 0x80:  # most are
        return value, position + 1
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError("bytes that end in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or value >> 64:
                raise WireError("a number in more bytes than it needs")
            return value, position
    raise WireError("a number longer than ten bytes")


def check_packed(content: memoryview, name: str) -> None:
    """Raises WireError for numbers of a list that are not written in as few bytes as they need."""
    data = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(data < 0x80)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        raise WireError(f"a list {name} that ends in the middle of a number")
    lengths = np.diff(ends, prepend=-1)
    last = data[ends]
    if bool(
        ((lengths > 10) | ((lengths > 1) & (last == 0)) | ((lengths == 10) & (last > 1))).any()
    ):
        raise WireError(f"a list {name} with a number in more bytes than it needs")


def unpacked(content: bytes | memoryview) -> npt.NDArray[np.int64]:
    """The numbers of a packed list that was checked; negative ones are the two's complement in 64
    bits.
    """
    data = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(data < 0x80)
    starts, found = (
        np.concatenate([[0], ends[:-1] + 1]).astype(np.int64),
        np.zeros(len(ends), dtype=np.uint64),
    )
    for place in range(int((ends - starts).max(initial=-1)) + 1):
        among = starts + place <= ends
        found[among] |= (data[starts[among] + place] & 0x7F).astype(np.uint64) << np.uint64(
            7 * place
        )
    return found.view(np.int64)


class _Writer:
    """Puts small values together; a large one stays where it lies until all are joined."""

    def __init__(self) -> None:
        self._parts: list[bytes | bytearray | memoryview] = []
        self._tail = bytearray()

    def parts(self) -> list[Any]:
        """What was written, in order."""
        return [*self._parts, self._tail]

    def add(self, content: bytes | bytearray | memoryview) -> None:
        """The next bytes."""
        if len(content) <= INLINE:
            self._tail += content
            return
        self._parts += [self._tail, content]
        self._tail = bytearray()

    def message(self, message: Message, kind: str) -> None:
        """The fields by their number; of one number in their order."""
        for number in sorted(message):
            field = FIELDS[kind][number]
            key = encoded(number << 3 | WIRE_TYPES[field.wire])
            for value in message[number]:
                self._tail += key
                self._value(value, field)

    def _value(self, value: Any, field: Field) -> None:
        if field.wire == "number":
            self._tail += encoded(value)
        elif field.wire == "float":
            self._tail += value
        elif field.wire == "message":
            inner = _Writer()
            inner.message(value, field.inner)
            parts = inner.parts()
            self._tail += encoded(sum(map(len, parts)))
            for part in parts:
                self.add(part)
        else:
            self._tail += encoded(len(value))
            self.add(value)


def encoded(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if value < 0x80:
        return value.to_bytes(1, "little")
    return bytes(_sevens(value))


def _sevens(value: int) -> Iterator[int]:
    while value >= 0x80:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
