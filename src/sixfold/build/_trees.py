"""An ensemble of binary trees as flat node arrays: its NumPy descent and its ONNX node, for tree, forest and boosting.

Shape letters: R rows, F features, T trees, N nodes (of all trees together), W values a node, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sixfold.parts.fit import Matrix
from sixfold.parts.graph import ML, Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import BoolArray, FloatArray, IntArray

BLOCK = 1 << 16  # (row, tree) pairs walked at once: their index arrays stay in the processor's second-level cache
FLOAT32_BITS = 24  # multiples of q are exact in float32 up to 2^24 q, and so are their sums, in any order


@dataclass(frozen=True)
class Trees(State):
    """Nodes of all trees, each tree's nodes together and its root first.

    A row goes left when x <= threshold, or x is NaN and `missing_left`. A leaf is a node whose children are itself.
    `first`: int64 [T], the roots. `feature`, `left`, `right`: int32 [N]; `threshold`: float32 [N] (x is float32, so a
    double threshold is rounded down: no comparison changes). `value`: float64 [N, W], 0 at branches. W = K: every tree
    adds to every output; W = 1: tree t adds to output t mod K. `gain`: float64 [N], what a split improved.
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
        """[R, F] float32 → [R, K] float64: the sum over the trees of the value of the leaf that each row falls into."""
        x32 = np.ascontiguousarray(x, dtype=np.float32)
        child = np.stack([self.left, self.right], axis=1).astype(np.intp).ravel()
        result = np.empty((len(x32), self.outputs))
        step = max(1, BLOCK // self.count)
        for start in range(0, len(x32), step):
            leaf_RT = self._descend(x32[start : start + step], child)
            result[start : start + step] = self._add_up(leaf_RT)
        return result

    def _descend(self, x_RF: npt.NDArray[np.float32], child: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        rows = len(x_RF)
        flat = x_RF.ravel()
        feature = self.feature.astype(np.intp)
        offset_R1 = (np.arange(rows) * self.features)[:, None]
        node_RT = np.repeat(self.first[None, :].astype(np.intp), rows, axis=0)
        has_missing = bool(np.isnan(flat).any())
        while True:
            value_RT = flat.take(feature.take(node_RT) + offset_R1)
            right_RT = ~(value_RT <= self.threshold.take(node_RT))
            if has_missing:
                right_RT &= ~(np.isnan(value_RT) & self.missing_left.take(node_RT))
            next_RT = child.take(2 * node_RT + right_RT)
            if np.array_equal(next_RT, node_RT):
                return node_RT
            node_RT = next_RT

    def _add_up(self, leaf_RT: npt.NDArray[np.intp]) -> FloatArray:
        if self.value.shape[1] == self.outputs:
            return np.asarray(self.value[leaf_RT].sum(axis=1), dtype=np.float64)
        value_RT = self.value[leaf_RT, 0]
        return np.stack([value_RT[:, k :: self.outputs].sum(axis=1) for k in range(self.outputs)], axis=1)

    def keep_first(self, trees: int) -> Self:
        """The first `trees` trees."""
        end = int(self.first[trees]) if trees < self.count else self.node_count
        parts = ("feature", "threshold", "left", "right", "missing_left", "value", "gain")
        return replace(self, first=self.first[:trees], **{name: getattr(self, name)[:end] for name in parts})

    def raised(self, amount: float) -> Self:
        """The same trees with `amount` added to every sum: to the leaves of the first tree."""
        in_first = np.arange(self.node_count) < (self.first[1] if self.count > 1 else self.node_count)
        return replace(self, value=np.where((in_first & self.leaves())[:, None], self.value + amount, self.value))

    def importances(self) -> FloatArray:
        """Share of all gain that splits on each feature brought, [F], sum 1 (all 0 when nothing was split)."""
        gain_F = np.bincount(self.feature, weights=self.gain, minlength=self.features)
        return np.asarray(gain_F / max(gain_F.sum(), np.finfo(np.float64).tiny), dtype=np.float64)

    def export(self, graph: Graph, x: str) -> str:
        """One TreeEnsembleRegressor; returns the sums as double [R, K].

        onnxruntime adds up in float32. Every leaf value is therefore written as hi + lo, each its own target: hi is a
        multiple of a power of two so coarse that sums of it are exact, lo is the small rest (left out where all are 0).
        The error left is below 2^-40 of the largest possible sum.
        """
        hi, lo = split_exactly(self.value, self.first)
        exact = not lo.any()
        node = graph.op("TreeEnsembleRegressor", x, domain=ML, **self._attributes(hi, None if exact else lo))
        total = graph.cast(node, TensorProto.DOUBLE)
        if exact:
            return total
        every = np.arange(self.outputs)
        return graph.op("Add", graph.take_columns(total, every), graph.take_columns(total, every + self.outputs))

    def _attributes(self, hi: FloatArray, lo: FloatArray | None) -> dict[str, Any]:
        sizes = np.diff(np.append(self.first, self.node_count))
        tree = np.repeat(np.arange(self.count), sizes)
        local = np.arange(self.node_count) - self.first[tree]
        leaf = self.leaves()
        weights = hi if lo is None else np.concatenate([hi, lo], axis=1)
        node_of, target_of, weight_of = self._targets(tree, np.flatnonzero(leaf), weights)
        attributes: dict[str, Any] = {
            "n_targets": self.outputs * (1 if lo is None else 2),
            "aggregate_function": "SUM",
            "post_transform": "NONE",
            "nodes_treeids": tree,
            "nodes_nodeids": local,
            "nodes_featureids": np.where(leaf, 0, self.feature),
            "nodes_values": np.where(leaf, np.float32(0), self.threshold),
            "nodes_truenodeids": np.where(leaf, 0, self.left - self.first[tree]),
            "nodes_falsenodeids": np.where(leaf, 0, self.right - self.first[tree]),
            "nodes_missing_value_tracks_true": np.where(leaf, 0, self.missing_left).astype(np.int64),
            "target_treeids": tree[node_of],
            "target_nodeids": local[node_of],
            "target_ids": target_of,
            "target_weights": weight_of.astype(np.float32),
        }
        lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in attributes.items()}
        return {**lists, "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()}

    def _targets(
        self, tree: IntArray, leaves: IntArray, weights: FloatArray
    ) -> tuple[IntArray, IntArray, FloatArray]:  # fmt: skip
        """Leaf, output and weight of every contribution; zeros are left out, but every leaf keeps its first one."""
        width = weights.shape[1]
        node_of, column_of = np.repeat(leaves, width), np.tile(np.arange(width), len(leaves))
        weight_of = weights[node_of, column_of]
        kept = (weight_of != 0) | (column_of == 0)
        node_of, column_of, weight_of = node_of[kept], column_of[kept], weight_of[kept]
        if self.value.shape[1] == self.outputs:
            return node_of, column_of, weight_of
        return node_of, tree[node_of] % self.outputs + self.outputs * column_of, weight_of


def split_exactly(value: FloatArray, first: IntArray) -> tuple[FloatArray, FloatArray]:
    """[N, W] → hi, lo with hi + lo = value, such that a sum of hi over one node a tree is exact in float32."""
    bound = float(np.maximum.reduceat(np.abs(value).max(axis=1), first).sum())
    if bound == 0:
        return value, np.zeros_like(value)
    quantum = 2.0 ** (np.ceil(np.log2(bound)) - FLOAT32_BITS + 1)  # one bit of room: hi may be rounded up
    hi = np.round(value / quantum) * quantum
    return hi, value - hi


def on_grid(value: FloatArray, trees: int) -> FloatArray:
    """Shares in [0, 1] rounded to the grid on which sums over `trees` trees are exact in float32 and in float64.

    So equal sums stay equal in whatever order they are added, and ties between classes break alike everywhere. The
    rounding of a mean over the trees is at most trees · 2^-24.
    """
    quantum = 2.0 ** (np.ceil(np.log2(trees)) - FLOAT32_BITS)
    return np.asarray(np.round(value / quantum) * quantum)


def round_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 not above each threshold: x <= threshold is the same for every float32 x."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def from_sklearn(estimators: Sequence[Any], value: Sequence[FloatArray], features: int) -> Trees:
    """Trees of scikit-learn's `tree_` objects; `value`: one [nodes, K] array a tree, leaves count."""
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
        feature=np.where(leaf, 0, np.concatenate([tree.feature for tree in nodes])).astype(np.int32),
        threshold=np.where(leaf, np.float32(0), round_down(np.concatenate([tree.threshold for tree in nodes]))),
        left=np.where(leaf, self_index, left + start).astype(np.int32),
        right=np.where(leaf, self_index, right + start).astype(np.int32),
        missing_left=~leaf & np.concatenate([tree.missing_go_to_left for tree in nodes]).astype(bool),
        value=np.where(leaf[:, None], values, 0.0),
        gain=np.concatenate([_gain(tree) for tree in nodes]),
        features=features,
        outputs=values.shape[1],
    )


def _gain(tree: Any) -> FloatArray:
    """Weighted decrease of impurity at every branch, as a share of the tree's sum."""
    weighted = tree.weighted_n_node_samples * tree.impurity
    leaf = tree.children_left < 0
    gain = weighted - weighted[tree.children_left] - weighted[tree.children_right]
    gain = np.where(leaf, 0.0, np.maximum(gain, 0.0))
    return np.asarray(gain / gain.sum() if gain.sum() > 0 else gain)
