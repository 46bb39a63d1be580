"""How each operator hands slopes back: from those of its outputs to those of its inputs (reverse-mode
differentiation: Griewank and Walther, Evaluating derivatives, 2008).

A rule writes nodes and returns, for the inputs that are wanted, the name of the slopes: of the shape
of the node's first output where inputs are spread over one another (the caller adds up what was
spread), of the input's own shape otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sixfold.bundle.explain.added_nodes import AddedNodes
from sixfold.bundle.onnx_graph import TYPES, Node, Tensor
from sixfold.bundle.onnx_shapes import Shape

MOST_SELECTED: Final = 1 << 22  # cells of a matrix that puts slopes back where columns were taken
FLAT: Final = (-1,)


class NoRuleError(ValueError):
    """An operator whose slopes are not known; the message names it."""


@dataclass(frozen=True)
class Backstep:
    """A node, whose slopes are written into `write`. `wanted`: numbers of the inputs that follow the
    features; `slopes`: of its outputs, '' where nothing is made of one. `shapes`, `types`: of every
    value of the graph, a negative number in the place of so many times the rows. `second`: what the
    second output of a node is called that has one.
    """

    write: AddedNodes
    node: Node
    wanted: frozenset[int]
    slopes: tuple[str, ...]
    shapes: Mapping[str, Shape]
    types: Mapping[str, int]
    tensors: Mapping[str, Tensor]

    @property
    def slope(self) -> str:
        """Of the first output."""
        return self.slopes[0]

    @property
    def made(self) -> str:
        """The first output."""
        return self.node.outputs[0]

    @property
    def x(self) -> str:
        """The first input."""
        return self.node.inputs[0]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node."""
        return self.write.add(operator, *inputs, **attributes)

    def shape(self, number: int) -> Shape:
        """Of an input."""
        return self.shapes[self.node.inputs[number]]

    def number(self, value: Any) -> str:
        """A constant in the type of the first input."""
        kind = self.types[self.x]
        return self.write.constant(np.asarray(value, dtype=TYPES[kind]), kind)

    def integers(self, number: int) -> list[int]:
        """A constant input. Raises NoRuleError for one that is none."""
        tensor = self.tensors.get(self.node.inputs[number])
        if tensor is None:
            raise NoRuleError(f"{self.node.operator} by numbers that are no constant")
        return [int(each) for each in tensor.integers()]

    def has(self, number: int) -> bool:
        """Whether an input is given."""
        return len(self.node.inputs) > number and bool(self.node.inputs[number])

    def axis(self, default: int) -> int:
        """The attribute, from 0."""
        return self.node.integer("axis", default) % len(self.shape(0))

    def only(self, number: int) -> None:
        """Raises NoRuleError where another input is wanted."""
        if self.wanted != {number}:
            raise NoRuleError(f"{self.node.operator} of learned values that follow the features")

    def shaped(self, value: str, shape: Shape) -> str:
        """`value` in this shape."""
        return self.add("Reshape", value, self.write.whole(target(shape)))

    def turned(self, value: str, shape: Shape) -> str:
        """The last two axes changed for one another."""
        order = list(range(len(shape)))
        return self.add("Transpose", value, perm=[*order[:-2], order[-1], order[-2]])

    def summed(self, value: str, made: Shape, wanted: Shape) -> str:
        """Slopes of shape `made` of what was spread from `wanted`."""
        lead = len(made) - len(wanted)
        spread = (lead + at for at, dim in enumerate(wanted) if dim == 1 != made[lead + at])
        axes = [*range(lead), *spread]
        if axes:
            value = self.add("ReduceSum", value, self.write.whole(axes), keepdims=1)
        return self.shaped(value, wanted) if lead else value


def target(shape: Shape) -> list[int]:
    """Of a Reshape: -1 for what the number of rows makes."""
    return [-1 if dim < 0 else dim for dim in shape]


def _single(s: Backstep, name: str, default: float) -> float:
    """An attribute that is one floating number."""
    held = s.node.attributes.get(name)
    return default if not held else float(np.frombuffer(held, dtype="<f4")[0])


Rule = Callable[[Backstep], dict[int, str]]


def _passed(s: Backstep) -> dict[int, str]:
    return dict.fromkeys(s.wanted, s.slope)


def _back_in_shape(s: Backstep) -> dict[int, str]:
    return {0: s.shaped(s.slope, s.shape(0))}


def _cast(s: Backstep) -> dict[int, str]:
    return {0: s.add("Cast", s.slope, to=s.types[s.x])}


def _sub(s: Backstep) -> dict[int, str]:
    found = {0: s.slope} if 0 in s.wanted else {}
    return found | ({1: s.add("Neg", s.slope)} if 1 in s.wanted else {})


def _mul(s: Backstep) -> dict[int, str]:
    return {at: s.add("Mul", s.slope, s.node.inputs[1 - at]) for at in s.wanted}


def _div(s: Backstep) -> dict[int, str]:
    share = s.add("Div", s.slope, s.node.inputs[1])
    found = {0: share} if 0 in s.wanted else {}
    if 1 in s.wanted:
        found[1] = s.add("Neg", s.add("Mul", share, s.made))
    return found


def _pow(s: Backstep) -> dict[int, str]:
    s.only(0)
    exponent = s.node.inputs[1]
    if s.types[exponent] != s.types[s.x]:
        exponent = s.add("Cast", exponent, to=s.types[s.x])
    less = s.add("Pow", s.x, s.add("Sub", exponent, s.number(1.0)))
    return {0: s.add("Mul", s.slope, s.add("Mul", exponent, less))}


def _tanh(s: Backstep) -> dict[int, str]:
    """1 - y²."""
    squared = s.add("Mul", s.made, s.made)
    return {0: s.add("Sub", s.slope, s.add("Mul", s.slope, squared))}


def _sigmoid(s: Backstep) -> dict[int, str]:
    """y (1 - y)."""
    own = s.add("Sub", s.made, s.add("Mul", s.made, s.made))
    return {0: s.add("Mul", s.slope, own)}


def _relu(s: Backstep) -> dict[int, str]:
    return {0: s.add("Mul", s.slope, s.add("Sign", s.made))}


def _erf(s: Backstep) -> dict[int, str]:
    """2 / √π · exp(-x²)."""
    bell = s.add("Exp", s.add("Neg", s.add("Mul", s.x, s.x)))
    return {0: s.add("Mul", s.slope, s.add("Mul", bell, s.number(2.0 / math.sqrt(math.pi))))}


def _exp(s: Backstep) -> dict[int, str]:
    return {0: s.add("Mul", s.slope, s.made)}


def _log(s: Backstep) -> dict[int, str]:
    return {0: s.add("Div", s.slope, s.x)}


def _sin(s: Backstep) -> dict[int, str]:
    return {0: s.add("Mul", s.slope, s.add("Cos", s.x))}


def _cos(s: Backstep) -> dict[int, str]:
    return {0: s.add("Neg", s.add("Mul", s.slope, s.add("Sin", s.x)))}


def _neg(s: Backstep) -> dict[int, str]:
    return {0: s.add("Neg", s.slope)}


def _chosen(s: Backstep) -> dict[int, str]:
    """Max, Min, Clip: the slopes of whichever was taken."""
    none = s.number(0.0)
    return {
        at: s.add("Where", s.add("Equal", s.node.inputs[at], s.made), s.slope, none)
        for at in s.wanted
    }


def _where(s: Backstep) -> dict[int, str]:
    kind = s.types[s.made]
    none = s.write.constant(np.zeros((), dtype=TYPES[kind]), kind)
    found = {}
    if 1 in s.wanted:
        found[1] = s.add("Where", s.x, s.slope, none)
    if 2 in s.wanted:
        found[2] = s.add("Where", s.x, none, s.slope)
    return found


def _softmax(s: Backstep) -> dict[int, str]:
    """y (g - Σ g y)."""
    weighed = s.add("Mul", s.slope, s.made)
    total = s.add("ReduceSum", weighed, s.write.whole([s.axis(-1)]), keepdims=1)
    return {0: s.add("Sub", weighed, s.add("Mul", s.made, total))}


def _layer_norm(s: Backstep) -> dict[int, str]:
    """Of z = (x - mean) / deviation: (g - mean g - z · mean (g z)) / deviation, g the slopes times the
    weights.
    """
    s.only(0)
    axes = s.write.whole(list(range(s.axis(-1), len(s.shape(0)))))

    def mean(value: str) -> str:
        return s.add("ReduceMean", value, axes, keepdims=1)

    off = s.add("Sub", s.x, mean(s.x))
    variance = mean(s.add("Mul", off, off))
    epsilon = _single(s, "epsilon", 1e-5)
    deviation = s.add("Sqrt", s.add("Add", variance, s.number(epsilon)))
    z, g = s.add("Div", off, deviation), s.add("Mul", s.slope, s.node.inputs[1])
    along = s.add("Mul", z, mean(s.add("Mul", g, z)))
    return {0: s.add("Div", s.add("Sub", s.add("Sub", g, mean(g)), along), deviation)}


def _mat_mul(s: Backstep) -> dict[int, str]:
    left, right, made = s.shape(0), s.shape(1), s.shapes[s.made]
    found = {}
    if 0 in s.wanted:
        product = s.add("MatMul", s.slope, s.turned(s.node.inputs[1], right))
        found[0] = s.summed(product, (*made[:-2], *left[-2:]), left)
    if 1 in s.wanted:
        product = s.add("MatMul", s.turned(s.x, left), s.slope)
        found[1] = s.summed(product, (*made[:-2], *right[-2:]), right)
    return found


def _gemm(s: Backstep) -> dict[int, str]:
    s.only(0)
    right = s.node.inputs[1]
    back = right if s.node.integer("transB", 0) else s.turned(right, s.shape(1))
    product = s.add("MatMul", s.slope, back)
    factor = _single(s, "alpha", 1.0)
    return {0: product if factor == 1.0 else s.add("Mul", product, s.number(factor))}


def _conv(s: Backstep) -> dict[int, str]:
    """The same kernel, from places to what they were made of."""
    s.only(0)
    sides, kernel = s.shape(0)[2:], s.shape(1)[2:]
    plane = len(sides)
    strides = s.node.integers("strides").tolist() or [1] * plane
    spread = s.node.integers("dilations").tolist() or [1] * plane
    pads = s.node.integers("pads").tolist() or [0] * 2 * plane
    reached = [
        (count - 1) * step + (size - 1) * wide + 1 - before - behind
        for count, step, size, wide, before, behind in zip(
            s.shapes[s.made][2:], strides, kernel, spread, pads[:plane], pads[plane:], strict=True
        )
    ]
    left = [side - found for side, found in zip(sides, reached, strict=True)]
    return {
        0: s.add(
            "ConvTranspose",
            s.slope,
            s.node.inputs[1],
            kernel_shape=list(kernel),
            strides=strides,
            dilations=spread,
            pads=pads,
            output_padding=left,
            group=s.node.integer("group", 1),
        )
    }


def _max_pool(s: Backstep) -> dict[int, str]:
    """To the places that the largest were taken from, which the node tells as its second output."""
    flat = s.shaped(s.x, FLAT)
    none = s.add("Sub", flat, flat)
    places, slopes = s.shaped(taken_from(s.node), FLAT), s.shaped(s.slope, FLAT)
    found = s.add("ScatterElements", none, places, slopes, axis=0, reduction="add")
    return {0: s.shaped(found, s.shape(0))}


def taken_from(node: Node) -> str:
    """What the second output of a MaxPool is called."""
    return f"//{node.outputs[0]}_places"


def _axes(s: Backstep) -> list[int]:
    dims = len(s.shape(0))
    return [at % dims for at in s.integers(1)] if s.has(1) else list(range(dims))


def _kept(s: Backstep, value: str) -> str:
    """What a reduction gave, or its slopes, with an axis of 1 for each that is gone."""
    axes, shape = _axes(s), s.shape(0)
    if s.node.integer("keepdims", 1):
        return value
    return s.shaped(value, tuple(1 if at in axes else dim for at, dim in enumerate(shape)))


def _spread(s: Backstep, factor: float) -> str:
    """Slopes of a reduction, times `factor`, spread over what it reduced."""
    axes, shape = _axes(s), s.shape(0)
    if any(shape[at] < 0 for at in axes):
        raise NoRuleError(f"{s.node.operator} over rows")
    ones = np.full([shape[at] if at in axes else 1 for at in range(len(shape))], factor)
    return s.add("Mul", _kept(s, s.slope), s.number(ones))


def _reduce_sum(s: Backstep) -> dict[int, str]:
    return {0: _spread(s, 1.0)}


def _reduce_mean(s: Backstep) -> dict[int, str]:
    count = math.prod(s.shape(0)[at] for at in _axes(s))
    return {0: _spread(s, 1.0 / max(1, abs(count)))}


def _reduce_sum_square(s: Backstep) -> dict[int, str]:
    return {0: s.add("Mul", _spread(s, 2.0), s.x)}


def _reduce_extreme(s: Backstep) -> dict[int, str]:
    """To the largest, or smallest; shared among equal ones."""
    equal = s.add("Equal", s.x, _kept(s, s.made))
    found = s.add("Cast", equal, to=s.types[s.x])
    count = s.add("ReduceSum", found, s.write.whole(_axes(s)), keepdims=1)
    return {0: s.add("Mul", _kept(s, s.slope), s.add("Div", found, count))}


def _concat(s: Backstep) -> dict[int, str]:
    axis, start, found = s.axis(0), 0, {}
    for at in range(len(s.node.inputs)):
        end = start + s.shape(at)[axis]
        if at in s.wanted:
            found[at] = _cut(s, s.slope, [(axis, start, end)])
        start = end
    return found


def _cut(s: Backstep, value: str, cuts: list[tuple[int, int, int]]) -> str:
    """Along each axis from a place to another."""
    if not cuts:
        return value
    axes, starts, ends = ([each[at] for each in cuts] for at in range(3))
    return s.add("Slice", value, *(s.write.whole(each) for each in (starts, ends, axes)))


def _split(s: Backstep) -> dict[int, str]:
    parts = [
        slope or s.add("Sub", name, name)
        for slope, name in zip(s.slopes, s.node.outputs, strict=True)
    ]
    return {0: s.add("Concat", *parts, axis=s.axis(0))}


def _slice(s: Backstep) -> dict[int, str]:
    shape = s.shape(0)
    starts, ends = s.integers(1), s.integers(2)
    axes = s.integers(3) if s.has(3) else list(range(len(starts)))
    if s.has(4) and any(step != 1 for step in s.integers(4)):
        raise NoRuleError("Slice in steps")
    before, behind = [0] * len(shape), [0] * len(shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        at = axis % len(shape)
        first, last, _ = slice(start, end).indices(shape[at])
        before[at], behind[at] = first, shape[at] - max(first, last)
    return {0: s.add("Pad", s.slope, s.write.whole([*before, *behind]))}


def _pad(s: Backstep) -> dict[int, str]:
    shape, pads = s.shape(0), s.integers(1)
    cuts = [
        (at, pads[at], pads[at] + dim)
        for at, dim in enumerate(shape)
        if pads[at] or pads[at + len(shape)]
    ]
    return {0: _cut(s, s.slope, cuts)}


def _transpose(s: Backstep) -> dict[int, str]:
    order = s.node.integers("perm").tolist()
    return {0: s.add("Transpose", s.slope, perm=[order.index(at) for at in range(len(order))])}


def _gather(s: Backstep) -> dict[int, str]:
    """Columns that were taken: slopes times a matrix of ones where they are put back."""
    s.only(0)
    axis, shape, taken = s.axis(0), s.shape(0), s.integers(1)
    if len(s.shape(1)) > 1 or shape[axis] < 0 or len(taken) * shape[axis] > MOST_SELECTED:
        raise NoRuleError("Gather of more than a list of columns")
    matrix = np.zeros((len(taken), shape[axis]))
    matrix[np.arange(len(taken)), taken] = 1.0
    made = (*shape[:axis], len(taken), *shape[axis + 1 :])
    slope, order = s.shaped(s.slope, made), list(range(len(shape)))
    last = order[-1]
    order[axis], order[last] = last, axis
    if axis == last:
        return {0: s.add("MatMul", slope, s.number(matrix))}
    product = s.add("MatMul", s.add("Transpose", slope, perm=order), s.number(matrix))
    return {0: s.add("Transpose", product, perm=order)}


TOGETHER: Final = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Where", "Pow"})
RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("Add", "Identity"), _passed),
    **dict.fromkeys(("Reshape", "Unsqueeze"), _back_in_shape),
    **dict.fromkeys(("Clip", "Max", "Min"), _chosen),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), _reduce_extreme),
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "Cos": _cos,
    "Div": _div,
    "Erf": _erf,
    "Exp": _exp,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "Log": _log,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Mul": _mul,
    "Neg": _neg,
    "Pad": _pad,
    "Pow": _pow,
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "ReduceSumSquare": _reduce_sum_square,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Sin": _sin,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sub": _sub,
    "Tanh": _tanh,
    "Transpose": _transpose,
    "Where": _where,
}
