"""What a graph takes, before it is run: the shape of every value, from the shapes of the inputs and
the constants.

A small file can ask for any amount of memory: by a constant that is a shape, or by values that are
multiplied against each other, node after node. Shapes are followed as ONNX defines them for the
operators of `onnx_operators`; a dimension is a number, or so many times the number of rows, which
is written as a negative number: -1 is [rows], -3 three times as many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sixfold.bundle import onnx_graph
from sixfold.bundle.onnx_graph import MOST_DIMS, LoopBody, ModelGraph, Node, Tensor
from sixfold.bundle.onnx_messages import WireError
from sixfold.bundle.onnx_trees import check_trees

ROWS: Final = -1
# Inputs that are one image of any height and width: what decodes it bounds its pixels, and only
# Resize may take it.
PICTURES: Final = ((None, None, 1), (None, None, 3))
MOST_CELLS: Final = (
    1 << 24
)  # of all values of one row, 128 MiB in double: 5,000 columns make 50,000
MOST_PRODUCTS: Final = (
    1 << 28
)  # for one row, a tenth of a second: 20,000 support vectors of 1,000 columns make 2^25
# A file that is large itself may take more, so many times the numbers that it holds: a transformer
# uses each weight once a token, and the values of 128 tokens are half as many as its weights. The
# most have small transformers of images: with 5.5 million weights 5.2 times as many cells
# (measured), and in int8 10.5 times.
CELLS_A_NUMBER: Final = 12
PRODUCTS_A_NUMBER: Final = 1024
# And so may a row that is large itself: a network over samples uses each weight in every frame, of
# 30 s at 16 kHz (480,000 samples) 1,500 times, its convolutions more often. Of wav2vec 2.0's base
# size 5 s take 3 cells and 470 products a number (measured), 30 s some 26 and 3,200 (derived).
INPUTS_A_CELL: Final = 8_000
INPUTS_A_PRODUCT: Final = 80
MOST_ROUNDS, A_NODE = 1 << 12, 1 << 13  # of a loop; products for which a node of it is started
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Costs:
    """Of one row: the cells of all values, and the products that make them; a value that needs no
    row counts once. `row_cells`: without those values, what a further row takes.
    """

    cells: int
    products: int
    row_cells: int


def costs(graph: ModelGraph) -> Costs:
    """Raises WireError for shapes that do not fit, and for a row that takes more than the two
    bounds.
    """
    walk = _walked(graph)
    for name, shape in graph.outputs.items():
        found = walk.shapes[name]
        if len(found) != len(shape) or any(
            dim not in (None, has) for dim, has in zip(shape, found, strict=True)
        ):
            raise WireError(f"the output {onnx_graph.shown(name)} of shape {found}")
    return Costs(walk.cells, walk.products, walk.row_cells)


def shapes(graph: ModelGraph) -> dict[str, Shape]:
    """The shape of every value by its name. Raises WireError as `costs` does."""
    return _walked(graph).shapes


def _walked(graph: ModelGraph) -> _Walk:
    walk = _Walk(graph)
    for node in graph.nodes:
        walk.follow(node)
    return walk


class _Walk:
    """From node to node, in the order in which they are run."""

    def __init__(self, graph: ModelGraph) -> None:
        self.tensors = graph.tensors
        self.shapes: dict[str, Shape] = {
            name: tensor.dims for name, tensor in graph.tensors.items()
        }
        self.pictures = {name for name, shape in graph.inputs.items() if shape in PICTURES}
        for name, shape in graph.inputs.items():
            if name in self.pictures:
                self.shapes[name] = (1, 1, shape[2] or 1)
                continue
            if None in shape[1:]:
                raise WireError(
                    f"the input {onnx_graph.shown(name)} with more free dimensions than its rows"
                )
            self.shapes[name] = tuple(ROWS if dim is None else dim for dim in shape)
        stored = sum(math.prod(tensor.dims) for tensor in graph.tensors.values())
        self.cells = self.row_cells = 0
        for name in graph.inputs:
            self._count(self.shapes[name])
        cells = max(CELLS_A_NUMBER, self.cells // INPUTS_A_CELL)
        products = max(PRODUCTS_A_NUMBER, self.cells // INPUTS_A_PRODUCT)
        self.most_cells = max(MOST_CELLS, cells * stored)
        self.most_products = max(MOST_PRODUCTS, products * stored)
        self.products = 0

    def follow(self, node: Node) -> None:
        """The shapes of a node's outputs. Raises WireError."""
        if node.operator != "Resize" and self.pictures.intersection(node.inputs):
            raise WireError(f"{node.operator} of an image of any size, which is for Resize alone")
        given = [self.shapes[name] if name else () for name in node.inputs]
        try:
            call = _Call(node, given, self.tensors)
            found = self._looped(call) if node.operator == "Loop" else RULES[node.operator](call)
        except (IndexError, ValueError, KeyError, ZeroDivisionError, OverflowError):
            raise WireError(
                f"{node.operator} of values whose shapes do not fit: {given}"[:300]
            ) from None
        if len(found) < len(node.outputs):
            raise WireError(f"{node.operator} with {len(node.outputs)} outputs")
        for name, shape in zip(node.outputs, found, strict=False):
            if len(shape) > MOST_DIMS or sum(dim < 0 for dim in shape) > 1:
                raise WireError(
                    f"{node.operator} that makes {len(shape)} dimensions, or rows times rows"
                )
            self.shapes[name] = shape
            self._count(shape)
        self.products += abs(math.prod(found[0])) * _inner(node, given)
        if self.cells > self.most_cells or self.products > self.most_products:
            raise WireError(
                f"a row that takes more than {self.most_cells:,} cells or {self.most_products:,} products"
            )

    def _looped(self, call: _Call) -> list[Shape]:
        """Each round takes as many products, in the place of the values of the one before."""
        (rounds,), states = call.constant(0), list(call.given[2:])
        body = call.node.attributes.get("body")
        if not isinstance(body, LoopBody) or not 1 <= rounds <= MOST_ROUNDS:
            raise ValueError("rounds without an end")
        if not len(body.inputs) - 2 == len(states) == len(body.outputs) - 1:
            raise ValueError("states of another number")
        self.shapes |= dict(zip(body.inputs, [(), (), *states], strict=True))
        before, self.products = self.products, A_NODE * len(body.nodes)
        for node in body.nodes:
            self.follow(node)
        self.products = before + rounds * self.products
        going, *left = (self.shapes[name] for name in body.outputs)
        if math.prod(going) != 1 or left != states:
            raise ValueError("states that change their shape")
        return left

    def _count(self, shape: Shape) -> None:
        cells = abs(math.prod(shape))
        self.cells += cells
        self.row_cells += cells * (min(shape, default=0) < 0)


@dataclass(frozen=True)
class _Call:
    """A node with the shapes that it is given."""

    node: Node
    given: Sequence[Shape]
    tensors: Mapping[str, Tensor]

    def constant(self, number: int) -> list[int]:
        """The whole numbers of input `number`, which has to be a constant."""
        return [int(value) for value in self.tensors[self.node.inputs[number]].integers()]

    def has(self, number: int) -> bool:
        """Whether input `number` is given."""
        return len(self.node.inputs) > number and bool(self.node.inputs[number])

    def listed(self, name: str, default: list[int]) -> list[int]:
        """An attribute of whole numbers."""
        return self.node.integers(name).tolist() or default

    def axis(self, default: int) -> int:
        """The attribute `axis`, from 0."""
        return _place(self.node.integer("axis", default), len(self.given[0]))


Rule = Callable[[_Call], list[Shape]]


def _place(axis: int, dims: int) -> int:
    if not -dims <= axis < dims:
        raise ValueError("an axis that is not there")
    return axis % dims


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    width, found = max(map(len, shapes)), []
    for at in range(width):
        dims = {
            shape[at - width + len(shape)] for shape in shapes if at - width + len(shape) >= 0
        } - {1}
        if len(dims) > 1:
            raise ValueError("shapes that differ")
        found.append(dims.pop() if dims else 1)
    return tuple(found)


def _same(call: _Call) -> list[Shape]:
    return [call.given[0]]


def _together(call: _Call) -> list[Shape]:
    return [_broadcast(call.given)]


def _dynamic(call: _Call) -> list[Shape]:
    return [call.given[0], (), ()]


def _arg_max(call: _Call) -> list[Shape]:
    return [_reduced(call.given[0], [call.axis(0)], call.node.integer("keepdims", 1))]


def _reduce(call: _Call) -> list[Shape]:
    shape = call.given[0]
    axes = (
        [_place(axis, len(shape)) for axis in call.constant(1)]
        if call.has(1)
        else list(range(len(shape)))
    )
    return [_reduced(shape, axes, call.node.integer("keepdims", 1))]


def _reduced(shape: Shape, axes: Sequence[int], keep: int) -> Shape:
    kept = [1 if at in axes else dim for at, dim in enumerate(shape) if keep or at not in axes]
    return tuple(kept)


def _concat(call: _Call) -> list[Shape]:
    axis, first = call.axis(0), call.given[0]
    if any(
        len(shape) != len(first) or _but(shape, axis) != _but(first, axis) for shape in call.given
    ):
        raise ValueError("shapes that differ")
    if first[axis] < 0:
        raise ValueError("rows below rows")
    return [(*first[:axis], sum(shape[axis] for shape in call.given), *first[axis + 1 :])]


def _but(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _conv(call: _Call) -> list[Shape]:
    """[rows, channels, height, width] by a kernel [filters, channels / groups, height, width]."""
    (rows, channels, *sides), (filters, inner, *kernel) = call.given[0], call.given[1]
    groups, spread = call.node.integer("group", 1), call.listed("dilations", [1] * len(sides))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, spread, strict=True)]
    if (
        groups < 1
        or channels != inner * groups
        or filters % groups
        or channels < 0
        or min(*kernel, *spread) < 1
    ):
        raise ValueError("shapes that differ")
    if call.listed("kernel_shape", kernel) != kernel:
        raise ValueError("a kernel of another shape")
    return [(rows, filters, *_places(call, sides, reach))]


def _max_pool(call: _Call) -> list[Shape]:
    """[rows, channels, height, width]: the largest of each place."""
    rows, channels, *sides = call.given[0]
    return [(rows, channels, *_places(call, sides, call.node.integers("kernel_shape").tolist()))]


def _places(call: _Call, sides: Sequence[int], reach: Sequence[int]) -> Shape:
    """How many a window that reaches so far takes, by the strides and pads of a node."""
    plane = len(sides)
    steps, pads = call.listed("strides", [1] * plane), call.listed("pads", [0] * 2 * plane)
    if len(pads) != 2 * plane or min(*sides, *reach, *steps) < 1 or min(pads) < 0:
        raise ValueError("shapes that differ")
    padded = [side + pads[at] + pads[at + plane] for at, side in enumerate(sides)]
    return _counts(
        [(side - wide) // step + 1 for side, wide, step in zip(padded, reach, steps, strict=True)]
    )


def _resize(call: _Call) -> list[Shape]:
    """To the sizes of a constant; regions and factors are not taken."""
    shape, sizes = list(call.given[0]), _counts(call.constant(3))
    if call.has(1) or call.has(2):
        raise ValueError("a region or a factor")
    for axis, size in zip(call.node.integers("axes"), sizes, strict=True):
        shape[_place(int(axis), len(shape))] = size
    return [tuple(shape)]


def _counts(numbers: Sequence[int]) -> Shape:
    if any(number < 0 for number in numbers):
        raise ValueError("a negative count")
    return tuple(numbers)


def _gather(call: _Call) -> list[Shape]:
    axis, data = call.axis(0), call.given[0]
    return [(*data[:axis], *call.given[1], *data[axis + 1 :])]


def _gemm(call: _Call) -> list[Shape]:
    left, right = call.given[0], call.given[1]
    inner, columns = reversed(right) if call.node.integer("transB", 0) else right
    if len(left) != 2 or left[1] != inner or inner < 0:
        raise ValueError("shapes that differ")
    return [_broadcast([(left[0], columns), *call.given[2:]])]


def _mat_mul(call: _Call) -> list[Shape]:
    left, right = call.given[0], call.given[1]
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2] or left[-1] < 0:
        raise ValueError("shapes that differ")
    return [(*_broadcast([left[:-2], right[:-2]]), left[-2], right[-1])]


def _pad(call: _Call) -> list[Shape]:
    pads, shape = _counts(call.constant(1)), call.given[0]
    if len(pads) != 2 * len(shape):
        raise ValueError("pads of another shape")
    added = [pads[at] + pads[at + len(shape)] for at in range(len(shape))]
    if any(dim < 0 and more for dim, more in zip(shape, added, strict=True)):
        raise ValueError("rows that are made up")
    return [tuple(dim + more for dim, more in zip(shape, added, strict=True))]


def _reshape(call: _Call) -> list[Shape]:
    asked, shape = call.constant(1), call.given[0]
    dims = [shape[at] if dim == 0 else dim for at, dim in enumerate(asked)]
    free = [at for at, dim in enumerate(asked) if dim == -1]
    if len(free) > 1 or any(dim < -1 for dim in asked):
        raise ValueError("two free dimensions")
    known, whole = math.prod(dim for at, dim in enumerate(dims) if at not in free), math.prod(shape)
    if free:
        dims[free[0]] = whole // known
    if math.prod(dims) != whole:
        raise ValueError("another number of cells")
    return [tuple(dims)]


def _slice(call: _Call) -> list[Shape]:
    shape, (starts, ends) = list(call.given[0]), (call.constant(1), call.constant(2))
    axes = call.constant(3) if call.has(3) else list(range(len(starts)))
    steps = call.constant(4) if call.has(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = _place(axis, len(shape))
        if shape[at] < 0:
            raise ValueError("some of the rows")
        shape[at] = len(range(*slice(start, end, step).indices(shape[at])))
    return [tuple(shape)]


def _split(call: _Call) -> list[Shape]:
    axis, parts, shape = call.axis(0), len(call.node.outputs), call.given[0]
    if call.has(1):
        widths = list(_counts(call.constant(1)))
    else:
        whole = -(-shape[axis] // call.node.integer("num_outputs", 0))
        widths = [whole] * (parts - 1) + [shape[axis] - whole * (parts - 1)]
    if len(widths) != parts or min(widths) < 0 or sum(widths) != shape[axis]:
        raise ValueError("parts of another number")
    return [(*shape[:axis], width, *shape[axis + 1 :]) for width in widths]


def _top_k(call: _Call) -> list[Shape]:
    axis, shape = call.axis(-1), call.given[0]
    (count,) = _counts(call.constant(1))
    if shape[axis] < count:
        raise ValueError("more than there are")
    found = (*shape[:axis], count, *shape[axis + 1 :])
    return [found, found]


def _transpose(call: _Call) -> list[Shape]:
    order = [int(at) for at in call.node.integers("perm")]
    if sorted(order) != list(range(len(call.given[0]))):
        raise ValueError("no permutation")
    return [tuple(call.given[0][at] for at in order)]


def _unsqueeze(call: _Call) -> list[Shape]:
    axes, shape = call.constant(1), list(call.given[0])
    dims = len(shape) + len(axes)
    for at in sorted({_place(axis, dims) for axis in axes}):
        shape.insert(at, 1)
    if len(shape) != dims:
        raise ValueError("an axis twice")
    return [tuple(shape)]


def _tree_ensemble(call: _Call) -> list[Shape]:
    rows, width = call.given[0]
    targets = call.node.integer("n_targets", 0)
    check_trees(call.node, width, targets)
    return [(rows, targets)]


def _inner(node: Node, given: Sequence[Shape]) -> int:
    """Products for each cell of a node's first output."""
    if node.operator in ("Gemm", "MatMul", "MatMulInteger"):
        return max(1, given[0][-1])
    if node.operator == "Conv":
        return max(1, math.prod(given[1][1:]))
    if node.operator == "MaxPool":
        return max(1, math.prod(int(size) for size in node.integers("kernel_shape")))
    if node.operator == "TreeEnsemble":
        return len(node.integers("nodes_featureids"))
    return (
        max(1, math.prod(given[0]) // math.prod(given[0][:1]))
        if node.operator in REDUCING and given[0]
        else 1
    )


REDUCING: Final = (
    "ArgMax",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "TopK",
)
RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(
        (
            "Cast",
            "Clip",
            "Cos",
            "DequantizeLinear",
            "Erf",
            "Exp",
            "Floor",
            "Identity",
            "IsInf",
            "IsNaN",
            "LabelEncoder",
            "LayerNormalization",
            "Log",
            "Neg",
            "Not",
            "QuantizeLinear",
            "Relu",
            "Round",
            "Sigmoid",
            "Sin",
            "Softmax",
            "Tanh",
        ),
        _same,
    ),
    **dict.fromkeys(
        (
            "Add",
            "Div",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "Max",
            "Min",
            "Mul",
            "Pow",
            "Sub",
            "Where",
        ),
        _together,
    ),
    **dict.fromkeys(
        ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"), _reduce
    ),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _mat_mul),
    "ArgMax": _arg_max,
    "Concat": _concat,
    "Conv": _conv,
    "DynamicQuantizeLinear": _dynamic,
    "Gather": _gather,
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "TopK": _top_k,
    "Transpose": _transpose,
    "TreeEnsemble": _tree_ensemble,
    "Unsqueeze": _unsqueeze,
}
