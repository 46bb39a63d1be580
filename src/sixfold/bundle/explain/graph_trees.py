"""The trees of a checked graph, with the training rows of every leaf: what TreeSHAP walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.onnx_graph import ModelGraph, Node
from sixfold.bundle.onnx_messages import WireError

TREES: Final = "TreeEnsemble"
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """Trees that take one value. `child`: [branches, 2], the side that a row takes where
    x <= threshold first; a branch's number, or ~n for leaf n. `value`: [leaves, W]; W = 1: `target`
    [leaves] says to which score it is added, else to all of W.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    missing_first: npt.NDArray[np.bool_]
    child: Ints
    value: Floats
    target: Ints
    cover: Floats

    @property
    def wide(self) -> bool:
        """Whether a leaf adds to every score."""
        return bool(self.value.shape[1] > 1)


@dataclass(frozen=True)
class GraphTrees:
    """All trees of a graph. `features`: the graph's inner value that they ask, and its type."""

    forests: tuple[Forest, ...]
    features: str
    elem_type: int
    scores: int

    @property
    def count(self) -> int:
        """Trees."""
        return sum(len(forest.roots) for forest in self.forests)


def trees_of(graph: ModelGraph, cover: npt.NDArray[Any]) -> GraphTrees:
    """Raises WireError for a graph that `Trees.export` did not write, or with other leaves than
    `cover` has.
    """
    nodes = [node for node in graph.nodes if node.operator == TREES]
    if not nodes or len({node.inputs for node in nodes}) > 1:
        raise WireError("a graph whose trees do not take one value")
    leaves = [len(node.integers("leaf_targetids")) for node in nodes]
    if sum(leaves) != len(cover):
        raise WireError(f"{len(cover):,} counts of training rows for {sum(leaves):,} leaves")
    takers = {name: node for node in graph.nodes for name in node.inputs}
    parts = np.split(cover.astype(np.float64), np.cumsum(leaves)[:-1])
    forests = tuple(
        _forest(node, part, _table(node, takers, graph))
        for node, part in zip(nodes, parts, strict=True)
    )
    widths = {forest.value.shape[1] for forest in forests}
    if len(widths) > 1:
        raise WireError("trees of several widths")
    scores = widths.pop()
    if scores == 1:
        scores = nodes[0].integer("n_targets", 1)
    kind = nodes[0].attributes["nodes_splits"].data_type
    return GraphTrees(forests, nodes[0].inputs[0], kind, scores)


def _table(node: Node, takers: dict[str, Node], graph: ModelGraph) -> Floats | None:
    """The rows that the numbers of an ensemble's leaves stand for; None where a leaf holds its own
    value.
    """
    cast = takers.get(node.outputs[0])
    gather = takers.get(cast.outputs[0]) if cast is not None and cast.operator == "Cast" else None
    if gather is None or gather.operator != "Gather" or cast is None:
        return None
    table = graph.tensors.get(gather.inputs[0])
    if table is None or gather.inputs[1] != cast.outputs[0]:
        return None
    if len(table.dims) != 2:
        raise WireError("leaves whose values are no table")
    return table.floats().reshape(table.dims)


def _forest(node: Node, cover: Floats, table: Floats | None) -> Forest:
    sides = []
    for side in ("true", "false"):
        number, leaf = node.integers(f"nodes_{side}nodeids"), node.integers(f"nodes_{side}leafs")
        sides.append(np.where(leaf != 0, ~number, number))
    weights = node.attributes["leaf_weights"].floats()
    if table is not None and not bool(((weights >= 0) & (weights < len(table))).all()):
        raise WireError("a leaf whose values are not there")
    tracks = node.integers("nodes_missing_value_tracks_true")
    feature = node.integers("nodes_featureids")
    return Forest(
        roots=node.integers("tree_roots"),
        feature=feature,
        threshold=node.attributes["nodes_splits"].floats(),
        missing_first=tracks != 0 if len(tracks) else np.zeros(len(feature), dtype=bool),
        child=np.stack(sides, axis=1),
        value=weights[:, None] if table is None else table[weights.astype(np.int64)],
        target=node.integers("leaf_targetids"),
        cover=cover,
    )
