"""The tensors of a forward pass and the names of their values in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sixfold.parts.graph import Graph, TensorProto

Number = torch.Tensor | float


class NodeNames:
    """What follows from the example has a name in the graph; every other tensor is a constant."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._names: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # as `_names` knows them by their place in memory

    def follows(self, tensor: object) -> bool:
        """Whether it was made from the example."""
        return id(tensor) in self._names

    def remember(self, tensor: torch.Tensor, name: str) -> None:
        """The name of what was computed."""
        self._names[id(tensor)] = name
        self._kept.append(tensor)

    def remember_all(self, result: Any, names: Any) -> None:
        """The same of one tensor, or of several."""
        if isinstance(names, list):
            for tensor, name in zip(result, names, strict=True):
                self.remember(tensor, name)
        else:
            self.remember(result, names)

    def value(self, number: Number, like: torch.Tensor) -> str:
        """The name of a tensor or constant; a number of Python's gets the type of `like`."""
        if isinstance(number, torch.Tensor):
            return self._names.get(id(number)) or self.constant(number)
        return self.constant(torch.tensor(number, dtype=like.dtype))

    def constant(self, tensor: torch.Tensor, transposed: bool = False) -> str:
        """A double array of numbers that are single is stored as such and widened: as large as it
        was when it was learned.
        """
        if self.follows(tensor):
            raise TypeError(
                "a tensor that follows from the features stands where only a constant can"
            )
        array = (tensor.mT if transposed else tensor).detach().numpy()
        if array.dtype == np.float64 and array.size > 1:
            with np.errstate(over="ignore"):
                single = array.astype(np.float32)
            if np.array_equal(single, array):
                return self.graph.cast(self.graph.constant(single), TensorProto.DOUBLE)
        return self.graph.constant(array)

    def vector(self, *numbers: int) -> str:
        """Axes, or a shape."""
        return self.graph.constant(numbers, np.int64)

    def share_memory(self, tensor: torch.Tensor) -> bool:
        """Whether another tensor that is known lies in the same place."""
        place = tensor.untyped_storage().data_ptr()
        return any(
            kept.untyped_storage().data_ptr() == place for kept in self._kept if kept is not tensor
        )
