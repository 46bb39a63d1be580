"""Exact Shapley values of trees, path-dependent: a feature that is not known is averaged over by the
training rows on either side of a split (Lundberg et al., 2020, "From local explanations to global
understanding with explainable AI for trees", algorithm 1's game).

On the way to a leaf of value v let feature i of the path have o_i = 1 where the row satisfies all of
its conditions, else 0, and z_i, the product of the shares of training rows that did. The leaf alone
is a product game, whose Shapley values are v (o_i - z_i) ∫ Π_{j≠i} (t o_j + (1-t) z_j) dt over
[0, 1]. The integrand is a polynomial of at most d - 1 in t, where d features are on the path, so
Gauss-Legendre with ⌈d/2⌉ points gives it to the last digits. With P = Π_j (t o_j + (1-t) z_j) the
factor of i is r_i = (o_i - z_i) / (t o_i + (1-t) z_i), and Σ v P over the leaves below an edge is one
sum going up; so an edge adds (r - r before it on the same path) times that sum, and a row takes
O(edges · points), not O(leaves · d²) (the idea of Linear TreeSHAP, Yu et al., 2022, whose polynomials
the points stand for).

Shape letters: R rows, F features, K scores, B branches, E edges (2 b and 2 b + 1 below branch b), Q
points. Edge E stands for what is above the roots.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.graph_trees import Floats, Forest, GraphTrees, Ints
from sixfold.bundle.onnx_messages import WireError
from sixfold.core.cores import cores

ROWS: Final = 64  # that are explained at once
# Branches of the trees that are walked at once, or one tree's: a third of a megabyte a value, and as
# much where rows are few (measured: half the time of three times as many; 250 trees of 31 leaves).
BLOCK: Final = 64
FEW: Final = 4  # rows
BLOCK_OF_FEW: Final = 2048
CELL_S: Final = 3e-8  # a row, a point and an edge: measured there, on one core of a busy machine
Bools = npt.NDArray[np.bool_]


class _Level(NamedTuple):
    """Branches `start` to `stop`, of one depth, and of their edges those whose feature was asked
    before on the way.
    """

    start: int
    stop: int
    again: Ints


class _Weights(NamedTuple):
    """[Q, E, 1] each: what an edge that is `taken`, or not, multiplies the product by, and what it
    adds, times the weight of the point. `neither`: of the edges that ask again, where the edge
    before was not taken.
    """

    taken: Floats
    untaken: Floats
    neither: Floats
    adds_taken: Floats
    adds_untaken: Floats


@dataclass(frozen=True)
class TreeBlock:
    """Some trees of one score, or of all scores, their branches level by level.

    `incoming`: [B] the edge to a branch; `before`: [E] the last edge on the way that asks the same
    feature; E where there is none. `value`: [K, E] of the edge's leaf, 0 at others. `target`: the
    score that is added to, -1 for all.
    """

    levels: tuple[_Level, ...]
    feature: Ints
    threshold: Floats
    missing_first: Bools
    incoming: Ints
    before: Ints
    share: Floats
    depth: int
    value: Floats
    target: int

    @property
    def edges(self) -> int:
        """E."""
        return len(self.before)

    @property
    def points(self) -> int:
        """Q."""
        return max(1, -(-self.depth // 2))

    @cached_property
    def again(self) -> Ints:
        """Edges whose feature was asked before on the way."""
        return np.flatnonzero(self.before < self.edges)

    @cached_property
    def weights(self) -> _Weights:
        """Of Gauss-Legendre's points in [0, 1]."""
        x, w = np.polynomial.legendre.leggauss(self.points)
        t, w = (x[:, None] + 1) / 2, w[:, None] / 2
        own, earlier = self.share[:-1], self.share[self.before]
        on, off = t + (1 - t) * own, (1 - t) * own
        on_before = t + (1 - t) * earlier
        added_before = (1 - earlier) / on_before
        neither = np.repeat((own / earlier)[None, self.again], self.points, axis=0)
        parts = (
            on / on_before,
            off / on_before,
            neither,
            w * ((1 - own) / on - added_before),
            w * (-1 / (1 - t) - added_before),
        )
        return _Weights(*(np.ascontiguousarray(part)[:, :, None] for part in parts))

    @cached_property
    def by_feature(self) -> Any:
        """Branches sorted by feature, where each begins, and the features."""
        order = np.argsort(self.feature, kind="stable")
        features, starts = np.unique(self.feature[order], return_index=True)
        return order, starts, features

    def taken(self, x_FR: Floats) -> Bools:
        """[E + 1, R] whether a row satisfies all conditions on the edge's feature up to there."""
        asked = x_FR[self.feature]
        first = asked <= self.threshold[:, None]
        missing = np.isnan(asked)
        if missing.any():
            first |= missing & self.missing_first[:, None]
        on = np.ones((self.edges + 1, x_FR.shape[1]), dtype=bool)
        on[0:-1:2], on[1:-1:2] = first, ~first
        for level in self.levels:
            if len(level.again):
                on[level.again] &= on[self.before[level.again]]
        return on

    def add(self, x_FR: Floats, total_KFR: Floats) -> None:
        """Add the Shapley values of these trees."""
        weights, on = self.weights, self.taken(x_FR)
        below = ~on[self.before[self.again]]  # nothing is changed below an edge not taken before
        product = np.where(on[:-1], weights.taken, weights.untaken)
        if len(self.again):
            product[:, self.again] = np.where(below, weights.neither, product[:, self.again])
        for level in self.levels[1:]:
            edges = product[:, 2 * level.start : 2 * level.stop]
            above = product[:, self.incoming[level.start : level.stop]]
            edges[:, ::2] *= above
            edges[:, 1::2] *= above
        adds = np.where(on[:-1], weights.adds_taken, weights.adds_untaken)
        if len(self.again):
            adds[:, self.again] *= ~below
        targets = range(len(self.value)) if self.target < 0 else (self.target,)
        sums = np.empty_like(product)
        for value_E, target in zip(self.value, targets, strict=True):
            np.multiply(product, value_E[:, None], out=sums)
            self._sum_up(sums, adds, total_KFR[target])

    def _sum_up(self, sums: Floats, adds: Floats, total_FR: Floats) -> None:
        for level in self.levels[:0:-1]:
            edges = sums[:, 2 * level.start : 2 * level.stop]
            sums[:, self.incoming[level.start : level.stop]] = edges[:, ::2] + edges[:, 1::2]
        each = np.einsum("qer,qer->er", sums, adds)
        order, starts, features = self.by_feature
        total_FR[features] += np.add.reduceat((each[::2] + each[1::2])[order], starts, axis=0)

    def expected(self) -> Floats:
        """[K], or [1] of one score: the mean over the training rows."""
        own, reached = self.share[:-1] / self.share[self.before], np.ones(self.edges + 1)
        for level in self.levels:
            above = reached[self.incoming[level.start : level.stop]]
            edges = slice(2 * level.start, 2 * level.stop)
            reached[edges] = np.repeat(above, 2) * own[edges]
        return np.asarray((self.value * reached[:-1]).sum(axis=1))


class TreeShap:
    """Shapley values of the sum of all trees, or with `mean` of their mean. Raises WireError for
    trees that do not hang together.
    """

    def __init__(self, trees: GraphTrees, mean: bool) -> None:
        self.scores, self._scale = trees.scores, 1.0 / trees.count if mean else 1.0
        self._trees = trees
        self.blocks = self._cut(BLOCK)
        self.base = np.zeros(trees.scores)
        for block in self.blocks:
            self.base[slice(None) if block.target < 0 else block.target] += (
                self._scale * block.expected()
            ).squeeze()

    def _cut(self, branches: int) -> list[TreeBlock]:
        trees = self._trees
        return [
            block for forest in trees.forests for block in _blocks(forest, trees.scores, branches)
        ]

    @cached_property
    def _blocks_of_few(self) -> list[TreeBlock]:
        """For few rows, whose time is that of the calls."""
        return self._cut(BLOCK_OF_FEW)

    @property
    def row_s(self) -> float:
        """Seconds that a row takes, about."""
        cells = sum(block.points * block.edges * len(block.value) for block in self.blocks)
        return CELL_S * cells

    def values(self, x: npt.NDArray[Any]) -> Floats:
        """[R, F] → [R, F, K]; the sum over the features, and `base`, is the score."""
        found = np.zeros((len(x), x.shape[1], self.scores))
        blocks = self.blocks if len(x) > FEW else self._blocks_of_few

        def explain(start: int) -> None:
            some = np.ascontiguousarray(x[start : start + ROWS].T, dtype=np.float64)
            total = np.zeros((self.scores, *some.shape))
            for block in blocks:
                block.add(some, total)
            found[start : start + ROWS] = self._scale * total.transpose(2, 1, 0)

        starts = range(0, len(x), ROWS)
        if len(starts) > 1:
            with ThreadPoolExecutor(cores()) as threads:  # NumPy lets go of the interpreter
                list(threads.map(explain, starts))
        elif len(x):
            explain(0)
        return found


def _blocks(forest: Forest, scores: int, branches: int) -> Iterator[TreeBlock]:
    """Trees of one score, so many at once as have `branches` together."""
    roots, target = forest.roots, np.full(len(forest.roots), -1 if forest.wide else 0)
    if not forest.wide and scores > 1:
        target = forest.target[_first_leaves(forest)]
        order = np.argsort(target, kind="stable")
        roots, target = roots[order], target[order]
    # a tree's branches follow its root
    ends = np.append(np.sort(forest.roots)[1:], len(forest.feature))
    sizes = dict(zip(np.sort(forest.roots).tolist(), ends.tolist(), strict=True))
    start, held = 0, 0
    for number, root in enumerate(roots.tolist()):
        size = sizes[root] - root
        if number > start and (held + size > branches or target[number] != target[start]):
            yield _block(forest, roots[start:number], int(target[start]))
            start, held = number, 0
        held += size
    yield _block(forest, roots[start:], int(target[start]))


def _first_leaves(forest: Forest) -> Ints:
    """[trees] a leaf of each."""
    at = forest.child[forest.roots, 0]
    while (inner := at >= 0).any():
        at = np.where(inner, forest.child[np.maximum(at, 0), 0], at)
    return np.asarray(~at)


def _block(forest: Forest, roots: Ints, target: int) -> TreeBlock:
    """The trees below `roots`, their branches numbered level by level."""
    walk = _TreeWalk(forest, roots)
    edges = 2 * len(walk.branches)
    leaf_edges = np.flatnonzero(walk.child < 0)
    leaves = ~walk.child[leaf_edges]
    if target >= 0 and forest.target[leaves].max(initial=target) != target:
        raise WireError("a tree that adds to several scores")
    value = np.zeros((forest.value.shape[1], edges))
    value[:, leaf_edges] = forest.value[leaves].T
    levels = tuple(
        _Level(start, stop, 2 * start + np.flatnonzero(walk.before[2 * start : 2 * stop] < edges))
        for start, stop in walk.spans
    )
    return TreeBlock(
        levels=levels,
        feature=forest.feature[walk.branches],
        threshold=forest.threshold[walk.branches],
        missing_first=forest.missing_first[walk.branches],
        incoming=walk.incoming,
        before=walk.before,
        share=walk.shares(forest),
        depth=int(walk.asked.max()),
        value=value,
        target=target,
    )


class _TreeWalk:
    """Down from `roots`, level by level. `branches`: [B] their numbers in the forest; `child`: [E]
    what is below an edge, as in the forest; `asked`: [E] different features on the way.
    """

    def __init__(self, forest: Forest, roots: Ints) -> None:
        self.spans: list[Any] = []
        branches, incoming, before, asked = [roots], [np.full(len(roots), -1)], [], []
        children, start = [], 0
        way = np.empty((2, len(roots), 0), dtype=np.int64)  # features, and the edges that ask them
        counts = np.zeros(len(roots), dtype=np.int64)
        while len(branches[-1]):
            feature, count = forest.feature[branches[-1]], len(branches[-1])
            last = _last(way, feature)
            self.spans.append((start, start + count))
            before.append(np.repeat(last, 2))
            asked.append(np.repeat(counts + (last < 0), 2))
            children.append(forest.child[branches[-1]].ravel())
            below = np.flatnonzero(children[-1] >= 0)
            edges = 2 * start + below
            way = np.concatenate(
                [way[:, below // 2], np.stack([feature[below // 2], edges])[:, :, None]], axis=2
            )
            counts = asked[-1][below]
            branches.append(children[-1][below])
            incoming.append(edges)
            start += count
        self.branches = np.concatenate(branches)
        self.child, self.asked = np.concatenate(children), np.concatenate(asked)
        self.incoming, self.before = map(self._or_top, (incoming, before))

    def _or_top(self, parts: list[Ints]) -> Ints:
        """Edges, E where there is none."""
        edges = np.concatenate(parts)
        return np.where(edges < 0, len(self.child), edges)

    def shares(self, forest: Forest) -> Floats:
        """[E + 1] the share of training rows that took the edge, times that of the edges before on
        the way that ask the same; 1 above the roots.
        """
        cover, share = np.zeros(len(self.child)), np.ones(len(self.child) + 1)
        leaf = self.child < 0
        cover[leaf] = forest.cover[~self.child[leaf]]
        for start, stop in self.spans[:0:-1]:
            edges = cover[2 * start : 2 * stop]
            cover[self.incoming[start:stop]] = edges[::2] + edges[1::2]
        own = cover / np.repeat(cover[::2] + cover[1::2], 2)
        for start, stop in self.spans:
            level = slice(2 * start, 2 * stop)
            share[level] = own[level] * share[self.before[level]]
        return share


def _last(way: Ints, feature: Ints) -> Ints:
    """[branches] the last edge on the way that asks the feature, -1 where none does."""
    if not way.shape[2]:
        return np.full(len(feature), -1)
    same = way[0] == feature[:, None]
    place = way.shape[2] - 1 - same[:, ::-1].argmax(axis=1)
    return np.where(same.any(axis=1), way[1, np.arange(len(feature)), place], -1)
