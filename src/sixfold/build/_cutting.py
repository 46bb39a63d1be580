"""Weakest-link pruning of one grown tree for any number of complexities (Breiman, Friedman, Olshen
and Stone, 1984, ch. 3).

A branch t with |T_t| leaves is worth g(t) = (R(t) - R(T_t)) / (|T_t| - 1), where R is the impurity
weighted by the share of rows. The weakest branch becomes a leaf, again and again, until only the
root is left: the trees of all complexities are nested in this one order. Sums are added in the
order in which scikit-learn adds them, so that ties break alike.

Shape letters: N nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sixfold.parts.table import BoolArray, FloatArray, IntArray

NODES = (
    "children_left",
    "children_right",
    "feature",
    "threshold",
    "missing_go_to_left",
    "impurity",
    "weighted_n_node_samples",
    "value",
)


@dataclass(frozen=True)
class Nodes:
    """What scikit-learn's `tree_` holds of each node; a leaf's children are -1, and the root is
    node 0.
    """

    children_left: IntArray
    children_right: IntArray
    feature: IntArray
    threshold: FloatArray
    missing_go_to_left: IntArray
    impurity: FloatArray
    weighted_n_node_samples: FloatArray
    value: FloatArray

    @classmethod
    def of(cls, tree: Any) -> Self:
        """Those of a grown `tree_`."""
        return cls(*(np.asarray(getattr(tree, name)) for name in NODES))

    @property
    def node_count(self) -> int:
        """Branches and leaves."""
        return len(self.feature)

    @property
    def tree_(self) -> Self:
        """Itself: stands in for the fitted estimator."""
        return self

    def parents(self) -> IntArray:
        """[N]; -1 for the root."""
        parent = np.full(self.node_count, -1, dtype=np.int64)
        for child in (self.children_left, self.children_right):
            branch = np.flatnonzero(child >= 0)
            parent[child[branch]] = branch
        return parent

    def cut(self, below: BoolArray) -> Self:
        """Without the nodes `below` [N]: whoever loses its children is a leaf."""
        number = np.cumsum(~below) - 1
        arrays = {name: getattr(self, name)[~below] for name in NODES}
        for name in ("children_left", "children_right"):
            child = arrays[name]
            arrays[name] = np.where((child >= 0) & ~below[child], number[child], -1)
        return type(self)(**arrays)


class WeakestLinks:
    """The order in which the branches of a tree become leaves: `worth` [cuts], never falling, and
    `cut_at` [N], the number of the cut that removes a node (the number of all cuts: none does).
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self._risk = (
            nodes.weighted_n_node_samples * nodes.impurity / nodes.weighted_n_node_samples[0]
        )
        self._parent = nodes.parents().tolist()
        self._branch_risk, self._leaves = self._sums()
        self._gone = np.zeros(nodes.node_count, dtype=bool)
        worth, removed = [], []
        open_branches = nodes.children_left >= 0
        while open_branches[0]:
            number = np.flatnonzero(open_branches)
            share = (self._risk[number] - self._branch_risk[number]) / (self._leaves[number] - 1)
            weakest = int(number[share.argmin()])  # the first of equals
            worth.append(float(share.min()))
            below = self._below(weakest)
            removed.append(below)
            open_branches[[weakest, *below]] = False
            self._collapse(weakest)
        self.worth = np.maximum.accumulate(np.array(worth, dtype=np.float64))
        self.cut_at = np.full(nodes.node_count, len(worth))
        for cut, below in enumerate(removed):
            self.cut_at[below] = cut

    def tree(self, alpha: float) -> Nodes:
        """The tree cut back where a branch is worth at most `alpha`; 0 cuts nothing, as in
        scikit-learn.
        """
        cuts = int(np.searchsorted(self.worth, alpha, side="right")) if alpha > 0 else 0
        return self.nodes.cut(self.cut_at < cuts)

    def _sums(self) -> tuple[FloatArray, IntArray]:
        """Risk and number of the leaves below every node, [N]; leaf after leaf, each to all above
        it.
        """
        risk, leaves = (
            np.zeros(self.nodes.node_count),
            np.zeros(self.nodes.node_count, dtype=np.int64),
        )
        for leaf in np.flatnonzero(self.nodes.children_left < 0):
            above = self._above(int(leaf))
            risk[leaf] = self._risk[leaf]
            risk[above] += self._risk[leaf]
            leaves[above] += 1
        return risk, leaves

    def _above(self, node: int) -> list[int]:
        found = []
        while (node := self._parent[node]) >= 0:
            found.append(node)
        return found

    def _below(self, node: int) -> list[int]:
        """The nodes below that are still there; now they are not."""
        left, right = self.nodes.children_left, self.nodes.children_right
        found, stack = [], [int(left[node]), int(right[node])]
        while stack:
            each = stack.pop()
            if each >= 0 and not self._gone[each]:
                found.append(each)
                stack += [int(left[each]), int(right[each])]
        self._gone[found] = True
        return found

    def _collapse(self, node: int) -> None:
        above = self._above(node)
        self._branch_risk[above] += self._risk[node] - self._branch_risk[node]
        self._leaves[above] -= self._leaves[node] - 1
