"""Rows through trees to their leaves, in NumPy: every pair of row and tree, or the pairs that
changed features can move.

Shape letters: R rows, F features, T trees, N nodes (of all trees together), P pairs of row and tree
that are still walked.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sixfold.parts.table import BoolArray

if TYPE_CHECKING:  # trees are walked by what is written here
    from sixfold.build._trees import Trees

FEW = 0.75  # where fewer of the pairs walked last are not at a leaf yet, the others are put aside (measured)

Indices = npt.NDArray[np.intp]


class Descent:
    """The nodes of trees, ready to be walked."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._first, self._feature = trees.first.astype(np.intp), trees.feature.astype(np.intp)
        self._child = np.stack([trees.left, trees.right], axis=1).astype(np.intp).ravel()

    def leaves(self, x_RF: npt.NDArray[np.float32]) -> Indices:
        """The leaf of every row in every tree, [R, T]."""
        leaf = np.tile(self._first, len(x_RF))
        self._walk(x_RF, np.arange(len(leaf)), leaf)
        return leaf.reshape(len(x_RF), -1)

    def asking(self, changed_F: BoolArray) -> BoolArray:
        """[N] whether the way from the root to a node, or to a leaf, asks one of these features."""
        asks, passed = changed_F[self._feature], np.zeros(len(self._feature), dtype=bool)
        for parents in self._levels:
            below = passed[parents] | asks[parents]
            passed[self._child[2 * parents]] = below
            passed[self._child[2 * parents + 1]] = below
        return passed

    def moved(
        self, x_RF: npt.NDArray[np.float32], leaf_RT: Indices, asking_N: BoolArray
    ) -> Indices:
        """`leaves` of rows for which only ways that are `asking` can have become others than those
        to `leaf_RT`.
        """
        leaf = leaf_RT.copy().ravel()
        pairs = np.flatnonzero(asking_N[leaf])
        leaf[pairs] = self._first[pairs % len(self._first)]
        self._walk(x_RF, pairs, leaf)
        return leaf.reshape(leaf_RT.shape)

    def _walk(self, x_RF: npt.NDArray[np.float32], pair_P: Indices, leaf: Indices) -> None:
        """Write into `leaf` [R · T] where the pairs end, which are at its nodes.

        Trees grown leaf by leaf are twice as deep as their leaves are on average.
        """
        flat, threshold, missing_left = (
            x_RF.ravel(),
            self._trees.threshold,
            self._trees.missing_left,
        )
        has_missing = bool(np.isnan(flat).any())
        node_P, offset_P = leaf[pair_P], pair_P // max(1, len(self._first)) * self._trees.features
        while len(node_P):
            value_P = flat.take(self._feature.take(node_P) + offset_P)
            right_P = ~(value_P <= threshold.take(node_P))
            if has_missing:
                right_P &= ~(np.isnan(value_P) & missing_left.take(node_P))
            next_P = self._child.take(2 * node_P + right_P)
            moved_P = next_P != node_P
            node_P = next_P
            if np.count_nonzero(moved_P) < FEW * len(moved_P):
                leaf[pair_P] = node_P
                left = np.flatnonzero(moved_P)
                pair_P, node_P, offset_P = pair_P[left], node_P[left], offset_P[left]

    @cached_property
    def _levels(self) -> list[Indices]:
        """The branches of all trees, the roots first: of every level before those below it."""
        levels, nodes = [], self._first
        while len(nodes):
            branches = nodes[self._child[2 * nodes] != nodes]
            levels.append(branches)
            nodes = np.concatenate([self._child[2 * branches], self._child[2 * branches + 1]])
        return levels
