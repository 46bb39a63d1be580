"""Functions of torch and the nodes that stand for each: `written(names, result, *arguments)` → the
name of the result.

What they were called with is known; what the rows hold is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from onnx import helper
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function

from sixfold.parts.node_names import NodeNames, Number

ROOT, CUBIC = (
    (2.0 / np.pi) ** 0.5,
    0.044715,
)  # gelu with tanh: Hendrycks and Gimpel, Gaussian error linear units, 2016
Axes = int | Sequence[int]


def pointwise_convolution(
    x_BCHW: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, step: int
) -> torch.Tensor:
    """A convolution of 1 × 1 that takes the places of its step first: torch's own kernel for it
    (2.13, processor, channels last) writes beyond its memory where channels are no multiple of 8,
    as after pruning. A mode sees it as one function, and so it is one convolution in a graph.
    """
    if has_torch_function((x_BCHW, weight)):
        given = x_BCHW, weight
        return handle_torch_function(pointwise_convolution, given, *given, bias, step)
    return functional.conv2d(x_BCHW[:, :, ::step, ::step], weight, bias)


def _alone(operator: str) -> Callable[..., str]:
    """A function of one tensor."""
    return lambda names, result, x: names.graph.op(operator, names.value(x, result))


def _pair(operator: str) -> Callable[..., str]:
    """A function of two, of which one may be a number."""

    def written(names: NodeNames, result: torch.Tensor, left: Number, right: Number) -> str:
        return names.graph.op(operator, names.value(left, result), names.value(right, result))

    return written


def _turned(names: NodeNames, result: torch.Tensor, left: torch.Tensor, right: Number) -> str:
    """right - left."""
    return names.graph.op("Sub", names.value(right, result), names.value(left, result))


def _not_equal(names: NodeNames, result: torch.Tensor, left: torch.Tensor, right: Number) -> str:
    return names.graph.op(
        "Not", names.graph.op("Equal", names.value(left, left), names.value(right, left))
    )


def _where(
    names: NodeNames, result: torch.Tensor, chosen: torch.Tensor, one: Number, other: Number
) -> str:
    return names.graph.op(
        "Where", names.value(chosen, chosen), names.value(one, result), names.value(other, result)
    )


def _equal(names: NodeNames, result: torch.Tensor, left: torch.Tensor, right: Number) -> str:
    return names.graph.op("Equal", names.value(left, left), names.value(right, left))


def _arg_max(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, dim: int, keepdim: bool = False
) -> str:
    return names.graph.op("ArgMax", names.value(x, x), axis=dim % x.ndim, keepdims=int(keepdim))


def _reduction(operator: str) -> Callable[..., str]:
    """A function that leaves one number of each axis in `dim`."""

    def written(
        names: NodeNames, result: torch.Tensor, x: torch.Tensor, dim: Axes, keepdim: bool = False
    ) -> str:
        axes = (at % x.ndim for at in ((dim,) if isinstance(dim, int) else dim))
        return names.graph.op(
            operator, names.value(x, result), names.vector(*axes), keepdims=int(keepdim)
        )

    return written


def _relu(names: NodeNames, result: torch.Tensor, x: torch.Tensor, *, inplace: bool = False) -> str:
    return names.graph.op("Relu", names.value(x, result))


def _linear(
    names: NodeNames,
    result: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> str:
    """Not Gemm: onnxruntime's dynamic quantization replaces MatMul, and fuses MatMul with Add
    otherwise.
    """
    product = names.graph.op(
        "MatMul", names.value(x, result), names.constant(weight, transposed=True)
    )
    return product if bias is None else names.graph.op("Add", product, names.constant(bias))


def _addcmul(
    names: NodeNames, result: torch.Tensor, add: torch.Tensor, x: torch.Tensor, factor: torch.Tensor
) -> str:
    product = names.graph.op("Mul", names.value(x, result), names.value(factor, result))
    return names.graph.op("Add", product, names.value(add, result))


def _layer_norm(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, shape: Sequence[int], **options: Any
) -> str:
    """torch names `weight`, `bias` and `eps`."""
    parts = (
        names.value(x, result),
        names.constant(options["weight"]),
        names.constant(options["bias"]),
    )
    return names.graph.op("LayerNormalization", *parts, axis=-len(shape), epsilon=options["eps"])


def _group_norm(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, groups: int, **options: Any
) -> str:
    """Of [rows, channels, places], each channel by itself: a norm over its places. torch names
    `weight`, `bias` and `eps`. Raises TypeError for groups of several channels.
    """
    if x.ndim != 3 or groups != x.shape[1]:
        raise TypeError("a norm over groups has nodes where each channel is a group")
    op, places, value = names.graph.op, names.vector(2), names.value(x, result)
    off = op("Sub", value, op("ReduceMean", value, places, keepdims=1))
    power = op("ReduceMean", op("Mul", off, off), places, keepdims=1)
    safe = op("Add", power, names.value(options["eps"], result))
    factor = op("Pow", safe, names.value(-0.5, result))
    weight, bias = (names.constant(options[name][:, None]) for name in ("weight", "bias"))
    return op("Add", op("Mul", off, op("Mul", factor, weight)), bias)


def _gelu(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, *, approximate: str = "none"
) -> str:
    """In double the form with tanh alone: onnxruntime's Erf has no double."""
    if approximate != "tanh":
        return _exact_gelu(names, result, x)
    value, op = names.value(x, result), names.graph.op
    root, cubic, half, one = (names.value(number, result) for number in (ROOT, CUBIC, 0.5, 1.0))
    inner = op("Add", value, op("Mul", cubic, op("Mul", op("Mul", value, value), value)))
    return op("Mul", value, op("Mul", half, op("Add", one, op("Tanh", op("Mul", root, inner)))))


def _exact_gelu(names: NodeNames, result: torch.Tensor, x: torch.Tensor) -> str:
    """x · (1 + erf(x / √2)) / 2."""
    if result.dtype != torch.float32:
        raise TypeError("gelu has nodes in single precision, or in its form with tanh")
    value, op = names.value(x, result), names.graph.op
    scale, half, one = (names.value(number, result) for number in (0.5**0.5, 0.5, 1.0))
    return op("Mul", op("Mul", value, half), op("Add", op("Erf", op("Mul", value, scale)), one))


def _silu(names: NodeNames, result: torch.Tensor, x: torch.Tensor, *, inplace: bool = False) -> str:
    value = names.value(x, result)
    return names.graph.op("Mul", value, names.graph.op("Sigmoid", value))


def _embedding(
    names: NodeNames, result: torch.Tensor, rows: torch.Tensor, table: torch.Tensor, **_: object
) -> str:
    return names.graph.op("Gather", names.constant(table), names.value(rows, rows))


def _cat(names: NodeNames, result: torch.Tensor, parts: Sequence[torch.Tensor], dim: int) -> str:
    """A constant beside what follows from the rows is one row that was spread over them: one value
    follows, and is padded.
    """
    axis = dim % result.ndim
    if axis == 0 or all(names.follows(part) for part in parts):
        return names.graph.op("Concat", *(names.value(part, result) for part in parts), axis=axis)
    (at, *more) = [number for number, part in enumerate(parts) if names.follows(part)]
    shown = [part if number != at else torch.zeros_like(part) for number, part in enumerate(parts)]
    beside = torch.cat(shown, axis)
    if more or not all(torch.equal(row, beside[0]) for row in beside):
        raise TypeError(
            "constants that differ from row to row stand beside what follows from the rows"
        )
    before, behind = [0] * result.ndim, [0] * result.ndim
    before[axis] = sum(part.shape[axis] for part in parts[:at])
    behind[axis] = sum(part.shape[axis] for part in parts[at + 1 :])
    padded = names.graph.op("Pad", names.value(parts[at], result), names.vector(*before, *behind))
    return names.graph.op("Add", padded, names.constant(beside[:1]))


def _softmax(
    names: NodeNames,
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
    return names.graph.op("Softmax", names.value(x, result), axis=dim % x.ndim)


@dataclass(frozen=True)
class KernelSteps:
    """How a convolution goes over its places, by axis."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int = 1


def _conv(
    names: NodeNames,
    result: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *options: Any,
) -> str:
    """`options`: stride, padding, dilation, groups, as the modules of torch give them. Raises
    TypeError.
    """
    stride, padding, dilation, groups = options
    if isinstance(padding, str):
        raise TypeError("a convolution has nodes with its padding in numbers")
    return _convolved(
        names,
        names.value(x, result),
        (weight, bias),
        KernelSteps(stride, padding, dilation, groups),
    )


def _pointwise(
    names: NodeNames,
    result: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    step: int,
) -> str:
    return _convolved(
        names, names.value(x, result), (weight, bias), KernelSteps((step, step), (0, 0), (1, 1))
    )


def _convolved(
    names: NodeNames, x: str, learned: Sequence[torch.Tensor | None], kernel: KernelSteps
) -> str:
    weight = next(each for each in learned if each is not None)
    return names.graph.op(
        "Conv",
        x,
        *(names.constant(each) for each in learned if each is not None),
        kernel_shape=list(weight.shape[2:]),
        strides=list(kernel.stride),
        pads=[*kernel.padding, *kernel.padding],
        dilations=list(kernel.dilation),
        group=kernel.groups,
    )


def _max_pool(
    names: NodeNames,
    result: torch.Tensor,
    x: torch.Tensor,
    kernel: int | Sequence[int],
    **options: Any,
) -> str:
    """`options`: as torch names them. Raises TypeError for what goes beyond size, stride and
    padding.
    """
    if (
        options.get("ceil_mode")
        or options.get("return_indices")
        or options.get("dilation", 1) not in (1, (1, 1))
    ):
        raise TypeError("a largest value has nodes by size, stride and padding")
    size, padding = _twice(kernel), _twice(options.get("padding", 0))
    stride = _twice(options.get("stride") or kernel)
    return names.graph.op(
        "MaxPool",
        names.value(x, result),
        kernel_shape=size,
        strides=stride,
        pads=[*padding, *padding],
    )


def _twice(number: int | Sequence[int]) -> list[int]:
    """Of height and width."""
    return [number, number] if isinstance(number, int) else list(number)


def _average_of_all(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, size: int | Sequence[int]
) -> str:
    if _twice(size) != [1, 1]:
        raise TypeError("an adaptive mean has nodes over all places")
    return names.graph.op(
        "ReduceMean", names.value(x, result), names.vector(x.ndim - 2, x.ndim - 1), keepdims=1
    )


def _pad(
    names: NodeNames,
    result: torch.Tensor,
    x: torch.Tensor,
    pad: Sequence[int],
    *,
    mode: str = "constant",
    value: float | None = None,
) -> str:
    """torch counts from the last axis, before and behind; ONNX wants all that is before, then all
    that is behind.
    """
    if mode != "constant" or value or min(pad) < 0:
        raise TypeError("pad has nodes for zeros that are added")
    none = [0] * (x.ndim - len(pad) // 2)
    before, behind = ([*none, *pad[start::2][::-1]] for start in (0, 1))
    return names.graph.op("Pad", names.value(x, result), names.vector(*before, *behind))


def _dropout(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, *, training: bool, **_: object
) -> str:
    if training:
        raise TypeError("dropout in training has no nodes: export a network in evaluation")
    return names.value(x, x)


def _cast(names: NodeNames, result: torch.Tensor, x: torch.Tensor, *_: object) -> str:
    kind = helper.np_dtype_to_tensor_dtype(result.numpy().dtype)
    return names.graph.cast(names.value(x, result), kind)


def _unsqueeze(names: NodeNames, result: torch.Tensor, x: torch.Tensor, dim: int) -> str:
    return names.graph.op("Unsqueeze", names.value(x, result), names.vector(dim % result.ndim))


def _flatten(names: NodeNames, result: torch.Tensor, x: torch.Tensor, start: int) -> str:
    """Of the last axes; 0 stands for as many as there are."""
    if start % x.ndim == 0:
        raise TypeError("the number of rows cannot be multiplied into one axis")
    return names.graph.op(
        "Reshape", names.value(x, result), names.vector(*[0] * (result.ndim - 1), result.shape[-1])
    )


def _reshape(names: NodeNames, result: torch.Tensor, x: torch.Tensor, *shape: Any) -> str:
    """To a shape, given as one argument or as several. As many of the first axis as there are: 0,
    whatever their number is.
    """
    asked = _spread(shape)
    sizes = (0, *result.shape[1:]) if asked[0] == x.shape[0] else asked
    return names.graph.op("Reshape", names.value(x, result), names.vector(*sizes))


def _permute(names: NodeNames, result: torch.Tensor, x: torch.Tensor, *axes: Any) -> str:
    return names.graph.op(
        "Transpose", names.value(x, result), perm=[at % x.ndim for at in _spread(axes)]
    )


def _transpose(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, first: int, second: int
) -> str:
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return names.graph.op("Transpose", names.value(x, result), perm=order)


def _spread(numbers: Sequence[Any]) -> Sequence[int]:
    return numbers if isinstance(numbers[0], int) else numbers[0]


def _contiguous(names: NodeNames, result: torch.Tensor, x: torch.Tensor, **_: object) -> str:
    return names.value(x, x)


def _chunk(
    names: NodeNames, result: Sequence[torch.Tensor], x: torch.Tensor, chunks: int, dim: int
) -> list[str]:
    if len(result) != chunks:
        raise TypeError(f"{len(result)} chunks where {chunks} were asked for")
    return names.graph.ops(
        "Split", names.value(x, x), outputs=chunks, axis=dim % x.ndim, num_outputs=chunks
    )


def _item(names: NodeNames, result: torch.Tensor, x: torch.Tensor, index: Any) -> str:
    """Slices, and None for a new axis: one Slice, then one Unsqueeze."""
    items = index if isinstance(index, tuple) else (index,)
    if not all(item is None or isinstance(item, slice) for item in items):
        raise TypeError("an index has nodes where it consists of slices and None")
    name, slices = names.value(x, result), [item for item in items if item is not None]
    some = [(axis, item) for axis, item in enumerate(slices) if item != slice(None)]
    if some:
        starts, stops = [item.start or 0 for _, item in some], [_end(item.stop) for _, item in some]
        steps = [1 if item.step is None else item.step for _, item in some]
        parts = (
            names.vector(*numbers) for numbers in (starts, stops, [axis for axis, _ in some], steps)
        )
        name = names.graph.op("Slice", name, *parts)
    new = [at for at, item in enumerate(items) if item is None]
    return names.graph.op("Unsqueeze", name, names.vector(*new)) if new else name


def _end(stop: int | None) -> int:
    return np.iinfo(np.int64).max if stop is None else stop


def _index_select(
    names: NodeNames, result: torch.Tensor, x: torch.Tensor, dim: int, index: torch.Tensor
) -> str:
    return names.graph.op(
        "Gather", names.value(x, result), names.constant(index), axis=dim % x.ndim
    )


# A node even where all is known before: a product of single numbers, done now in double, would be
# stored twice as large.
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
    torch.Tensor.pow: _pair("Pow"),
    torch.maximum: _pair("Max"),
    torch.Tensor.clamp_min: _pair("Max"),
    torch.Tensor.ne: _not_equal,
    torch.Tensor.eq: _equal,
    torch.where: _where,
    torch.log: _alone("Log"),
    torch.Tensor.argmax: _arg_max,
    **dict.fromkeys((torch.matmul, torch.Tensor.matmul), _pair("MatMul")),
    torch.addcmul: _addcmul,
    **dict.fromkeys((functional.softmax, torch.Tensor.softmax), _softmax),
    torch.Tensor.mean: _reduction("ReduceMean"),
    torch.Tensor.sum: _reduction("ReduceSum"),
    torch.Tensor.amax: _reduction("ReduceMax"),
    functional.relu: _relu,
    functional.linear: _linear,
    functional.layer_norm: _layer_norm,
    functional.group_norm: _group_norm,
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
