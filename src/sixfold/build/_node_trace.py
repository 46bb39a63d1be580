"""A forward pass as nodes of the graph: it runs once, on two rows, and each function of torch that it calls writes its nodes.

The numbers that flow are not looked at: what is kept of a value is its name in the graph. A function that stands in neither table
below, and one that reads how many rows there are or what they hold, is refused, so no number of the two rows gets into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from onnx import helper
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

from sixfold.parts.graph import Graph, TensorProto

ROWS: Final = 2  # of the example: enough that it cannot pass for a single row that is spread over others
ROOT, CUBIC = (2.0 / np.pi) ** 0.5, 0.044715  # gelu with tanh: Hendrycks and Gimpel, Gaussian error linear units, 2016
Number = torch.Tensor | float


def traced(forward: Callable[[torch.Tensor], torch.Tensor], graph: Graph, x: str, example: torch.Tensor) -> str:
    """The nodes of `forward` in `graph`, from the value `x`; `example`: [ROWS, features], in the type of `x`.

    Raises TypeError for a function of torch that has no nodes here.
    """
    trace = NodeTrace(graph)
    trace.remember(example, x)
    with torch.inference_mode(), trace:
        result = forward(example)
    return trace.value(result, result)


class NodeTrace(TorchFunctionMode):
    """What follows from the example has a name in the graph; every other tensor is a constant."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._names: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # as `_names` knows them by their place in memory

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do what is asked, and write it down. What only moves the numbers of a constant is done now, and no node."""
        options = kwargs or {}
        follows = any(self.follows(one) for one in _tensors(*args, *options.values()))
        written = COMPUTING.get(func) or (MOVING.get(func) if follows else None)
        if written is None and follows and func not in FREE:
            raise TypeError(f"{resolve_name(func) or func} has no nodes: {__name__} says which functions have")
        result = func(*args, **options)
        if written is not None and not self.follows(result):
            self.remember(result, written(self, result, *args, **options))
        return result

    def follows(self, tensor: object) -> bool:
        """Whether it was made from the example."""
        return id(tensor) in self._names

    def remember(self, tensor: torch.Tensor, name: str) -> None:
        """The name of what was computed."""
        self._names[id(tensor)] = name
        self._kept.append(tensor)

    def value(self, number: Number, like: torch.Tensor) -> str:
        """The name of a tensor or constant; a number of Python's gets the type of `like`."""
        if isinstance(number, torch.Tensor):
            return self._names.get(id(number)) or self.constant(number)
        return self.constant(torch.tensor(number, dtype=like.dtype))

    def constant(self, tensor: torch.Tensor, transposed: bool = False) -> str:
        """A double array of numbers that are single is stored as such and widened: as large as it was when it was learned."""
        if self.follows(tensor):
            raise TypeError("a tensor that follows from the features stands where only a constant can")
        array = (tensor.mT if transposed else tensor).numpy()
        if array.dtype == np.float64 and array.size > 1:
            with np.errstate(over="ignore"):
                single = array.astype(np.float32)
            if np.array_equal(single, array):
                return self.graph.cast(self.graph.constant(single), TensorProto.DOUBLE)
        return self.graph.constant(array)

    def vector(self, *numbers: int) -> str:
        """Axes, or a shape."""
        return self.graph.constant(numbers, np.int64)


def _tensors(*values: Any) -> list[torch.Tensor]:
    """Among arguments, and lists of them."""
    found = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _tensors(*value)
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return found


def _alone(operator: str) -> Callable[..., str]:
    """A function of one tensor."""
    return lambda trace, result, x: trace.graph.op(operator, trace.value(x, result))


def _pair(operator: str) -> Callable[..., str]:
    """A function of two, of which one may be a number."""

    def written(trace: NodeTrace, result: torch.Tensor, left: Number, right: Number) -> str:
        return trace.graph.op(operator, trace.value(left, result), trace.value(right, result))

    return written


def _linear(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> str:
    """Not Gemm: onnxruntime's dynamic quantization replaces MatMul, and fuses MatMul with Add otherwise."""
    product = trace.graph.op("MatMul", trace.value(x, result), trace.constant(weight, transposed=True))
    return trace.graph.op("Add", product, trace.constant(bias))


def _addcmul(trace: NodeTrace, result: torch.Tensor, add: torch.Tensor, x: torch.Tensor, factor: torch.Tensor) -> str:
    product = trace.graph.op("Mul", trace.value(x, result), trace.value(factor, result))
    return trace.graph.op("Add", product, trace.value(add, result))


def _layer_norm(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, shape: Sequence[int], **options: Any) -> str:
    """torch names `weight`, `bias` and `eps`."""
    parts = trace.value(x, result), trace.constant(options["weight"]), trace.constant(options["bias"])
    return trace.graph.op("LayerNormalization", *parts, axis=-len(shape), epsilon=options["eps"])


def _gelu(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *, approximate: str = "none") -> str:
    """The form with tanh: onnxruntime's Erf has no double."""
    if approximate != "tanh":
        raise TypeError("gelu has nodes in its form with tanh alone")
    value, op = trace.value(x, result), trace.graph.op
    root, cubic, half, one = (trace.value(number, result) for number in (ROOT, CUBIC, 0.5, 1.0))
    inner = op("Add", value, op("Mul", cubic, op("Mul", op("Mul", value, value), value)))
    return op("Mul", value, op("Mul", half, op("Add", one, op("Tanh", op("Mul", root, inner)))))


def _silu(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *, inplace: bool = False) -> str:
    value = trace.value(x, result)
    return trace.graph.op("Mul", value, trace.graph.op("Sigmoid", value))


def _embedding(trace: NodeTrace, result: torch.Tensor, rows: torch.Tensor, table: torch.Tensor, **_: object) -> str:
    return trace.graph.op("Gather", trace.constant(table), trace.value(rows, rows))


def _cat(trace: NodeTrace, result: torch.Tensor, parts: Sequence[torch.Tensor], dim: int) -> str:
    return trace.graph.op("Concat", *(trace.value(part, result) for part in parts), axis=dim % result.ndim)


def _softmax(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: int) -> str:
    return trace.graph.op("Softmax", trace.value(x, result), axis=dim % x.ndim)


def _mean(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: int) -> str:
    return trace.graph.op("ReduceMean", trace.value(x, result), trace.vector(dim % x.ndim), keepdims=0)


def _cast(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *_: object) -> str:
    kind = helper.np_dtype_to_tensor_dtype(result.numpy().dtype)
    return trace.graph.cast(trace.value(x, result), kind)


def _unsqueeze(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: int) -> str:
    return trace.graph.op("Unsqueeze", trace.value(x, result), trace.vector(dim % result.ndim))


def _flatten(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, start: int) -> str:
    """Of the last axes; 0 stands for as many as there are."""
    if start % x.ndim == 0:
        raise TypeError("the number of rows cannot be multiplied into one axis")
    return trace.graph.op("Reshape", trace.value(x, result), trace.vector(*[0] * (result.ndim - 1), result.shape[-1]))


def _index_select(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: int, index: torch.Tensor) -> str:
    return trace.graph.op("Gather", trace.value(x, result), trace.constant(index), axis=dim % x.ndim)


# A node even where all is known before: a product of single numbers, done now in double, would be stored twice as large.
COMPUTING: Final[dict[Any, Callable[..., str]]] = {
    **dict.fromkeys((torch.relu, torch.Tensor.relu), _alone("Relu")),
    torch.tanh: _alone("Tanh"),
    torch.sigmoid: _alone("Sigmoid"),
    torch.Tensor.cos: _alone("Cos"),
    torch.Tensor.sin: _alone("Sin"),
    torch.Tensor.add: _pair("Add"),
    torch.Tensor.mul: _pair("Mul"),
    torch.Tensor.matmul: _pair("MatMul"),
    torch.addcmul: _addcmul,
    torch.Tensor.softmax: _softmax,
    torch.Tensor.mean: _mean,
    functional.linear: _linear,
    functional.layer_norm: _layer_norm,
    functional.gelu: _gelu,
    functional.silu: _silu,
    functional.embedding: _embedding,
}
MOVING: Final[dict[Any, Callable[..., str]]] = {
    **dict.fromkeys((torch.Tensor.to, torch.Tensor.double, torch.Tensor.long), _cast),
    torch.Tensor.unsqueeze: _unsqueeze,
    torch.Tensor.flatten: _flatten,
    torch.Tensor.index_select: _index_select,
    torch.cat: _cat,
}
# What may be asked of a tensor, as it does not depend on the rows.
FREE: Final = frozenset(getattr(torch.Tensor, name).__get__ for name in ("ndim", "dtype", "device"))
