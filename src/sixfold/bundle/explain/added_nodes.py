"""Nodes and constants that are written behind those of a graph that was read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.onnx_graph import KINDS, TYPES
from sixfold.bundle.onnx_messages import Message, encoded

WHOLE: Final = 7  # int64, as a tensor's data type
STEM: Final = "//"  # names of a graph have one slash, at most, in front


class AddedNodes:
    """Grows by `add`; a value is its name. `nodes` and `tensors` are messages, as
    `onnx_messages` writes them.
    """

    def __init__(self) -> None:
        self.nodes: list[Message] = []
        self.tensors: list[Message] = []
        self._known: dict[tuple[int, tuple[int, ...], bytes], str] = {}

    def add(self, operator: str, *inputs: str, **attributes: int | str | Sequence[int]) -> str:
        """A node with one output; its name. '' stands for an input that is left out."""
        name = f"{STEM}{operator}_{len(self.nodes)}"
        node: Message = {
            1: [each.encode() for each in inputs],
            2: [name.encode()],
            4: [operator.encode()],
        }
        if attributes:
            node[5] = [_attribute(key, value) for key, value in attributes.items()]
        self.nodes.append(node)
        return name

    def whole(self, values: Sequence[int]) -> str:
        """A list of whole numbers."""
        return self.constant(np.array(values, dtype="<i8"), WHOLE)

    def constant(self, values: npt.NDArray[Any], data_type: int) -> str:
        """An initializer; equal ones are written once. `data_type`: as TensorProto numbers them."""
        array = np.asarray(values, dtype=TYPES[data_type])
        key = data_type, array.shape, array.tobytes()
        if key not in self._known:
            name = f"{STEM}constant_{len(self.tensors)}"
            tensor: Message = {2: [data_type], 8: [name.encode()], 9: [key[2]]}
            if array.ndim:
                tensor[1] = list(array.shape)
            self.tensors.append(tensor)
            self._known[key] = name
        return self._known[key]


def _attribute(name: str, value: int | str | Sequence[int]) -> Message:
    kind, held = _held(value)
    number, field = KINDS[kind]
    return {1: [name.encode()], field: [held], 20: [number]}


def _held(value: int | str | Sequence[int]) -> tuple[str, int | bytes]:
    """The kind of an attribute, and what is written of it."""
    if isinstance(value, int):
        return "int", _unsigned(value)
    if isinstance(value, str):
        return "string", value.encode()
    return "ints", b"".join(encoded(_unsigned(each)) for each in value)


def _unsigned(value: int) -> int:
    """The two's complement in 64 bits."""
    return int(value) & ((1 << 64) - 1)
