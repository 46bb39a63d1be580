"""A tree ensemble that ends: onnxruntime follows the numbers of branches wherever they lead."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.onnx_graph import Node
from sixfold.bundle.onnx_messages import WireError

SIDES: Final = ("true", "false")
Numbers = npt.NDArray[np.int64]


def check_trees(node: Node, width: int, targets: int) -> None:
    """Every branch is a root or below exactly one other, which comes before it, so that a row meets
    each at most once; every feature, leaf and target is there. `width`: of the features; `targets`:
    of the sums. Raises WireError.
    """
    sides = [
        (node.integers(f"nodes_{side}nodeids"), node.integers(f"nodes_{side}leafs"))
        for side in SIDES
    ]
    _check_lengths(node, sides)
    features, leaf_targets = node.integers("nodes_featureids"), node.integers("leaf_targetids")
    leaves = np.concatenate([numbers[leafs != 0] for numbers, leafs in sides])
    for what, numbers, most in (
        ("feature", features, width),
        ("leaf", leaves, len(leaf_targets)),
        ("target", leaf_targets, targets),
    ):
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < most):
            raise WireError(f"a TreeEnsemble with a {what} that is not there")
    below = [numbers[leafs == 0] for numbers, leafs in sides]
    above = [np.flatnonzero(leafs == 0) for _, leafs in sides]
    if not np.array_equal(
        np.sort(np.concatenate([node.integers("tree_roots"), *below])), np.arange(len(features))
    ):
        raise WireError("a TreeEnsemble with a branch that is not below exactly one other")
    if bool((np.concatenate(below) <= np.concatenate(above)).any()):
        raise WireError("a TreeEnsemble with a branch below itself")


def _check_lengths(node: Node, sides: list[tuple[Numbers, Numbers]]) -> None:
    branches, values = len(node.integers("nodes_featureids")), node.attributes
    lengths: set[Any] = {len(numbers) for side in sides for numbers in side}
    lengths |= {values[name].size for name in ("nodes_splits", "nodes_modes")}
    tracks = len(node.integers("nodes_missing_value_tracks_true"))
    leaves = len(node.integers("leaf_targetids"))
    if (
        lengths != {branches}
        or tracks not in (0, branches)
        or values["leaf_weights"].size != leaves
    ):
        raise WireError("a TreeEnsemble whose lists are of several lengths")
