"""An ensemble of binary trees as flat node arrays: its NumPy descent and its ONNX node, for tree,
forest, extra_trees and boosting.

Shape letters: R rows, F features, T trees, N nodes (of all trees together), W values a node, K
outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from sixfold.build._descent import Descent
from sixfold.core.cores import cores
from sixfold.parts.fit import Matrix
from sixfold.parts.graph import ML, Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import BoolArray, FloatArray, IntArray

BLOCK = (
    1 << 17
)  # (row, tree) pairs walked at once: their index arrays stay in the processor's second-level cache
THREADED = 4  # blocks, about 10 ms each, that are worth threads: measured on two cores, 31 blocks 1.6 times as fast
KNOWN = 1 << 24  # pairs whose leaves are kept for rows that are near: 128 MiB
AT_ONCE = (
    1 << 11
)  # leaf values a row that the graph holds at once: 64 MB of float32 in a batch of 8192 rows
Block = TypeVar("Block")
NODE_PARTS: Final = (
    "feature",
    "threshold",
    "left",
    "right",
    "missing_left",
    "value",
    "gain",
    "cover",
)
BRANCH_LEQ: Final = 0  # TreeEnsemble's numbers of modes, aggregates and transforms
SUM: Final = 1
NO_TRANSFORM: Final = 0
WHOLE_TREE: Final = 2.0**31  # that weighted training rows are counted in parts of
FLOAT32_BITS = (
    24  # multiples of q are exact in float32 up to 2^24 q, and so are their sums, in any order
)


def _not_known() -> npt.NDArray[np.uint32]:
    return np.empty(0, dtype=np.uint32)


@dataclass(frozen=True)
class Trees(State):
    """Nodes of all trees, each tree's nodes together and its root first.

    A row goes left when x <= threshold, or x is NaN and `missing_left`. A leaf is a node whose
    children are itself. `first`: int64 [T], the roots. `feature`, `left`, `right`: int32 [N];
    `threshold`: float32 [N] (x is float32, so a double threshold is rounded down: no comparison
    changes). `value`: float64 [N, W], 0 at branches. W = K: every tree adds to every output; W = 1:
    tree t adds to output t mod K. `gain`: float64 [N], what a split improved. `cover`: uint32 [N],
    the training rows that came to a node, with repetition where they were drawn so; [0] where it is
    not known, as in runs of older versions.
    """

    first: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    missing_left: BoolArray
    value: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    features: int
    outputs: int
    cover: npt.NDArray[np.uint32] = field(default_factory=_not_known)

    @property
    def count(self) -> int:
        """Trees."""
        return len(self.first)

    @property
    def node_count(self) -> int:
        """Branches and leaves of all trees."""
        return len(self.feature)

    def leaves(self) -> BoolArray:
        """Which nodes are leaves, [N]."""
        return np.asarray(self.left == np.arange(self.node_count, dtype=np.int32))

    def total(self, x: Matrix) -> FloatArray:
        """[R, F] float32 → [R, K] float64: the sum over the trees of the value of the leaf that
        each row falls into.
        """
        descent = Descent(self)
        return _joined(
            self._blocks(x), lambda block_RF: self._add_up(descent.leaves(block_RF)), self.outputs
        )

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`total`, bit for bit, for rows of which most features are those of `x`: only the pairs of
        row and tree whose way asks a feature that differs are walked again.
        """
        if x.shape[0] * self.count > KNOWN:
            return self.total
        descent, known = Descent(self), self._blocks(x)
        leaves = [descent.leaves(block_RF) for block_RF in known]

        def total(other: Matrix) -> FloatArray:
            blocks = self._blocks(other)
            changed_F = np.zeros(self.features, dtype=bool)
            for old, new in zip(known, blocks, strict=True):
                changed_F |= ((old != new) & ~(np.isnan(old) & np.isnan(new))).any(axis=0)
            asking = descent.asking(changed_F)
            work = list(zip(blocks, leaves, strict=True))
            return _joined(
                work, lambda pair: self._add_up(descent.moved(*pair, asking)), self.outputs
            )

        return total

    def _blocks(self, x: Matrix) -> list[npt.NDArray[np.float32]]:
        x32, step = np.ascontiguousarray(x, dtype=np.float32), max(1, BLOCK // self.count)
        return [x32[start : start + step] for start in range(0, len(x32), step)]

    def _add_up(self, leaf_RT: npt.NDArray[np.intp]) -> FloatArray:
        if self.value.shape[1] == self.outputs:
            return np.asarray(self.value[leaf_RT].sum(axis=1), dtype=np.float64)
        value_RT = self.value[leaf_RT, 0]
        return np.stack(
            [value_RT[:, k :: self.outputs].sum(axis=1) for k in range(self.outputs)], axis=1
        )

    def keep_first(self, trees: int) -> Self:
        """The first `trees` trees."""
        end = int(self.first[trees]) if trees < self.count else self.node_count
        return replace(
            self,
            first=self.first[:trees],
            **{name: getattr(self, name)[:end] for name in NODE_PARTS},
        )

    def raised(self, amount: float) -> Self:
        """The same trees with `amount` added to every sum: to the leaves of the first tree."""
        in_first = np.arange(self.node_count) < (
            self.first[1] if self.count > 1 else self.node_count
        )
        return replace(
            self,
            value=np.where((in_first & self.leaves())[:, None], self.value + amount, self.value),
        )

    def importances(self) -> FloatArray:
        """Share of all gain that splits on each feature brought, [F], sum 1 (all 0 when nothing was
        split).
        """
        gain_F = np.bincount(self.feature, weights=self.gain, minlength=self.features)
        return np.asarray(gain_F / max(gain_F.sum(), np.finfo(np.float64).tiny), dtype=np.float64)

    def leaf_cover(self) -> npt.NDArray[np.uint32]:
        """[leaves] the training rows of each leaf, in the order in which `export` numbers them; [0]
        where they are not known.
        """
        return self.cover[self.leaves()] if len(self.cover) else self.cover

    def export(self, graph: Graph, x: str) -> str:
        """TreeEnsemble nodes; `x` is a float32 value. Returns the sums as double [R, K].

        W = 1: one node, in double precision (a float32 x and threshold compare there as before).
        Its leaves hold one number each, so where a leaf has several (W = K) it holds the number of
        its row in a table of the distinct leaves; the rows of the table are added up, in float32
        where that is exact.
        """
        if self.value.shape[1] == 1:
            targets = self._tree() % self.outputs
            wide = graph.cast(x, TensorProto.DOUBLE)
            return graph.op(
                "TreeEnsemble",
                wide,
                domain=ML,
                **self._attributes(targets, self.value[:, 0], self.outputs),
            )
        rows, codes = np.unique(self.value[self.leaves()], axis=0, return_inverse=True)
        table = graph.constant(
            rows, np.float32 if exact_in_float32(self.value, self.first) else np.float64
        )
        code = np.zeros(self.node_count, dtype=np.float32)
        code[self.leaves()] = codes.ravel()
        step = max(1, AT_ONCE // self.outputs)
        parts = [
            range(start, min(start + step, self.count)) for start in range(0, self.count, step)
        ]
        sums = [self._export_some(graph, x, trees, code, table) for trees in parts]
        return functools.reduce(lambda total, each: graph.op("Add", total, each), sums)

    def _export_some(
        self, graph: Graph, x: str, trees: range, code: npt.NDArray[np.float32], table: str
    ) -> str:
        """The sum of the leaves of `trees`; `code`: a leaf's row of `table`, [N]."""
        some, first = self._between(trees.start, trees.stop), int(self.first[trees.start])
        nodes = slice(first, first + some.node_count)
        codes = graph.op(
            "TreeEnsemble", x, domain=ML, **some._attributes(some._tree(), code[nodes], some.count)
        )
        values_RTK = graph.op("Gather", table, graph.cast(codes, TensorProto.INT32), axis=0)
        total = graph.op("ReduceSum", values_RTK, graph.constant([1], np.int64), keepdims=0)
        return graph.cast(total, TensorProto.DOUBLE)

    def _tree(self) -> IntArray:
        """The number of each node's tree, [N]."""
        return np.repeat(np.arange(self.count), np.diff(np.append(self.first, self.node_count)))

    def _between(self, start: int, end: int) -> Self:
        """Trees `start` to `end` alone."""
        some, at = self.keep_first(end), int(self.first[start])
        parts = {name: getattr(some, name)[at:] for name in NODE_PARTS}
        children = {name: parts[name] - np.int32(at) for name in ("left", "right")}
        return replace(some, first=some.first[start:] - at, **{**parts, **children})

    def _attributes(
        self,
        target: IntArray,
        weight: npt.NDArray[np.float64] | npt.NDArray[np.float32],
        targets: int,
    ) -> dict[str, Any]:
        """Of a TreeEnsemble that adds each leaf's `weight` [N] to output `target` [N]; it computes
        in the weights' type.

        Branches and leaves are numbered apart. A tree of one leaf gets a branch both of whose sides
        are that leaf.
        """
        leaf = self.leaves()
        branch = ~leaf
        branch[self.first] = True
        number = np.where(leaf, np.cumsum(leaf), np.cumsum(branch)) - 1
        sides = {"true": self.left[branch], "false": self.right[branch]}
        attributes: dict[str, Any] = {
            "aggregate_function": SUM,
            "n_targets": targets,
            "post_transform": NO_TRANSFORM,
            "tree_roots": (np.cumsum(branch) - 1)[self.first].tolist(),
            "nodes_featureids": self.feature[branch].tolist(),
            "nodes_splits": numpy_helper.from_array(self.threshold[branch].astype(weight.dtype)),
            "nodes_modes": numpy_helper.from_array(
                np.full(branch.sum(), BRANCH_LEQ, dtype=np.uint8)
            ),
            "leaf_targetids": target[leaf].tolist(),
            "leaf_weights": numpy_helper.from_array(weight[leaf]),
        }
        for side, child in sides.items():
            attributes[f"nodes_{side}nodeids"] = number[child].tolist()
            attributes[f"nodes_{side}leafs"] = leaf[child].astype(np.int64).tolist()
        if self.missing_left[branch].any():
            attributes["nodes_missing_value_tracks_true"] = (
                self.missing_left[branch].astype(np.int64).tolist()
            )
        return attributes


def _joined(
    blocks: Sequence[Block], walk: Callable[[Block], FloatArray], outputs: int
) -> FloatArray:
    """What `walk` makes of the blocks, one below the other: by several threads, where they are
    many.
    """
    if len(blocks) < THREADED:
        return np.concatenate([np.empty((0, outputs)), *map(walk, blocks)])
    with ThreadPoolExecutor(cores()) as threads:  # NumPy lets go of the interpreter while it takes
        return np.concatenate(list(threads.map(walk, blocks)))


def exact_in_float32(value: FloatArray, first: IntArray) -> bool:
    """Whether the sums of one node a tree are exact in float32, in whatever order: value is [N, W].

    They are where all values are multiples of a number so coarse that the largest possible sum has
    24 bits of it.
    """
    bound = float(np.maximum.reduceat(np.abs(value).max(axis=1), first).sum())
    if bound == 0:
        return True
    quantum = 2.0 ** (np.ceil(np.log2(bound)) - FLOAT32_BITS)
    return bool((np.round(value / quantum) * quantum == value).all())


def on_grid(value: FloatArray, trees: int) -> FloatArray:
    """Shares in [0, 1] rounded to the grid on which sums over `trees` trees are exact in float32
    and in float64.

    So equal sums stay equal in whatever order they are added, and ties between classes break alike
    everywhere. The rounding of a mean over the trees is at most trees · 2^-24.
    """
    quantum = 2.0 ** (np.ceil(np.log2(trees)) - FLOAT32_BITS)
    return np.asarray(np.round(value / quantum) * quantum)


def round_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 not above each threshold: x <= threshold is the same for every float32
    x.
    """
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def from_sklearn(estimators: Sequence[Any], value: Sequence[FloatArray], features: int) -> Trees:
    """Trees of scikit-learn's `tree_` objects; `value`: one [nodes, K] array a tree, leaves
    count.
    """
    nodes = [estimator.tree_ for estimator in estimators]
    sizes = np.array([tree.node_count for tree in nodes])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    start = np.repeat(first, sizes)
    self_index = np.arange(sizes.sum())
    left = np.concatenate([tree.children_left for tree in nodes])
    right = np.concatenate([tree.children_right for tree in nodes])
    leaf = left < 0
    values = np.concatenate(list(value))
    return Trees(
        first=first,
        feature=np.where(leaf, 0, np.concatenate([tree.feature for tree in nodes])).astype(
            np.int32
        ),
        threshold=np.where(
            leaf, np.float32(0), round_down(np.concatenate([tree.threshold for tree in nodes]))
        ),
        left=np.where(leaf, self_index, left + start).astype(np.int32),
        right=np.where(leaf, self_index, right + start).astype(np.int32),
        missing_left=~leaf
        & np.concatenate([tree.missing_go_to_left for tree in nodes]).astype(bool),
        value=np.where(leaf[:, None], values, 0.0),
        gain=np.concatenate([_gain(tree) for tree in nodes]),
        features=features,
        outputs=values.shape[1],
        cover=np.concatenate([_cover(tree) for tree in nodes]),
    )


def _cover(tree: Any) -> npt.NDArray[np.uint32]:
    """Training rows of every node; where they have weights, in parts of the tree's so small that no
    share is off by more than 1e-9.
    """
    rows = np.asarray(tree.weighted_n_node_samples)
    if not (rows == np.rint(rows)).all():
        rows = np.maximum(np.rint(rows * (WHOLE_TREE / rows[0])), 1.0)
    return rows.astype(np.uint32)


def _gain(tree: Any) -> FloatArray:
    """Weighted decrease of impurity at every branch, as a share of the tree's sum."""
    weighted = tree.weighted_n_node_samples * tree.impurity
    leaf = tree.children_left < 0
    gain = weighted - weighted[tree.children_left] - weighted[tree.children_right]
    gain = np.where(leaf, 0.0, np.maximum(gain, 0.0))
    return np.asarray(gain / gain.sum() if gain.sum() > 0 else gain)
