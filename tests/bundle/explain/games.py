"""Shapley values by their definition: a sum over all subsets. Slow, and plain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Value = Callable[[frozenset[int]], Floats]


def shapley(players: int, value: Value) -> Floats:
    """[players, K]: every player's mean gain over all orders."""
    known = {
        subset: value(subset)
        for size in range(players + 1)
        for subset in map(frozenset, itertools.combinations(range(players), size))
    }
    found = np.zeros((players, len(known[frozenset()])))
    for subset, without in known.items():
        weight = (
            math.factorial(len(subset))
            * math.factorial(players - len(subset) - 1)
            / math.factorial(players)
            if len(subset) < players
            else 0.0
        )
        for player in set(range(players)) - subset:
            found[player] += weight * (known[subset | {player}] - without)
    return found


def path_dependent(trees: Any, x: Sequence[float]) -> Value:
    """The game of `sixfold.build._trees.Trees`: where a split asks an unknown feature, both sides
    count by their training rows.
    """

    def value(known: frozenset[int]) -> Floats:
        def below(node: int) -> Floats:
            left, right = int(trees.left[node]), int(trees.right[node])
            if left == node:
                return np.asarray(trees.value[node])
            feature = int(trees.feature[node])
            if feature in known:
                is_left = (
                    bool(trees.missing_left[node])
                    if math.isnan(x[feature])
                    else x[feature] <= trees.threshold[node]
                )
                return below(left if is_left else right)
            cover = trees.cover
            first, second = float(cover[left]), float(cover[right])
            return (first * below(left) + second * below(right)) / (first + second)

        totals = np.zeros(trees.outputs)
        for number, root in enumerate(trees.first.tolist()):
            found = below(root)
            if len(found) == trees.outputs:
                totals += found
            else:
                totals[number % trees.outputs] += found[0]
        return totals

    return value
