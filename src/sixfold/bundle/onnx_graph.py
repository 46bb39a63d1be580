"""A model's graph as nodes, attributes and tensors: only operators and attributes that Sixfold
writes, only tensors whose bytes are as many as their shape says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.onnx_messages import Message, WireError, unpacked
from sixfold.bundle.onnx_operators import ATTRIBUTES, ML, VERSIONS

MOST_DIMS: Final = 6
LARGEST_DIM: Final = (1 << 31) - 1
FLOAT: Final = 1
STRING: Final = 8
DOUBLE: Final = 11
# TensorProto's data types that Sixfold writes → their NumPy type (strings have none).
TYPES: Final[dict[int, str]] = {
    FLOAT: "<f4",
    2: "u1",
    3: "i1",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    STRING: "",
    9: "?",
    DOUBLE: "<f8",
}
# Field of a tensor → the data types whose numbers it may hold, besides raw_data (9).
PAYLOADS: Final[dict[int, frozenset[int]]] = {
    4: frozenset({1}),
    5: frozenset({2, 3, 5, 6, 9}),
    6: frozenset({STRING}),
    7: frozenset({7}),
    10: frozenset({11}),
}
# Kind of an attribute → its type in the file, and the field that holds it.
KINDS: Final[dict[str, tuple[int, int]]] = {
    "float": (1, 2),
    "int": (2, 3),
    "string": (3, 4),
    "tensor": (4, 5),
    "body": (5, 6),
    "floats": (6, 7),
    "ints": (7, 8),
    "strings": (8, 9),
}


@dataclass(frozen=True)
class Tensor:
    """`message`: its fields, read and checked."""

    dims: tuple[int, ...]
    data_type: int
    message: Message

    @classmethod
    def of(cls, message: Message) -> Tensor:
        """Raises WireError where the bytes are not as many as the shape says, or of a type that is
        not written.
        """
        dims, data_type = tuple(message.get(1, [])), single(message, 2, 0)
        if (
            len(dims) > MOST_DIMS
            or any(dim > LARGEST_DIM for dim in dims)
            or data_type not in TYPES
        ):
            raise WireError(f"a tensor of type {data_type} and shape {list(dims)}")
        tensor, held = (
            cls(dims, data_type, message),
            [number for number in (*PAYLOADS, 9) if number in message],
        )
        if (tensor.size and len(held) != 1) or len(held) > 1:
            raise WireError(f"a tensor with {len(held)} lists of values")
        if held and tensor._count(held[0]) != tensor.size:
            raise WireError(
                f"a tensor of shape {list(dims)} with {tensor._count(held[0]):,} values"
            )
        return tensor

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.dims)

    def _count(self, field: int) -> float:
        values = self.message[field]
        if field == 9 and self.data_type != STRING:
            return len(values[0]) / np.dtype(TYPES[self.data_type]).itemsize
        if field == 9 or self.data_type not in PAYLOADS[field]:
            raise WireError(f"a tensor of type {self.data_type} with values of another one")
        if field == 6:
            return len(values)
        if field in (5, 7):
            return int(np.count_nonzero(np.frombuffer(values[0], dtype=np.uint8) < 0x80))
        return len(values[0]) / (4 if field == 4 else 8)

    def integers(self) -> npt.NDArray[np.int64]:
        """Its values in one row. Raises WireError for others than whole numbers."""
        if self.data_type not in (2, 3, 5, 6, 7):
            raise WireError("a tensor of others than whole numbers where a shape is due")
        if 9 in self.message:
            return np.frombuffer(self.message[9][0], dtype=TYPES[self.data_type]).astype(np.int64)
        return unpacked(next(iter(self.message.get(5) or self.message.get(7) or [b""])))

    def floats(self) -> npt.NDArray[np.float64]:
        """Its numbers in one row, as doubles. Raises WireError for others than floating ones."""
        if self.data_type not in (FLOAT, DOUBLE):
            raise WireError("a tensor of others than floating numbers where such are due")
        field = next((number for number in (9, 4, 10) if number in self.message), None)
        values = self.message[field][0] if field is not None else b""
        return np.frombuffer(values, dtype=TYPES[self.data_type]).astype(np.float64)

    def texts(self) -> tuple[str, ...]:
        """Its strings. Raises WireError for what is no UTF-8."""
        return tuple(text(value) for value in self.message.get(6, []))


@dataclass(frozen=True)
class Node:
    """An operator, the values that it takes ('' is left out) and gives, and its attributes by
    name.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """The whole numbers of a list; none where it is left out."""
        found = self.attributes.get(name)
        return np.empty(0, dtype=np.int64) if found is None else unpacked(found)

    def integer(self, name: str, default: int) -> int:
        """A whole number with its sign."""
        value = int(self.attributes.get(name, default))
        return value - (1 << 64) if value >> 63 else value


@dataclass(frozen=True)
class LoopBody:
    """What a Loop does again and again: the number of the round, whether it goes on, and states → whether
    it goes on, and states. Its nodes may take whatever was made before the loop.
    """

    nodes: Sequence[Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, message: Message) -> LoopBody:
        """Raises WireError for what Sixfold does not write."""
        names = [
            tuple(text(single(value, 1, b"")) for value in message.get(field, []))
            for field in (11, 12)
        ]
        return cls([_node(node) for node in message.get(1, [])], *names)


@dataclass(frozen=True)
class ModelGraph:
    """`inputs`, `outputs`: name → shape, None for the number of rows. Each value is made once,
    before it is taken.
    """

    nodes: Sequence[Node]
    tensors: Mapping[str, Tensor]
    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: Mapping[str, tuple[int | None, ...]]

    @classmethod
    def of(cls, model: Message) -> ModelGraph:
        """Raises WireError for what Sixfold does not write."""
        versions = {text(single(opset, 1, b"")): single(opset, 2, 0) for opset in model.get(8, [])}
        if any(version not in VERSIONS.get(domain, ()) for domain, version in versions.items()):
            raise WireError(f"operators of the versions {versions}")
        graph = single(model, 7, {})
        tensors = {
            text(single(message, 8, b"")): Tensor.of(message) for message in graph.get(5, [])
        }
        if len(tensors) != len(graph.get(5, [])):
            raise WireError("two tensors of one name")
        found = cls(
            [_node(message) for message in graph.get(1, [])],
            tensors,
            *(
                {text(single(value, 1, b"")): _shape(value) for value in graph.get(field, [])}
                for field in (11, 12)
            ),
        )
        found._check_order()
        return found

    def _check_order(self) -> None:
        known = {*self.tensors, *self.inputs}
        if len(known) != len(self.tensors) + len(self.inputs) or "" in known:
            raise WireError("two values of one name")
        inside: set[str] = set()  # of loops, which nothing else may take
        for node in self.nodes:
            if isinstance(body := node.attributes.get("body"), LoopBody):
                inside |= _made_in(body, known)
            _add_made(node, known)
        if known & inside:
            raise WireError("two values of one name")
        if not known.issuperset(self.outputs):
            raise WireError("an output that no node makes")


def _add_made(node: Node, known: set[str]) -> None:
    """To the values that are known. Raises WireError."""
    missing = next((name for name in node.inputs if name and name not in known), None)
    again = next((name for name in node.outputs if not name or name in known), None)
    if missing is not None or again is not None or len({*node.outputs}) != len(node.outputs):
        raise WireError(f"{node.operator} with a value that is not made before it, or made twice")
    known.update(node.outputs)


def _made_in(body: LoopBody, known: set[str]) -> set[str]:
    """The values of a body alone. Raises WireError."""
    own = set(body.inputs)
    if len(own) != len(body.inputs) or own & known or "" in own:
        raise WireError("two values of one name")
    inner = known | own
    for node in body.nodes:
        _add_made(node, inner)
    if not inner.issuperset(body.outputs):
        raise WireError("an output that no node makes")
    return inner - known


def _node(message: Message) -> Node:
    domain, operator = text(single(message, 7, b"")), text(single(message, 4, b""))
    known = ATTRIBUTES.get(f"{domain}.{operator}" if domain else operator)
    if known is None or domain not in ("", ML):
        raise WireError(f"the operator {shown(operator)}{f' of {shown(domain)}' if domain else ''}")
    attributes: dict[str, Any] = {}
    for attribute in message.get(5, []):
        name = text(single(attribute, 1, b""))
        if name not in known or name in attributes:
            raise WireError(
                f"the attribute {shown(name)} of {operator}{' twice' if name in attributes else ''}"
            )
        number, field = KINDS[known[name]]
        if single(attribute, 20, 0) != number or not {1, 20, field}.issuperset(attribute):
            raise WireError(
                f"the attribute {name} of {operator} as another kind than {known[name]}"
            )
        if known[name] == "tensor":
            attributes[name] = Tensor.of(single(attribute, field, {}))
        elif known[name] == "body":
            attributes[name] = LoopBody.of(single(attribute, field, {}))
        elif known[name] == "strings":
            attributes[name] = attribute.get(field, [])
        else:
            attributes[name] = single(attribute, field, b"" if known[name].endswith("s") else 0)
    inputs, outputs = (tuple(map(text, message.get(field, []))) for field in (1, 2))
    return Node(operator, inputs, outputs, attributes)


def _shape(value: Message) -> tuple[int | None, ...]:
    tensor = single(single(value, 2, {}), 1, {})
    return tuple(single(dim, 1, None) for dim in single(tensor, 2, {}).get(1, []))


def single(message: Message, number: int, default: Any) -> Any:
    """The value of a field that is given once, or `default`."""
    found = message.get(number)
    return found[0] if found else default


def text(value: bytes | memoryview) -> str:
    """Raises WireError for what is no UTF-8."""
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise WireError("a name that is no UTF-8") from None


def shown(name: str) -> str:
    """A name that came with the file, short."""
    return repr(name[:40])
