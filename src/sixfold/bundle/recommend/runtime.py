"""A recommender that is ready to answer, in NumPy."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from sixfold.bundle.recommend import item_index, parity
from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.bundle.recommend.item_index import ItemIndex
from sixfold.bundle.recommend.ranking import first_items, scored
from sixfold.bundle.recommend.requests import (
    Basis,
    ItemPart,
    RecommendAnswer,
    RecommendedItem,
    RecommendRequest,
)
from sixfold.bundle.recommend.scorers import Codes, ReadsUsers, Scorer, ScoresByVectors, scorer_of
from sixfold.bundle.recommend.stored import StoredRecommender
from sixfold.bundle.recommend.user_features import UserFeatures
from sixfold.bundle.runtime import Arrays, Outputs, Proved
from sixfold.core.errors import BundleError, RowError, SystemFault
from sixfold.recipe.serving import Neighbors

LISTED: Final = 10  # items that `predict` answers with
REASONS: Final = 3  # items of a history that are told as reasons
MOST_PARTS: Final = 50  # and of which it is told how much they add


class _BestItems(NamedTuple):
    """The best first. `codes`: int64 [items]; `scores`: float32 [items]."""

    codes: Codes
    scores: Float32


@dataclass(frozen=True)
class _AskedUser:
    """One user, `users`: the code, as `scorer` takes it."""

    scorer: Scorer
    users: Codes
    history: Histories
    basis: Basis

    @property
    def is_cold(self) -> bool:
        """Whether nothing is known: then the popular items are answered."""
        return bool(self.users[0] < 0 and not len(self.history.items))

    def scores(self, popularity: Float32) -> Float32:
        """float32 [items]"""
        found: Float32 = scored(self.scorer, self.users, self.history, popularity)[0]
        return found


class RecommenderRuntime:
    """The model of a bundle. Calls may come from several threads at once."""

    rows_at_once = 256
    depends_on_batch = False

    def __init__(self, stored: StoredRecommender, where: str = "the recommender") -> None:
        self._seen, self.items = stored.seen, stored.items
        self.user_type, self.item_type = stored.user_type, stored.item_type
        self._users = {name: code for code, name in enumerate(stored.users)}
        self._codes = {name: code for code, name in enumerate(stored.items)}
        self._scorer = scorer_of(stored.kind, stored.arrays, stored.options)
        self._index: ItemIndex | None = None
        self._features = UserFeatures.of(stored.arrays, where)
        self._popularity: Float32 = (stored.user_counts / max(1, len(stored.users))).astype(
            np.float32
        )

    def recommender(self) -> RecommenderRuntime:
        """Itself."""
        return self

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """The best items for a user, for a session, or like an item."""
        names = (*request.items, *(request.allowed or ()), *request.blocked)
        unknown = [name for name in names if name not in self._codes]
        if request.similar_to is not None:
            scores, basis, history = self._similar(request.similar_to)
            unknown += [] if request.similar_to in self._codes else [request.similar_to]
            best = self._best(scores, request, history)
        else:
            asked = self._asked(request)
            basis, history = asked.basis, asked.history
            best = self._nearest(asked, request) or self._best(
                asked.scores(self._popularity), request, history
            )
            if request.user is not None and request.user not in self._users:
                unknown.insert(0, request.user)
        parts = self._parts(request, history, best.codes, basis)
        items = tuple(
            RecommendedItem(
                self.items[code],
                score,
                tuple(part.item for part in each[:REASONS] if part.adds > 0)
                if request.because
                else (),
                each[:MOST_PARTS] if request.explain else (),
            )
            for code, score, each in zip(
                best.codes.tolist(), best.scores.tolist(), parts, strict=True
            )
        )
        return RecommendAnswer(items, basis, tuple(dict.fromkeys(unknown)))

    @property
    def users(self) -> Collection[str]:
        """Names of the users that it knows."""
        return self._users.keys()

    @property
    def can_be_searched(self) -> bool:
        """Whether approximate neighbors can be found: where a score is a product of two vectors."""
        return isinstance(self._scorer, ScoresByVectors)

    @property
    def is_approximate(self) -> bool:
        """Whether it looks at some items alone."""
        return self._index is not None

    def searching(self, neighbors: Neighbors) -> RecommenderRuntime:
        """The same, which looks for the nearest items as `serve.neighbors` says. Raises SystemFault where approximate ones are
        asked for, and cannot be found.
        """
        found = copy.copy(self)
        many = len(self.items) > item_index.FROM and item_index.is_installed()
        if neighbors == "approximate" and not self.can_be_searched:
            raise SystemFault(
                "serve.neighbors: approximate",
                "a model whose scores are products of vectors (als, bpr, sasrec, two_tower)",
                "another one",
                "Set serve.neighbors to auto, or to exact.",
            )
        wanted = neighbors == "approximate" or (neighbors == "auto" and many)
        scorer = self._scorer
        if wanted and isinstance(scorer, ScoresByVectors):
            found._index = ItemIndex(scorer.searched)
        else:
            found._index = None
        return found

    def predict(self, feeds: Arrays, first_row: int = 1) -> Outputs:
        """For each user the first items, as a JSON list."""
        users = next(iter(feeds.values()))[:, 0].tolist()
        answers = [
            self.recommend(RecommendRequest(str(user) or None, count=LISTED)) for user in users
        ]
        lists = [json.dumps([one.item for one in answer.items]) for answer in answers]
        return {"items": np.array(lists, dtype=object)}

    def prove(self, stored: bytes, where: str) -> Proved:
        """Answer the stored requests again. Raises BundleError where an answer is another one."""
        requests = parity.unpacked(stored, where)
        worst = 0.0
        for number, one in enumerate(requests, start=1):
            found = self.recommend(one.request())
            apart = one.difference(found)
            if not apart <= parity.TOLERANCE:
                raise BundleError(
                    f"{where}, request {number}",
                    f"the stored answer, scores within {parity.TOLERANCE}",
                    f"{apart:.3g} apart" if np.isfinite(apart) else "another one",
                    parity.AGAIN,
                )
            worst = max(worst, apart)
        told = f"{len(requests):,} stored requests answered again, largest relative difference of a score {worst:.1e}"
        return Proved(len(requests), worst, told)

    def _left_out(self, request: RecommendRequest, history: Histories) -> list[int]:
        found = [code for code in map(self._codes.get, request.blocked) if code is not None]
        return found + (history.items.tolist() if request.exclude_seen else [])

    def _best(self, scores: Float32, request: RecommendRequest, history: Histories) -> _BestItems:
        """Of all items, whose `scores` are changed."""
        scores[self._left_out(request, history)] = -np.inf
        self._allow(scores, request.allowed)
        chosen = first_items(scores[None], request.count)[0]
        chosen = chosen[np.isfinite(scores[chosen])]
        return _BestItems(chosen, scores[chosen])

    def _nearest(self, asked: _AskedUser, request: RecommendRequest) -> _BestItems | None:
        """Of those that are found without a look at all; None where that is not asked for, or finds too few."""
        index, scorer = self._index, asked.scorer
        if index is None or request.allowed is not None or asked.is_cold:
            return None
        if not isinstance(scorer, ScoresByVectors):
            return None
        left_out = np.unique(np.array(self._left_out(request, asked.history), dtype=np.int64))
        query = scorer.queries(asked.users, asked.history)[0]
        codes = index.nearest(query, request.count + len(left_out))
        codes = np.setdiff1d(codes, left_out)
        if len(codes) < min(request.count, len(self.items) - len(left_out)):
            return None
        scores = index.vectors[codes] @ query
        first = np.lexsort((codes, -scores))[: request.count]
        return _BestItems(codes[first], scores[first])

    def _asked(self, request: RecommendRequest) -> _AskedUser:
        code = -1 if request.user is None else self._users.get(request.user, -1)
        history = self._history(code, request.items)
        scorer = self._scorer
        basis: Basis = "user" if code >= 0 else "popularity"
        if request.features is not None:
            scorer, code = self._with_features(request.features), 0
            basis = "user" if basis == "user" else "features"
        elif request.items and not isinstance(scorer, ReadsUsers):
            code = -1  # the vector of the user is that of what they did in training
        if any(name in self._codes for name in request.items):
            basis = "session"
        return _AskedUser(scorer, np.array([code], dtype=np.int64), history, basis)

    def _with_features(self, values: Mapping[str, Any]) -> Scorer:
        """For one user of whom these are known. Raises RowError."""
        if self._features is None or not isinstance(self._scorer, ReadsUsers):
            raise RowError(
                "features",
                "none, as this model reads no features of users",
                "some",
                "Leave them out, or train two_tower with data.users.",
            )
        return self._scorer.with_users(self._features.read(values))

    def _similar(self, name: str) -> tuple[Float32, Basis, Histories]:
        """What is asked about counts as seen; of an item that is not known, the popular ones."""
        code = self._codes.get(name)
        history = self._history(-1, () if code is None else (name,))
        found = None if code is None else self._scorer.similar(code)
        if found is None:
            return self._popularity.copy(), "popularity", history
        return np.array(found, dtype=np.float32), "similar", history

    def _history(self, user: int, since: Sequence[str]) -> Histories:
        """Of one user: what they did in training, then the known items of `since`, each time once more."""
        found: dict[int, float] = {}
        if user >= 0:
            before = zip(self._seen.items_of(user), self._seen.weights_of(user), strict=True)
            found = {int(item): float(weight) for item, weight in before}
        for code in map(self._codes.get, since):
            if code is not None:
                found[code] = found.pop(code, 0.0) + 1.0  # now it is the last
        starts = np.array([0, len(found)], dtype=np.int64)
        items = np.fromiter(found.keys(), dtype=np.int32, count=len(found))
        return Histories(starts, items, np.array(list(found.values()), dtype=np.float32))

    def _allow(self, scores: Float32, allowed: Sequence[str] | None) -> None:
        """In place."""
        if allowed is None:
            return
        codes = [code for code in map(self._codes.get, allowed) if code is not None]
        others = np.ones(len(scores), dtype=np.bool_)
        others[codes] = False
        scores[others] = -np.inf

    def _parts(
        self, request: RecommendRequest, history: Histories, chosen: Codes, basis: Basis
    ) -> list[tuple[ItemPart, ...]]:
        """Of each chosen item what those of the history add to its score, the largest first."""
        none: list[tuple[ItemPart, ...]] = [() for _ in chosen]
        asked = request.because or request.explain
        if not asked or basis not in ("user", "session") or not len(history.items):
            return none
        adds = self._scorer.contributions(history, chosen)
        if adds is None:
            return none
        order = np.argsort(-adds, axis=1, kind="stable")[:, :MOST_PARTS]
        return [
            tuple(
                ItemPart(self.items[history.items[entry]], float(adds[row, entry]))
                for entry in entries
            )
            for row, entries in enumerate(order.tolist())
        ]
