"""From what users did to a score of every item: ways, of which a family learns the arrays.

A matrix of users and items is made for some users at a time, never of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.bundle.recommend.sequence_scorer import SequenceScorer
from sixfold.bundle.recommend.tower_scorer import TOWER, TowerScorer

Codes = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]
GATHERED: Final = 1 << 22  # numbers that are gathered at once: 16 MiB
SEQUENCE: Final = "sequence_"  # how the arrays of a transformer begin
SINGULAR: Final = 1e-6  # of the diagonal, added where nothing is regularized


class CodedVectors(NamedTuple):
    """Vectors in 8 bits: the names of their codes, int8 [rows, factors], and of the scale of each row."""

    codes: str
    scales: str


CODED: Final = {
    "item_factors": CodedVectors("item_codes", "item_scales"),
    "user_factors": CodedVectors("user_codes", "user_scales"),
}


class Scorer(Protocol):
    """Scores items. Calls may come from several threads at once."""

    @property
    def item_count(self) -> int:
        """Items that it knows."""

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """[users, items], larger is better. `users`: codes of users as they were in training, -1 for
        others; `histories`: what each did, which may be more than in training where the code is -1.
        """

    def similar(self, item: int) -> Float32 | None:
        """[items] how alike each is to `item`; None where nothing is known of it."""

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """[items, entries] what each entry of one user's history adds to the scores of `items`; None
        where nothing adds.
        """


@runtime_checkable
class ScoresByVectors(Protocol):
    """Ability of a scorer: a score is the product of two vectors."""

    def queries(self, users: Codes, histories: Histories) -> Float32:
        """[users, width]: `scores` is their product with `searched`."""

    @property
    def searched(self) -> Float32:
        """[items, width]"""


@runtime_checkable
class ReadsUsers(Protocol):
    """Ability of a scorer: it reads features of users, and so answers for one that is not known, too."""

    def with_users(self, features: Float32) -> Scorer:
        """The same for other users: float32 [users + 1, features], as `Interactions.user_features`."""


@dataclass(frozen=True)
class PopularityScorer:
    """Every user gets the same scores: `popularity`, float32 [items]."""

    popularity: Float32

    @property
    def item_count(self) -> int:
        """Items that it knows."""
        return len(self.popularity)

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """As `Scorer`."""
        return np.repeat(self.popularity[None], histories.count, axis=0)

    def similar(self, item: int) -> Float32 | None:
        """Nothing is known of it."""
        return None

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """Nothing adds."""
        return None


@dataclass(frozen=True)
class NeighborScorer:
    """The score of an item: the sum of how alike it is to those of the history, each times its weight.
    `neighbors`: of each item, items and similarities, as a history has items and weights.
    """

    neighbors: Histories

    @property
    def item_count(self) -> int:
        """Items that it knows."""
        return self.neighbors.count

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """As `Scorer`."""
        found = np.zeros((histories.count, self.item_count), dtype=np.float32)
        for user in range(histories.count):
            items, weights = histories.items_of(user), histories.weights_of(user)
            near = self.neighbors.take(items)
            each = near.weights * np.repeat(weights, near.lengths())
            found[user] = np.bincount(near.items, each, minlength=self.item_count)
        return found

    def similar(self, item: int) -> Float32 | None:
        """As `Scorer`."""
        found = np.zeros(self.item_count, dtype=np.float32)
        found[self.neighbors.items_of(item)] = self.neighbors.weights_of(item)
        return found

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """As `Scorer`: they add up to the scores."""
        found = np.zeros((len(items), len(history.items)), dtype=np.float32)
        for entry, item in enumerate(history.items.tolist()):
            own = self.similar(item)
            found[:, entry] = history.weights[entry] * (own[items] if own is not None else 0)
        return found


@dataclass(frozen=True)
class FactorScorer:
    """The score is a product of a user's vector and an item's, float32 [items, factors], and `bias`
    [items].

    The vector of a user: the row of `users` [users, factors], where it is known and there are such;
    the mean-like sum of the history's vectors times `projection` [factors, factors], where there is
    one; else the exact solution of the least squares of implicit feedback, with a confidence of
    1 + `confidence` · weight and `regularization` (Hu, Koren and Volinsky, Collaborative filtering
    for implicit feedback datasets, 2008).
    """

    items: Float32
    gram: npt.NDArray[np.float64]
    confidence: float
    regularization: float
    bias: Float32 | None = None
    users: Float32 | None = None
    projection: Float32 | None = None

    @property
    def item_count(self) -> int:
        """Items that it knows."""
        return len(self.items)

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """As `Scorer`."""
        found: Float32 = self.vectors(users, histories) @ self.items.T
        if self.bias is not None:
            found += self.bias
        return found

    def queries(self, users: Codes, histories: Histories) -> Float32:
        """As `ScoresByVectors`."""
        found = self.vectors(users, histories)
        ones = np.ones((len(found), 1), dtype=np.float32)
        return found if self.bias is None else np.concatenate([found, ones], axis=1)

    @property
    def searched(self) -> Float32:
        """As `ScoresByVectors`."""
        bias = self.bias
        return self.items if bias is None else np.column_stack([self.items, bias])

    def vectors(self, users: Codes, histories: Histories) -> Float32:
        """[users, factors]"""
        if self.projection is None:
            return self._solved(histories)
        found = self._projected(histories, self.projection)
        if self.users is not None:
            known = users >= 0
            found[known] = self.users[users[known]]
        return found

    def similar(self, item: int) -> Float32 | None:
        """Cosines."""
        lengths = np.maximum(np.linalg.norm(self.items, axis=1), np.finfo(np.float32).tiny)
        found: Float32 = (self.items @ self.items[item]) / (lengths * lengths[item])
        return found

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """As `Scorer`; of a user that has a vector of its own, those of the history beside it."""
        own = self.items[history.items]
        if self.projection is not None:
            parts = self.items[items] @ (own @ self.projection).T / np.sqrt(max(1, len(own)))
            return np.asarray(parts, dtype=np.float32)
        each = self.confidence * history.weights
        left = np.linalg.solve(self._system(own[None], each[None])[0], own.T.astype(np.float64))
        return np.asarray(self.items[items] @ left * (1 + each), dtype=np.float32)

    def _projected(self, histories: Histories, projection: Float32) -> Float32:
        sums = np.zeros((histories.count, self.items.shape[1]), dtype=np.float32)
        for some, at in padded(histories, self.items.shape[1]):
            own = self.items[at.items]
            sums[some] = np.einsum("ulf,ul->uf", own, at.there)
        roots = np.sqrt(np.maximum(1, histories.lengths()))[:, None]
        found: Float32 = (sums / roots @ projection).astype(np.float32)
        return found

    def _solved(self, histories: Histories) -> Float32:
        found = np.zeros((histories.count, self.items.shape[1]), dtype=np.float32)
        for some, at in padded(histories, self.items.shape[1]):
            own, each = self.items[at.items], self.confidence * at.weights
            right = np.matmul(((1 + each) * at.there)[:, None, :], own)[:, 0]
            solved = np.linalg.solve(self._system(own, each), right[..., None].astype(np.float64))
            found[some] = solved[..., 0]
        return found

    def _system(self, own: Float32, each: Float32) -> npt.NDArray[np.float64]:
        """[users, factors, factors] of vectors [users, entries, factors] and what is above a
        confidence of 1.
        """
        more = np.matmul((own * each[..., None]).transpose(0, 2, 1), own)
        whole = self.gram + more
        ridge = self.regularization + SINGULAR * np.trace(self.gram) / len(self.gram)
        found: npt.NDArray[np.float64] = whole + ridge * np.eye(len(self.gram))
        return found


@dataclass(frozen=True)
class PaddedHistories:
    """Of some users as a matrix [users, entries]: `there` is 1 for an entry, and 0 behind the last."""

    items: npt.NDArray[np.int32]
    weights: Float32
    there: Float32


def padded(
    histories: Histories, factors: int, gathered: int = GATHERED
) -> Iterator[tuple[Codes, PaddedHistories]]:
    """Users of about as many entries together, the shortest histories first; those without any are
    left out. `gathered`: numbers that their vectors have, about.
    """
    lengths = histories.lengths()
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    first, most = 0, max(1, gathered // factors)  # users of one entry each
    while first < len(order):
        own = lengths[order[first : first + most]]
        filled = own * np.arange(1, len(own) + 1) * factors
        size = max(1, int(np.searchsorted(filled, gathered, side="right")))
        some = order[first : first + size]
        yield some, _padded(histories, some)
        first += size


def _padded(histories: Histories, some: Codes) -> PaddedHistories:
    own = histories.take(some)
    lengths = own.lengths()
    inside = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
    items = np.zeros(inside.shape, dtype=np.int32)
    weights = np.zeros(inside.shape, dtype=np.float32)
    items[inside], weights[inside] = own.items, own.weights
    return PaddedHistories(items, weights, inside.astype(np.float32))


def decoded(arrays: Arrays) -> Arrays:
    """With vectors in single precision in the place of codes."""
    found = dict(arrays)
    for name, (codes, scales) in CODED.items():
        if codes in found:
            found[name] = found.pop(codes).astype(np.float32) * found.pop(scales)[:, None]
    return found


def scorer_of(kind: str, arrays: Arrays, options: Mapping[str, float]) -> Scorer:
    """`kind`: popularity, neighbors, factors, sequence or towers; the arrays have the names of the scorer's fields.
    Raises KeyError for one that is not there. Vectors may come in 8 bits.
    """
    arrays = decoded(arrays)
    if kind == "popularity":
        return PopularityScorer(arrays["popularity"])
    if kind == "neighbors":
        return NeighborScorer(
            Histories(
                arrays["neighbor_starts"], arrays["neighbor_items"], arrays["neighbor_weights"]
            )
        )
    items = arrays["item_factors"]
    if kind == "sequence":
        layers = {
            name.removeprefix(SEQUENCE): array
            for name, array in arrays.items()
            if name.startswith(SEQUENCE)
        }
        start, positions = layers.pop("start"), layers.pop("positions")
        return SequenceScorer(items, start, positions, layers, int(options["heads"]))
    if kind == "towers":
        tower = {name: arrays[name] for name in TOWER}
        return TowerScorer(items, arrays["history_factors"], arrays["user_features"], tower)
    wide = items.astype(np.float64)
    return FactorScorer(
        items,
        wide.T @ wide,
        options["confidence"],
        options["regularization"],
        arrays.get("item_bias"),
        arrays.get("user_factors"),
        arrays.get("projection"),
    )
