"""What tree, forest and extra_trees share: the mean over trees grown by scikit-learn, as class
shares or values.

Shape letters: R rows, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sixfold.build import _links
from sixfold.build._classes import present
from sixfold.build._trees import Trees, from_sklearn, on_grid
from sixfold.core.errors import RecipeError
from sixfold.parts.fit import Additive, Fit, Matrix, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import taken

CRITERIA = {"classification": ("gini", "entropy"), "regression": ("squared_error",)}


@dataclass(frozen=True)
class AveragedTrees(State):
    """The mean of the trees. For two classes the trees hold the share of class 1 only."""

    trees: Trees
    task: Task

    @property
    def output(self) -> OutputKind:
        """Probabilities for classes, values otherwise."""
        return "probability" if self.task == "classification" else "value"

    @property
    def node_count(self) -> int:
        """Branches and leaves of all trees."""
        return self.trees.node_count

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, K] float64."""
        return self._mean(self.trees.total(x))

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`predict` of rows of which most features are those of `x`."""
        total = self.trees.near(x)
        return lambda other: self._mean(total(other))

    def _mean(self, total: FloatArray) -> FloatArray:
        if self.task != "classification":
            return total / self.trees.count
        if self.trees.outputs > 1:
            return np.asarray(total / total.sum(axis=1, keepdims=True), dtype=np.float64)
        share = total / self.trees.count
        return np.concatenate([1.0 - share, share], axis=1)

    def export(self, graph: Graph, x: str) -> str:
        """The ensemble's sums, then the mean; classes' shares are the same bits as `predict`
        gives.
        """
        total = self.trees.export(graph, x)
        if self.task == "classification" and self.trees.outputs > 1:
            every = graph.op("ReduceSum", total, graph.constant([1], np.int64), keepdims=1)
            return graph.op("Div", total, every)
        mean = graph.op("Div", total, graph.constant(float(self.trees.count), np.float64))
        return mean if self.task != "classification" else _links.both_classes(graph, mean)

    def additive(self) -> Additive | None:
        """A mean of trees; of two classes that of the second one's share."""
        cover = self.trees.leaf_cover()
        link: Literal["identity", "share"] = (
            "share" if self.task == "classification" else "identity"
        )
        return Additive("mean of trees", link, {"cover": cover}) if len(cover) else None

    def importances(self) -> FloatArray:
        """Share of the decrease of impurity that each feature brought, [F], sum 1; every tree has
        the same weight.
        """
        return self.trees.importances()


NODE_BYTES = 37  # of a node in `Trees`, without its values
GROWN_BYTES = 72  # of a node while it grows, without its values: scikit-learn's nodes, and room for more of them


def expected_nodes(grow: Callable[[Fit], Any], few: Fit, rows: int, max_depth: int | None) -> float:
    """Nodes of a tree on `rows` rows: grown on a quarter of the few rows and on all of them, and on
    along the same power.
    """
    some = np.arange(0, few.rows, 4)
    small, large = (
        grow(fit).tree_.node_count
        for fit in (
            replace(few, x=few.x[some], y=few.y[some], weights=taken(few.weights, some)),
            few,
        )
    )
    more = rows / max(1, few.rows)
    if more <= 1 or len(some) < 2:
        return float(large)
    power = min(1.0, max(0.3, np.log(large / small) / np.log(few.rows / len(some))))
    return float(min(large * more**power, 2.0 ** min(64, (max_depth or 64) + 1)))


def value_bytes(few: Fit) -> int:
    """Of a node's values: a class's share or a value, each."""
    return 8 * (1 if few.task == "classification" and few.outputs == 2 else few.outputs)


def least_leaf(rows: int, fit: Fit) -> dict[str, Any]:
    """`min_rows_leaf` in scikit-learn's words: of rows that count more or less, a share of them
    all. Rounding takes no leaf that has just enough.
    """
    if fit.weights is None:
        return {"min_samples_leaf": rows}
    share = (1.0 - 1e-9) * rows / float(fit.weights.sum())
    if share > 0.5:  # no node can be divided
        return {"min_samples_split": fit.rows + 1}
    return {"min_weight_fraction_leaf": share}


def criterion(name: str, task: Task, family: str) -> str:
    """The criterion in scikit-learn's words; `auto` is the task's first. Raises RecipeError for the
    other task's.
    """
    allowed = CRITERIA["classification" if task == "classification" else "regression"]
    if name == "auto":
        return allowed[0]
    if name not in allowed:
        raise RecipeError(
            f"build.{family}.criterion",
            f"a criterion of {task}: auto, {', '.join(allowed)}",
            f"'{name}'",
            "Leave criterion out, or choose one of these.",
        )
    return name


def classes(fit: Fit, family: str) -> IntArray:
    """The classes among the rows, sorted; none for values. Raises FitError when there is only
    one.
    """
    return present(fit, family) if fit.task == "classification" else np.empty(0, dtype=np.int64)


def collect(
    estimators: Sequence[Any], fit: Fit, names: IntArray, offset: float | FloatArray = 0.0
) -> AveragedTrees:
    """The state of fitted scikit-learn trees; `names`: what their value columns stand for (a forest
    renumbers them); `offset`: as `_targets.centered` found it.
    """
    if fit.task != "classification":
        values = [tree.tree_.value[:, :, 0] + offset for tree in estimators]
        return AveragedTrees(from_sklearn(estimators, values, fit.x.shape[1]), fit.task)
    shares = []
    for estimator in estimators:
        share = np.zeros((estimator.tree_.node_count, fit.outputs))
        share[:, names] = estimator.tree_.value[:, 0, :]
        shares.append(on_grid(share[:, 1:] if fit.outputs == 2 else share, len(estimators)))
    return AveragedTrees(from_sklearn(estimators, shares, fit.x.shape[1]), fit.task)
