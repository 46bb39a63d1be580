"""Recommenders: least squares beside `implicit`, and what is learned of planted tastes beside the tastes themselves.

Both least squares start from the same histories, with the same number of factors and iterations, three steps of conjugate
gradients, a confidence of 1 + α for what was done and the same regularization; NDCG@10 on what each user did last, over all
items, has to agree within 1%. The optimum ranks by the scores that the choices were drawn from: only chance can beat it.
The floor: each step's products of every interaction with the factors, twice, for users and for items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import floor
from bench.pairs import ROUNDS, Result, against, need
from sixfold.build import als, bpr, item_knn
from sixfold.bundle.recommend.ranking import exclude, ranks
from sixfold.data.load import load
from sixfold.data.sources.planted import Settings
from sixfold.parts.fit import Fit
from sixfold.parts.interactions import USER, as_interactions
from sixfold.prepare.interactions import fit_interactions
from sixfold.recipe.schema import Data, Prepare
from sixfold.runs.context import Context

SAME = 0.01  # NDCG@10 of both, relative
ALPHA, PENALTY, STEPS = 10.0, 1.0, 3


def measure(
    users: int = 6_000,
    items: int = 800,
    each: int = 60,
    factors: int = 64,
    iterations: int = 15,
    rounds: int = ROUNDS,
) -> Iterator[Result]:
    """Seconds of both, then scores."""
    work = _Work(users, items, each)
    yield _beside_implicit(work, factors, iterations, rounds)
    yield from _beside_the_optimum(work)


class _Work:
    """Of each user the last five choices are asked, and the others train."""

    def __init__(self, users: int, items: int, each: int) -> None:
        self.title = f"{users:,} users × {items:,} items, {each} each"
        self.settings = Settings(users=users, items=items, each=each)
        source = f"planted:{users}x{items}x{each}"
        table = load(Data(source=source, time="time"), "recommendation", Path()).table
        order = np.lexsort((table.columns["time"].values, table.columns[USER].values))
        place = np.arange(len(order)) % each
        train, held = (np.sort(order[place < each - 5]), np.sort(order[place >= each - 5]))
        self.preparer, self.x, _ = fit_interactions(table.take(train), Prepare())
        asked = as_interactions(self.preparer.transform(table.take(held)))
        self.asked = asked.take(
            np.flatnonzero((asked.items >= 0) & (asked.users < len(self.preparer.users)))
        )

    @property
    def fit(self) -> Fit:
        """Of the interactions that train."""
        return Fit(self.x, np.zeros((len(self.x), 4)), "recommendation", 4)

    def ndcg(self, scores: Any) -> float:
        """Of [users, items], over all items that a user has not."""
        exclude(scores, self.x.histories())
        found = ranks(scores, self.asked.users.astype(np.int64), self.asked.items.astype(np.int64))
        gains = np.where(found <= 10, 1 / np.log2(found + 1), 0.0)
        wanted = np.bincount(self.asked.users, minlength=len(scores))
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, 12)))])
        own = np.bincount(self.asked.users, gains, minlength=len(scores))[wanted > 0]
        return float((own / ideal[np.minimum(wanted[wanted > 0], 10)]).mean())

    def ndcg_of(self, family: Any) -> float:
        """Of what a family learns."""
        model: Any = next(family.fit([self.fit], Context()))
        users = np.arange(self.x.user_count)
        return self.ndcg(model.scorer.scores(users, self.x.histories()))

    def optimum(self) -> float:
        """By the scores that the choices were drawn from."""
        whole = np.concatenate(list(self.settings.scores())).astype(np.float32)
        users = [int(name[1:]) for name in self.preparer.users]
        items = [int(name[1:]) for name in self.preparer.items]
        return self.ndcg(whole[np.ix_(users, items)])


def _beside_implicit(work: _Work, factors: int, iterations: int, rounds: int) -> Result:
    """Seconds from interactions to factors."""
    family = als.Settings(
        factors=factors,
        iterations=iterations,
        confidence=ALPHA,
        regularization=PENALTY,
        steps=STEPS,
    )
    seen = work.x.histories()
    users = np.arange(work.x.user_count)

    def ours() -> Any:
        model: Any = next(family.fit([work.fit], Context()))
        return model.scorer.scores(users, seen)

    def theirs() -> Any:
        need("implicit")
        from implicit.cpu.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix

        shape = (work.x.user_count, work.x.item_count)
        table = csr_matrix(((1 + ALPHA) * seen.weights, seen.items, seen.starts), shape=shape)
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=PENALTY,
            alpha=1.0,
            iterations=iterations,
            use_cg=True,
            random_state=0,
        )
        model.fit(table, show_progress=False)
        return model.user_factors @ model.item_factors.T

    title = f"{work.title}, least squares, {factors} factors, {iterations} iterations"
    operations = iterations * 2 * (STEPS + 1) * 4.0 * len(seen.items) * factors
    least = floor.seconds(operations, 0.0, "f32")
    form = Result(title, "implicit", target=1, floor=least)
    return against(form, ours, theirs, _close(work), rounds)


def _close(work: _Work) -> Callable[[Any, Any], str]:
    def same(mine: Any, others: Any) -> str:
        first, second = work.ndcg(np.array(mine)), work.ndcg(np.array(others))
        assert first >= (1 - SAME) * second, f"NDCG@10 {first} and {second}"
        return f"NDCG@10 {first:.4f}, {second:.4f}"

    return same


def _beside_the_optimum(work: _Work) -> Iterator[Result]:
    """NDCG@10 of each family with as many factors as are planted, beside that of the planted scores."""
    best = work.optimum()
    families = {
        "item_knn": item_knn.Settings(neighbors=work.x.item_count),
        "als": als.Settings(factors=9, confidence=2.0, iterations=30),
        "bpr": bpr.Settings(factors=9, epochs=60, regularization=0.002),
    }
    for name, family in families.items():
        found = work.ndcg_of(family)
        yield Result(
            f"{work.title}, {name}",
            "the planted scores",
            found,
            best,
            unit="NDCG@10",
            target=-100 * 0.02 * best,
            quality=f"{found / best:.1%} of the optimum",
            rounds=1,
        )
