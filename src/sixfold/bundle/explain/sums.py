"""Scores that are sums, explained exactly: of trees, or of features times weights."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.attributions import Floats, Scale
from sixfold.bundle.explain.graph_trees import trees_of
from sixfold.bundle.explain.stored import Link, Stored
from sixfold.bundle.explain.tree_shap import TreeShap
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.onnx_graph import DOUBLE
from sixfold.bundle.onnx_messages import WireError

SCALES: Final[dict[Link, Scale]] = {
    "identity": "value",
    "sigmoid": "log-odds",
    "softmax": "score",
    "share": "probability",
}
VALUE_S: Final = 5e-9  # a feature, a score and a row of a linear model


class Additions(NamedTuple):
    """`base` [K], and `values` [rows, columns, K] that are added to it."""

    base: Floats
    values: Floats


class Sum(Protocol):
    """`value`: the features in the graph, and their type there. `row_s`: seconds a row, about."""

    value: str
    elem_type: int
    row_s: float

    def additions(self, x: npt.NDArray[Any], columns: int) -> Additions:
        """Of features [rows, features], summed over each raw column."""


class SumOfTrees:
    """By TreeSHAP. Raises WireError for another graph than the file was written with."""

    def __init__(self, stored: Stored, model: CheckedModel) -> None:
        trees = trees_of(model.graph, stored.arrays["cover"])
        self.value, self.elem_type = trees.features, trees.elem_type
        self._shap = TreeShap(trees, stored.kind == "mean of trees")
        self._source, self.row_s = stored.arrays["source"], self._shap.row_s
        asked = max(int(block.feature.max()) for block in self._shap.blocks)
        if asked >= len(self._source):
            raise WireError("a tree that asks a feature of no column")

    def additions(self, x: npt.NDArray[Any], columns: int) -> Additions:
        """Shapley values of features, summed over each column's."""
        values, order = self._shap.values(x), np.argsort(self._source, kind="stable")
        found = np.zeros((len(x), columns, values.shape[2]))
        own, starts = np.unique(self._source[order], return_index=True)
        found[:, own] = np.add.reduceat(values[:, order], starts, axis=1)
        return Additions(self._shap.base, found)


class SumOfWeights:
    """Weight times distance from the mean: the Shapley values of a linear score whose features are
    independent (Štrumbelj and Kononenko, 2014).
    """

    def __init__(self, stored: Stored) -> None:
        self.value, self.elem_type = stored.value, DOUBLE
        self._arrays = stored.arrays
        self.row_s = VALUE_S * stored.arrays["weights"].size

    def additions(self, x: npt.NDArray[Any], columns: int) -> Additions:
        """Column by column, so that no array has a value a row, feature and score."""
        mean, weights, source = (self._arrays[name] for name in ("mean", "weights", "source"))
        found = np.zeros((len(x), columns, weights.shape[1]))
        for column in np.unique(source).tolist():
            own = np.flatnonzero(source == column)
            found[:, column] = (x[:, own] - mean[own]) @ weights[own]
        return Additions(mean @ weights + self._arrays["bias"], found)


def sum_of(stored: Stored, model: CheckedModel) -> Sum:
    """Raises WireError for another graph than the file was written with."""
    if stored.kind != "linear":
        return SumOfTrees(stored, model)
    names = {*model.graph.inputs, *(name for node in model.graph.nodes for name in node.outputs)}
    if stored.value not in names:
        raise WireError("a graph without the features of the linear model")
    return SumOfWeights(stored)


def of_classes(link: Link, found: Additions) -> Additions:
    """Of two classes with one score, both: the first one's is the opposite."""
    if link not in ("sigmoid", "share") or len(found.base) != 1:
        return found
    first = 1.0 - found.base if link == "share" else -found.base
    return Additions(
        np.concatenate([first, found.base]),
        np.concatenate([0.0 - found.values, found.values], axis=2),
    )


def answers(link: Link, scores: Floats) -> Floats:
    """What the model answers to scores [rows, outputs]."""
    if link == "softmax":
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
    if link == "sigmoid":
        return np.asarray((1.0 + np.tanh(scores / 2)) / 2)
    return scores
