"""LightGBM's model text as node arrays.

Its JSON dump holds the same numbers, but took longer than making the trees did (3,717 trees): a
Python object a node. In the text every tree is a few lines of numbers, which NumPy reads whole.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sixfold.build._trees import Trees, round_down
from sixfold.parts.table import IntArray

Number = TypeVar("Number", bound=np.generic)

DEFAULT_LEFT, MISSING = 2, 12  # bits of `decision_type`: NaN goes left; how NaN is read
MISSING_IS_NAN = 8  # the column had NaN in training; otherwise NaN is read as 0


def read_trees(text: str, outputs: int) -> Trees:
    """`Booster.model_to_string` as arrays: in each tree the branches, root first, then the leaves.

    Splits are numerical (`<=`), no column is declared categorical. NaN goes where `default_left`
    says if the column had NaN in training (missing type NaN); else LightGBM reads NaN as 0 (missing
    type None).
    """
    head, _, rest = text.partition("\nTree=0\n")
    found = _fields(rest.partition("\nend of trees")[0])
    leaves = _numbers(found["num_leaves"]).astype(np.int64)
    sizes = 2 * leaves - 1
    first = np.cumsum(sizes) - sizes
    tree = np.repeat(np.arange(len(leaves)), leaves - 1)  # of each branch
    branch = np.arange(len(tree)) + (np.cumsum(leaves) - leaves)[tree]
    leaf = np.ones(sizes.sum(), dtype=bool)
    leaf[branch] = False
    threshold = _numbers(found["threshold"])
    decision = _numbers(found["decision_type"]).astype(np.int64)
    default_left = (decision & DEFAULT_LEFT) > 0
    missing_left = np.where((decision & MISSING) == MISSING_IS_NAN, default_left, threshold >= 0.0)

    child = {side: _numbers(found[side]).astype(np.int64) for side in ("left_child", "right_child")}
    # branches count from 0 in their tree, leaves from -1 down
    node = {
        side: first[tree] + np.where(at >= 0, at, (leaves - 1)[tree] - at - 1)
        for side, at in child.items()
    }
    itself, value = np.arange(len(leaf)), np.zeros(len(leaf))
    value[leaf] = _numbers(found["leaf_value"])
    cover = np.zeros(len(leaf), dtype=np.uint32)
    # a tree of one leaf may say 0 rows, or none
    cover[leaf] = np.maximum(_numbers([line or "1" for line in found["leaf_count"]]), 1)
    cover[branch] = _numbers(found["internal_count"])
    return Trees(
        first=first,
        feature=_spread(_numbers(found["split_feature"]).astype(np.int32), branch, len(leaf)),
        threshold=_spread(round_down(threshold), branch, len(leaf)),
        left=np.where(leaf, itself, _spread(node["left_child"], branch, len(leaf))).astype(
            np.int32
        ),
        right=np.where(leaf, itself, _spread(node["right_child"], branch, len(leaf))).astype(
            np.int32
        ),
        missing_left=_spread(missing_left, branch, len(leaf)),
        value=value[:, None],
        gain=_spread(np.maximum(_numbers(found["split_gain"]), 0.0), branch, len(leaf)),
        features=int(head.partition("\nmax_feature_idx=")[2].partition("\n")[0]) + 1,
        outputs=outputs,
        cover=cover,
    )


def _fields(trees: str) -> dict[str, list[str]]:
    """The lines of all trees, by their names."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in trees.split("\n"):
        name, _, values = line.partition("=")
        found[name].append(values)
    return found


def _spread(values: npt.NDArray[Number], at: IntArray, size: int) -> npt.NDArray[Number]:
    """Zeros [size] with `values` in the places `at`."""
    whole = np.zeros(size, dtype=values.dtype)
    whole[at] = values
    return whole


def _numbers(lines: list[str]) -> npt.NDArray[np.float64]:
    """The numbers of all lines, one after the other; a tree of one leaf has empty ones."""
    text = " ".join(line for line in lines if line)
    return np.fromstring(text, sep=" ") if text else np.empty(0)
