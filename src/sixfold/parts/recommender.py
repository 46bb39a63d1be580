"""A fitted recommender: arrays that score items, and what was done in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend import ranking
from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.bundle.recommend.scorers import ReadsUsers, Scorer, decoded, scorer_of
from sixfold.bundle.recommend.stored import Kind
from sixfold.parts.fit import Matrix, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.interactions import Interactions, as_interactions
from sixfold.parts.state import State
from sixfold.parts.table import MISSED, RANKING, FloatArray, IntArray

GIVEN: Final = (
    0.8  # of the interactions of a user that is not known, the earlier ones; the rest is asked
)
LISTED: Final = 10  # items of a list, of which novelty and coverage tell
GIVEN_FEATURES: Final = "user_features"  # an array that was not learned
BLOCK_BYTES: Final = 32 << 20  # of scores of some users
USER, RANK, NOVELTY, FRESH = range(len(RANKING))


@dataclass(frozen=True)
class Recommender(State):
    """`kind`, `arrays`, `options`: what `bundle.recommend.scorers.scorer_of` makes a scorer of.
    `starts`, `items`, `weights`: what each user did (`Histories`); `user_counts`: int64 [items] users
    of each item.
    """

    kind: Kind
    arrays: dict[str, npt.NDArray[Any]]
    starts: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    weights: Float32
    user_counts: IntArray
    options: dict[str, float] = field(default_factory=dict)
    output: OutputKind = "value"

    @cached_property
    def scorer(self) -> Scorer:
        """Ready to answer."""
        return scorer_of(self.kind, self.arrays, self.options)

    @property
    def seen(self) -> Histories:
        """Of all users of the training rows."""
        return Histories(self.starts, self.items, self.weights)

    @property
    def popularity(self) -> Float32:
        """[items] the share of users that have each."""
        return (self.user_counts / max(1, len(self.starts) - 1)).astype(np.float32)

    def parameters(self) -> dict[str, FloatArray]:
        """What was learned."""
        real = {
            name: array
            for name, array in decoded(self.arrays).items()
            if array.dtype.kind == "f" and name != GIVEN_FEATURES
        }
        return {name: array.astype(np.float64) for name, array in real.items()}

    def with_parameters(self, parameters: dict[str, FloatArray]) -> Recommender:
        """The same with other numbers."""
        own = {
            name: parameters[name].astype(array.dtype) if name in parameters else array
            for name, array in self.arrays.items()
        }
        return Recommender(
            self.kind,
            own,
            self.starts,
            self.items,
            self.weights,
            self.user_counts,
            self.options,
        )

    def export(self, graph: Graph, x: str) -> str:
        """It is no graph of rows: a bundle holds its arrays."""
        raise TypeError("a recommender is no graph")

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, RANKING] of interactions that it has not seen.

        Of a known user all are asked, after what it did in training. Of another one the first four
        fifths, in their order, are what it did, and the others are asked. An item that the user has
        already is not asked, as nobody would recommend it.
        """
        rows = as_interactions(x)
        found = np.zeros((len(rows), len(RANKING)))
        found[:, USER] = rows.users
        asked, scorer = self._asked(rows), self.scorer
        if rows.user_features is not None and isinstance(scorer, ReadsUsers):
            scorer = scorer.with_users(rows.user_features)
        listed = np.zeros(rows.item_count, dtype=np.bool_)
        for block in asked.blocks(max(1, BLOCK_BYTES // (4 * rows.item_count))):
            scores = ranking.scored(scorer, block.codes, block.histories, self.popularity)
            ranking.exclude(scores, block.histories)
            known = block.items >= 0
            own = np.full(len(block.items), MISSED)
            own[known] = ranking.ranks(scores, block.users[known], block.items[known])
            found[block.rows, RANK] = own
            lists = ranking.first_items(scores, LISTED)
            found[block.rows, NOVELTY] = self._novelty(lists)[block.users]
            first = np.unique(block.users, return_index=True)[1]
            for user, row in enumerate(block.rows[first].tolist()):
                new = lists[user][~listed[lists[user]]]
                listed[new] = True
                found[row, FRESH] = len(new) / rows.item_count
        return found

    def _novelty(self, lists: IntArray) -> FloatArray:
        """[users] mean of −log2 of the share of users that have each item of a list."""
        one = 1 / max(1, len(self.starts) - 1)  # what nobody had counts as if one had it
        shares = np.maximum(self.popularity[lists].astype(np.float64), one)
        found: FloatArray = -np.log2(shares).mean(axis=1)
        return found

    def _asked(self, x: Interactions) -> _Asked:
        order = x.in_order()
        users, items = x.users[order].astype(np.int64), x.items[order].astype(np.int64)
        numbers, starts, own, counts = np.unique(
            users, return_index=True, return_inverse=True, return_counts=True
        )
        place = np.arange(len(users)) - starts[own]
        unknown = users >= x.user_count
        given = unknown & (place < np.minimum(np.ceil(GIVEN * counts), counts - 1)[own])
        before = self._before(x, numbers, order[given], own[given])
        pairs = own * (x.item_count + 1) + items
        seen = np.isin(pairs, before.users() * (x.item_count + 1) + before.items)
        again = np.ones(len(users), dtype=np.bool_)
        asked = np.flatnonzero(~given & ~seen)
        again[asked[np.unique(pairs[asked], return_index=True)[1]]] = False
        kept = ~given & ~seen & ~(again & (items >= 0))
        read = x.user_count if x.user_features is None else len(x.user_features) - 1
        codes = np.where(numbers < read, numbers, -1)
        return _Asked(codes, before, order[kept], own[kept], items[kept])

    def _before(
        self, x: Interactions, numbers: IntArray, rows: IntArray, own: IntArray
    ) -> Histories:
        """Of each user what comes before what is asked; `rows` of `x` are given of users that are not
        known, who are `own` among `numbers`.
        """
        known = numbers < x.user_count
        part = x.take(rows)
        told = Interactions(
            own.astype(np.int32), part.items, len(numbers), x.item_count, None, part.weights
        ).histories()
        codes = numbers[known]
        lengths = told.lengths()
        lengths[known] = self.seen.lengths()[codes]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        items = np.empty(starts[-1], dtype=np.int32)
        weights = np.empty(starts[-1], dtype=np.float32)
        from_training = np.repeat(known, lengths)
        mine = self.seen.take(codes)
        items[from_training], weights[from_training] = mine.items, mine.weights
        items[~from_training], weights[~from_training] = told.items, told.weights
        return Histories(starts, items, weights)


class _UserBlock(NamedTuple):
    """Some users: `codes`, -1 where not known; the `rows` that are asked, the user of each among
    these, and the item.
    """

    codes: IntArray
    histories: Histories
    rows: IntArray
    users: IntArray
    items: IntArray


@dataclass(frozen=True)
class _Asked:
    """Of all users: `codes`, and what they did `before`; the `rows` that are asked, whose each is
    (`owners`, sorted), and the items.
    """

    codes: IntArray
    before: Histories
    rows: IntArray
    owners: IntArray
    items: IntArray

    def blocks(self, size: int) -> Iterator[_UserBlock]:
        """Users of whom something is asked, `size` at a time."""
        users = np.unique(self.owners)
        for first in range(0, len(users), size):
            some = users[first : first + size]
            start, stop = np.searchsorted(self.owners, [some[0], some[-1] + 1])
            rows = slice(int(start), int(stop))
            own = np.searchsorted(some, self.owners[rows])
            yield _UserBlock(
                self.codes[some], self.before.take(some), self.rows[rows], own, self.items[rows]
            )


def recommender_of(
    x: Interactions,
    kind: Kind,
    arrays: dict[str, npt.NDArray[Any]],
    options: dict[str, float] | None = None,
) -> Recommender:
    """With what its training rows hold."""
    seen = x.histories()
    counts = np.bincount(seen.items, minlength=x.item_count).astype(np.int64)
    return Recommender(
        kind, arrays, seen.starts, seen.items, seen.weights, counts, dict(options or {})
    )
