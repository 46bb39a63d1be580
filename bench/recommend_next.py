"""What comes next: `sasrec`, which reads what users did in its order, beside `item_knn`, which does not.

Made sequences: what a user does next follows, six times of ten, from what they did last (five items follow each, by a law
that is known), and else from their taste, one of twenty. Nothing comes twice. Of each user the last item is asked, and, in the
other fold, the last but one (`scheme: leave_last`), among all items that they do not have. The optimum ranks by the law and
the taste: only chance can beat it.

`SIXFOLD_BENCH_RATINGS` names a file of movie ratings with the columns userId, movieId, rating and timestamp
(docs/how-to/movie-ratings.md), for which the same is asked.

`item_knn`, `als` and `bpr` are the best of their settings on the very folds that are told; `sasrec` is as it is by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.pairs import Result
from sixfold.data.load import from_frame
from sixfold.evaluate import folds
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.plan.candidates import resolve
from sixfold.recipe.load import from_object
from sixfold.runs.context import Context

RATINGS = "SIXFOLD_BENCH_RATINGS"
FOLLOWS, FOLLOWERS, TASTES, METRIC, FIRST = 0.6, 5, 20, "ndcg_at_10", 10
KNN = {"family": "item_knn", "neighbors": [20, 100, 10_000], "shrink": [0, 20]}


@dataclass(frozen=True)
class World:
    """`followers`: [items, FOLLOWERS], and their `law`; `tastes`: [TASTES, items], each adds up to 1."""

    followers: Any
    law: Any
    tastes: Any

    @classmethod
    def drawn(cls, items: int, draw: np.random.Generator) -> World:
        """Followers anywhere; a taste is popularity times a weight of its own."""
        followers = np.stack([draw.permutation(items)[:FOLLOWERS] for _ in range(items)])
        law = 1.0 / np.arange(1, FOLLOWERS + 1)
        weights = np.exp(draw.normal(size=items) + 1.5 * draw.normal(size=(TASTES, items)))
        return cls(followers, law / law.sum(), weights / weights.sum(axis=1, keepdims=True))

    def next_of(self, last: int, taste: int, had: Any) -> Any:
        """[items]: how probable each is after `last`; 0 where `had`, [items] bool."""
        free = np.where(had, 0.0, self.tastes[taste])
        found: Any = free / free.sum()
        follows = np.where(had[self.followers[last]], 0.0, self.law)
        if follows.sum() > 0:
            found *= 1 - FOLLOWS
            np.add.at(found, self.followers[last], FOLLOWS * follows / follows.sum())
        return found


def sequences(users: int, items: int, each: int, seed: int = 0) -> tuple[pd.DataFrame, float]:
    """Rows of user, item and time, and the NDCG@10 of the optimum for the last two items of each user."""
    draw = np.random.default_rng(seed)
    world, rows, gains = World.drawn(items, draw), [], []
    for user in range(users):
        taste, had, last = int(draw.integers(TASTES)), np.zeros(items, dtype=bool), -1
        for place in range(each):
            chance = world.tastes[taste] if last < 0 else world.next_of(last, taste, had)
            item = int(draw.choice(items, p=chance))
            if place >= each - 2:
                rank = 1 + int((chance > chance[item]).sum())
                gains.append(1 / np.log2(rank + 1) if rank <= FIRST else 0.0)
            rows.append((f"u{user}", f"i{item}", place))
            had[item], last = True, item
    return pd.DataFrame(rows, columns=["user", "item", "time"]), float(np.mean(gains))


def measure(
    users: int = 4_000,
    items: int = 1_000,
    each: int = 40,
    epochs: int = 30,
    rounds: int = 1,
) -> Iterator[Result]:
    """NDCG@10 of both, and of the others."""
    frame, best = sequences(users, items, each)
    title = f"{users:,} users × {items:,} items, {each} each, one after the other: what comes next"
    found = scores(frame, {"epochs": epochs})
    yield _beside("item_knn", title, found)
    told = f"{found['sasrec'] / best:.1%} of the optimum"
    yield Result(
        f"{title}, sasrec", "the law itself", found["sasrec"], best, METRIC, told, rounds=1
    )
    named = os.environ.get(RATINGS)
    if not named:
        yield Result("movie ratings", "item_knn", absent=f"{RATINGS} does not name the file")
        return
    frame = ratings(Path(named))
    title = f"{len(frame):,} ratings, {frame['user'].nunique():,} users × {frame['item'].nunique():,} movies: what comes next"
    yield _beside("item_knn", title, scores(frame, {"epochs": epochs}))


def ratings(path: Path) -> pd.DataFrame:
    """Rows of user, item and time: that it was rated, not how."""
    names = {"userId": "user", "movieId": "item", "timestamp": "time"}
    return pd.read_csv(path, usecols=list(names)).rename(columns=names)


def scores(
    frame: pd.DataFrame, train: Mapping[str, Any], folds_of_last: int = 2
) -> dict[str, float]:
    """Family → NDCG@10, its best setting."""
    recipe = from_object(
        {
            "task": "recommendation",
            "data": {"source": "frame", "time": "time", "holdout": 0},
            "build": [
                {"family": "popularity"},
                KNN,
                {"family": "als", "factors": [16, 64]},
                {"family": "bpr", "factors": [16, 64]},
                {"family": "sasrec"},
            ],
            "train": dict(train),
            "evaluate": {"scheme": "leave_last", "folds": folds_of_last, "metrics": [METRIC]},
        }
    ).recipe
    data = from_frame(frame, recipe.data, recipe.task_name)
    parts, found = tuple(folds.make(recipe.evaluate, data)), dict[str, float]()
    for one in resolve(recipe, data, None, parts):
        own = cross_validate(one, data, parts, [METRIC], Context())
        found[own.family] = max(found.get(own.family, 0.0), float(np.mean(own.scores[METRIC])))
    return found


def _beside(peer: str, title: str, found: Mapping[str, float]) -> Result:
    told = ", ".join(f"{name} {score:.4f}" for name, score in found.items())
    return Result(title, peer, found["sasrec"], found[peer], METRIC, told, target=0.0, rounds=1)
