"""A forward pass as nodes of the graph: it runs once, on two rows, and each function of torch that it calls writes its nodes.

The numbers that flow are not looked at: what is kept of a value is its name in the graph. A function that stands in neither table
below, and one that reads what the rows hold, is refused. A pass that asks for sizes runs once more on three rows, and has to give
the same nodes: no number of the two rows gets into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from onnx import helper
from torch.nn import functional
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function, resolve_name

from sixfold.parts.graph import Graph, TensorProto

ROWS: Final = 2  # of the example: enough that it cannot pass for a single row that is spread over others
ROOT, CUBIC = (2.0 / np.pi) ** 0.5, 0.044715  # gelu with tanh: Hendrycks and Gimpel, Gaussian error linear units, 2016
Number = torch.Tensor | float
Axes = int | Sequence[int]


def pointwise_convolution(
    x_BCHW: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, step: int
) -> torch.Tensor:
    """A convolution of 1 × 1 that takes the places of its step first: torch's own kernel for it (2.13, processor, channels last)
    writes beyond its memory where channels are no multiple of 8, as after pruning. A mode sees it as one function, and so it is
    one convolution in a graph.
    """
    if has_torch_function((x_BCHW, weight)):
        given = x_BCHW, weight
        return handle_torch_function(pointwise_convolution, given, *given, bias, step)
    return functional.conv2d(x_BCHW[:, :, ::step, ::step], weight, bias)


def traced(forward: Callable[[torch.Tensor], torch.Tensor], graph: Graph, x: str, example: torch.Tensor) -> str:
    """The nodes of `forward` in `graph`, from the value `x`; `example`: [ROWS, …], in the type of `x`.

    Raises TypeError for a function of torch that has no nodes here, and where the number of rows would stand in a node.
    """
    trace = NodeTrace(graph)
    name = trace.through(forward, x, example)
    if trace.asked_sizes:  # equal nodes are one in a graph
        again = NodeTrace(graph).through(forward, x, torch.cat([example, example[:1]]))
        if again != name:
            raise TypeError("another number of rows gives other nodes: it stands in one of them")
    return name


class NodeTrace(TorchFunctionMode):
    """What follows from the example has a name in the graph; every other tensor is a constant."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.asked_sizes = False
        self._problem = ""
        self._names: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # as `_names` knows them by their place in memory

    def through(self, forward: Callable[[torch.Tensor], torch.Tensor], x: str, example: torch.Tensor) -> str:
        """The name of what `forward` makes of `example`, which is the value `x`."""
        self.remember(example, x)
        with torch.inference_mode(), self:
            result = forward(example)
        if self._problem:
            raise TypeError(self._problem)
        return self.value(result, result)

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
        in_place = IN_PLACE.get(func) if follows else None
        self.asked_sizes |= follows and func in SIZES
        if written is None and in_place is None and follows and func not in FREE | SIZES:
            raise TypeError(f"{resolve_name(func) or func} has no nodes: {__name__} says which functions have")
        if follows and options.get("inplace"):
            raise TypeError(f"{resolve_name(func)} has nodes where it changes nothing in its place")
        if in_place is not None:
            return self._changed(in_place, func, *args)
        result = func(*args, **options)
        if written is not None and not self.follows(result):
            self.remember_all(result, written(self, result, *args, **options))
        return result

    def _changed(self, written: Callable[..., str], func: Callable[..., Any], x: torch.Tensor, other: Number) -> Any:
        """What is written into its own place has another name from then on; nothing else may look at that place.

        That is told at the end: Python does `a = a + b` where `a += b` raises a TypeError.
        """
        places = [kept.untyped_storage().data_ptr() for kept in self._kept if kept is not x]
        if not self.follows(x) or x.untyped_storage().data_ptr() in places:
            self._problem = "a tensor that others look at is changed in its place"
        name = written(self, x, x, other)
        result = func(x, other)
        self.remember(x, name)
        return result

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
        """A double array of numbers that are single is stored as such and widened: as large as it was when it was learned."""
        if self.follows(tensor):
            raise TypeError("a tensor that follows from the features stands where only a constant can")
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


def _turned(trace: NodeTrace, result: torch.Tensor, left: torch.Tensor, right: Number) -> str:
    """right - left."""
    return trace.graph.op("Sub", trace.value(right, result), trace.value(left, result))


def _not_equal(trace: NodeTrace, result: torch.Tensor, left: torch.Tensor, right: Number) -> str:
    return trace.graph.op("Not", trace.graph.op("Equal", trace.value(left, left), trace.value(right, left)))


def _reduction(operator: str) -> Callable[..., str]:
    """A function that leaves one number of each axis in `dim`."""

    def written(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: Axes, keepdim: bool = False) -> str:
        axes = (at % x.ndim for at in ((dim,) if isinstance(dim, int) else dim))
        return trace.graph.op(operator, trace.value(x, result), trace.vector(*axes), keepdims=int(keepdim))

    return written


def _relu(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *, inplace: bool = False) -> str:
    return trace.graph.op("Relu", trace.value(x, result))


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
    """In double the form with tanh alone: onnxruntime's Erf has no double."""
    if approximate != "tanh":
        return _exact_gelu(trace, result, x)
    value, op = trace.value(x, result), trace.graph.op
    root, cubic, half, one = (trace.value(number, result) for number in (ROOT, CUBIC, 0.5, 1.0))
    inner = op("Add", value, op("Mul", cubic, op("Mul", op("Mul", value, value), value)))
    return op("Mul", value, op("Mul", half, op("Add", one, op("Tanh", op("Mul", root, inner)))))


def _exact_gelu(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor) -> str:
    """x · (1 + erf(x / √2)) / 2."""
    if result.dtype != torch.float32:
        raise TypeError("gelu has nodes in single precision, or in its form with tanh")
    value, op = trace.value(x, result), trace.graph.op
    scale, half, one = (trace.value(number, result) for number in (0.5**0.5, 0.5, 1.0))
    return op("Mul", op("Mul", value, half), op("Add", op("Erf", op("Mul", value, scale)), one))


def _silu(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *, inplace: bool = False) -> str:
    value = trace.value(x, result)
    return trace.graph.op("Mul", value, trace.graph.op("Sigmoid", value))


def _embedding(trace: NodeTrace, result: torch.Tensor, rows: torch.Tensor, table: torch.Tensor, **_: object) -> str:
    return trace.graph.op("Gather", trace.constant(table), trace.value(rows, rows))


def _cat(trace: NodeTrace, result: torch.Tensor, parts: Sequence[torch.Tensor], dim: int) -> str:
    """A constant beside what follows from the rows is one row that was spread over them: one value follows, and is padded."""
    axis = dim % result.ndim
    if axis == 0 or all(trace.follows(part) for part in parts):
        return trace.graph.op("Concat", *(trace.value(part, result) for part in parts), axis=axis)
    (at, *more) = [number for number, part in enumerate(parts) if trace.follows(part)]
    shown = [part if number != at else torch.zeros_like(part) for number, part in enumerate(parts)]
    beside = torch.cat(shown, axis)
    if more or not all(torch.equal(row, beside[0]) for row in beside):
        raise TypeError("constants that differ from row to row stand beside what follows from the rows")
    before, behind = [0] * result.ndim, [0] * result.ndim
    before[axis] = sum(part.shape[axis] for part in parts[:at])
    behind[axis] = sum(part.shape[axis] for part in parts[at + 1 :])
    padded = trace.graph.op("Pad", trace.value(parts[at], result), trace.vector(*before, *behind))
    return trace.graph.op("Add", padded, trace.constant(beside[:1]))


def _softmax(
    trace: NodeTrace,
    result: torch.Tensor,
    x: torch.Tensor,
    dim: int,
    *,
    dtype: torch.dtype | None = None,
    **_: object,
) -> str:
    """In the type of `x`. torch's function names the level of its own warning, too."""
    if dtype not in (None, x.dtype):
        raise TypeError("softmax has nodes in the type of what it is given")
    return trace.graph.op("Softmax", trace.value(x, result), axis=dim % x.ndim)


@dataclass(frozen=True)
class KernelSteps:
    """How a convolution goes over its places, by axis."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int = 1


def _conv(
    trace: NodeTrace,
    result: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *options: Any,
) -> str:
    """`options`: stride, padding, dilation, groups, as the modules of torch give them. Raises TypeError."""
    stride, padding, dilation, groups = options
    if isinstance(padding, str):
        raise TypeError("a convolution has nodes with its padding in numbers")
    return _convolved(trace, trace.value(x, result), (weight, bias), KernelSteps(stride, padding, dilation, groups))


def _pointwise(
    trace: NodeTrace,
    result: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    step: int,
) -> str:
    return _convolved(trace, trace.value(x, result), (weight, bias), KernelSteps((step, step), (0, 0), (1, 1)))


def _convolved(trace: NodeTrace, x: str, learned: Sequence[torch.Tensor | None], kernel: KernelSteps) -> str:
    weight = next(each for each in learned if each is not None)
    return trace.graph.op(
        "Conv",
        x,
        *(trace.constant(each) for each in learned if each is not None),
        kernel_shape=list(weight.shape[2:]),
        strides=list(kernel.stride),
        pads=[*kernel.padding, *kernel.padding],
        dilations=list(kernel.dilation),
        group=kernel.groups,
    )


def _max_pool(
    trace: NodeTrace,
    result: torch.Tensor,
    x: torch.Tensor,
    kernel: int | Sequence[int],
    **options: Any,
) -> str:
    """`options`: as torch names them. Raises TypeError for what goes beyond size, stride and padding."""
    if options.get("ceil_mode") or options.get("return_indices") or options.get("dilation", 1) not in (1, (1, 1)):
        raise TypeError("a largest value has nodes by size, stride and padding")
    size, padding = _twice(kernel), _twice(options.get("padding", 0))
    stride = _twice(options.get("stride") or kernel)
    return trace.graph.op(
        "MaxPool", trace.value(x, result), kernel_shape=size, strides=stride, pads=[*padding, *padding]
    )


def _twice(number: int | Sequence[int]) -> list[int]:
    """Of height and width."""
    return [number, number] if isinstance(number, int) else list(number)


def _average_of_all(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, size: int | Sequence[int]) -> str:
    if _twice(size) != [1, 1]:
        raise TypeError("an adaptive mean has nodes over all places")
    return trace.graph.op("ReduceMean", trace.value(x, result), trace.vector(x.ndim - 2, x.ndim - 1), keepdims=1)


def _pad(
    trace: NodeTrace,
    result: torch.Tensor,
    x: torch.Tensor,
    pad: Sequence[int],
    *,
    mode: str = "constant",
    value: float | None = None,
) -> str:
    """torch counts from the last axis, before and behind; ONNX wants all that is before, then all that is behind."""
    if mode != "constant" or value or min(pad) < 0:
        raise TypeError("pad has nodes for zeros that are added")
    none = [0] * (x.ndim - len(pad) // 2)
    before, behind = ([*none, *pad[start::2][::-1]] for start in (0, 1))
    return trace.graph.op("Pad", trace.value(x, result), trace.vector(*before, *behind))


def _dropout(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *, training: bool, **_: object) -> str:
    if training:
        raise TypeError("dropout in training has no nodes: export a network in evaluation")
    return trace.value(x, x)


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


def _reshape(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *shape: Any) -> str:
    """To a shape, given as one argument or as several. As many of the first axis as there are: 0, whatever their number is."""
    asked = _spread(shape)
    sizes = (0, *result.shape[1:]) if asked[0] == x.shape[0] else asked
    return trace.graph.op("Reshape", trace.value(x, result), trace.vector(*sizes))


def _permute(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, *axes: Any) -> str:
    return trace.graph.op("Transpose", trace.value(x, result), perm=[at % x.ndim for at in _spread(axes)])


def _transpose(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, first: int, second: int) -> str:
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return trace.graph.op("Transpose", trace.value(x, result), perm=order)


def _spread(numbers: Sequence[Any]) -> Sequence[int]:
    return numbers if isinstance(numbers[0], int) else numbers[0]


def _contiguous(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, **_: object) -> str:
    return trace.value(x, x)


def _chunk(trace: NodeTrace, result: Sequence[torch.Tensor], x: torch.Tensor, chunks: int, dim: int) -> list[str]:
    if len(result) != chunks:
        raise TypeError(f"{len(result)} chunks where {chunks} were asked for")
    return trace.graph.ops("Split", trace.value(x, x), outputs=chunks, axis=dim % x.ndim, num_outputs=chunks)


def _item(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, index: Any) -> str:
    """Slices, and None for a new axis: one Slice, then one Unsqueeze."""
    items = index if isinstance(index, tuple) else (index,)
    if not all(item is None or isinstance(item, slice) for item in items):
        raise TypeError("an index has nodes where it consists of slices and None")
    name, slices = trace.value(x, result), [item for item in items if item is not None]
    some = [(axis, item) for axis, item in enumerate(slices) if item != slice(None)]
    if some:
        starts, stops = [item.start or 0 for _, item in some], [_end(item.stop) for _, item in some]
        steps = [1 if item.step is None else item.step for _, item in some]
        parts = (trace.vector(*numbers) for numbers in (starts, stops, [axis for axis, _ in some], steps))
        name = trace.graph.op("Slice", name, *parts)
    new = [at for at, item in enumerate(items) if item is None]
    return trace.graph.op("Unsqueeze", name, trace.vector(*new)) if new else name


def _end(stop: int | None) -> int:
    return np.iinfo(np.int64).max if stop is None else stop


def _index_select(trace: NodeTrace, result: torch.Tensor, x: torch.Tensor, dim: int, index: torch.Tensor) -> str:
    return trace.graph.op("Gather", trace.value(x, result), trace.constant(index), axis=dim % x.ndim)


# A node even where all is known before: a product of single numbers, done now in double, would be stored twice as large.
COMPUTING: Final[dict[Any, Callable[..., Any]]] = {
    **dict.fromkeys((torch.relu, torch.Tensor.relu), _alone("Relu")),
    torch.tanh: _alone("Tanh"),
    torch.sigmoid: _alone("Sigmoid"),
    torch.Tensor.cos: _alone("Cos"),
    torch.Tensor.sin: _alone("Sin"),
    torch.Tensor.add: _pair("Add"),
    torch.Tensor.sub: _pair("Sub"),
    torch.Tensor.__rsub__: _turned,
    torch.Tensor.mul: _pair("Mul"),
    torch.Tensor.div: _pair("Div"),
    torch.maximum: _pair("Max"),
    torch.Tensor.clamp_min: _pair("Max"),
    torch.Tensor.ne: _not_equal,
    **dict.fromkeys((torch.matmul, torch.Tensor.matmul), _pair("MatMul")),
    torch.addcmul: _addcmul,
    **dict.fromkeys((functional.softmax, torch.Tensor.softmax), _softmax),
    torch.Tensor.mean: _reduction("ReduceMean"),
    torch.Tensor.sum: _reduction("ReduceSum"),
    torch.Tensor.amax: _reduction("ReduceMax"),
    functional.relu: _relu,
    functional.linear: _linear,
    functional.layer_norm: _layer_norm,
    functional.gelu: _gelu,
    functional.silu: _silu,
    functional.embedding: _embedding,
    **dict.fromkeys((functional.conv1d, functional.conv2d), _conv),
    pointwise_convolution: _pointwise,
    functional.max_pool2d: _max_pool,
    functional.adaptive_avg_pool2d: _average_of_all,
}
MOVING: Final[dict[Any, Callable[..., Any]]] = {
    **dict.fromkeys((torch.Tensor.to, torch.Tensor.double, torch.Tensor.long), _cast),
    torch.Tensor.unsqueeze: _unsqueeze,
    torch.Tensor.flatten: _flatten,
    torch.Tensor.index_select: _index_select,
    **dict.fromkeys((torch.Tensor.reshape, torch.Tensor.view), _reshape),
    torch.Tensor.permute: _permute,
    torch.Tensor.transpose: _transpose,
    torch.Tensor.contiguous: _contiguous,
    torch.Tensor.chunk: _chunk,
    torch.Tensor.__getitem__: _item,
    functional.pad: _pad,
    functional.dropout: _dropout,
    torch.cat: _cat,
}

IN_PLACE: Final[dict[Any, Callable[..., str]]] = {torch.Tensor.add_: _pair("Add")}


def _property(name: str) -> Any:
    """What a mode sees where a property of a tensor is read."""
    return getattr(torch.Tensor, name).__get__


# Of rows and others alike: a second pass finds out which.
SIZES: Final = frozenset({_property("shape"), torch.Tensor.size})
# What may be asked of a tensor, as it does not depend on the rows.
FREE: Final = frozenset(map(_property, ("ndim", "dtype", "device")))
