"""The first items of many, by score, and where an item stands."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.bundle.recommend.scorers import Codes, Scorer

SORTED: Final = 1 << 21  # scores that are put in order at once: their places take 8 bytes each


def scored(scorer: Scorer, users: Codes, histories: Histories, popularity: Float32) -> Float32:
    """[users, items]; whoever did nothing yet gets the popular items."""
    found = scorer.scores(users, histories)
    cold = (histories.lengths() == 0) & (users < 0)
    found[cold] = popularity
    return found


def exclude(scores: Float32, histories: Histories) -> None:
    """In place: items of the histories come after all others."""
    scores[histories.users(), histories.items] = -np.inf


def first_items(scores: Float32, count: int) -> Codes:
    """[users, count] codes, the best first; of equal scores the smaller code is first."""
    users, items = scores.shape
    found = np.empty((users, min(count, items)), dtype=np.int64)
    at_once = max(1, SORTED // max(1, items))
    for first in range(0, users, at_once):
        some = slice(first, first + at_once)
        found[some] = _first_items(scores[some], found.shape[1])
    return found


def _first_items(scores: Float32, count: int) -> Codes:
    chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count].astype(np.int64)
    own = np.take_along_axis(scores, chosen, axis=1)
    last = own.min(axis=1)
    for user in np.flatnonzero((scores >= last[:, None]).sum(axis=1) > count):
        equal = np.flatnonzero(scores[user] >= last[user])
        chosen[user] = equal[np.argsort(-scores[user, equal], kind="stable")][:count]
    own = np.take_along_axis(scores, chosen, axis=1)
    return np.take_along_axis(chosen, np.lexsort((chosen, -own)), axis=1)


def ranks(scores: Float32, rows: Codes, items: Codes) -> npt.NDArray[np.int64]:
    """[asked] where item items[n] stands for the user rows[n], from 1; of equal scores the smaller code
    is first.
    """
    found = np.empty(len(rows), dtype=np.int64)
    for number, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
        own = scores[row]
        value = own[item]
        above = np.count_nonzero(own > value)
        equal = np.count_nonzero(own[:item] == value)
        found[number] = 1 + above + equal
    return found
