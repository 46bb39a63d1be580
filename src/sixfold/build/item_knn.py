"""Items that the same users have (Sarwar and others, Item-based collaborative filtering, 2001)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_array

from sixfold.build.family import FitCost, SolverFamily
from sixfold.bundle.recommend.histories import Histories
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import interactions_of
from sixfold.parts.recommender import recommender_of
from sixfold.parts.table import Task
from sixfold.runs.context import Context

PAIRS: Final = 4_000_000  # of items that have a user in common, at once: some 50 MB


class Settings(SolverFamily):
    """The score of an item is the sum of how alike it is to what the user has.

    The similarity of two items is the cosine of their columns of weights, shrunk towards 0 where few
    users have both: dot / (|a| · |b| + shrink).
    """

    needs: ClassVar[Needs] = Needs(interactions=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    neighbors: int = Field(
        100, ge=1, le=10_000, description="Most similar items of each that are kept."
    )
    shrink: float = Field(
        10.0, ge=0, description="Added below the fraction: pulls what few users say towards 0."
    )

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Of each item its most similar ones, some items at a time."""
        for fit in fits:
            x = interactions_of(fit)
            found = self._neighbors(x.histories(), x.item_count, context)
            arrays: dict[str, npt.NDArray[Any]] = {
                "neighbor_starts": found.starts,
                "neighbor_items": found.items,
                "neighbor_weights": found.weights,
            }
            yield recommender_of(x, "neighbors", arrays)

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Both orders of the interactions, pairs of items, and neighbors."""
        items = (
            rows
            if not few
            else min(rows, interactions_of(few[0]).item_count * rows // max(1, few[0].rows))
        )
        model = 8 * items * self.neighbors
        return FitCost(fit_bytes=128 * rows + 24 * PAIRS + 2 * model, model_bytes=16 * rows + model)

    def _neighbors(self, seen: Histories, items: int, context: Context) -> Histories:
        by_user = csr_array((seen.weights, seen.items, seen.starts), shape=(seen.count, items))
        by_item = csr_array(by_user.T)
        by_user.sort_indices()
        lengths = np.sqrt(np.bincount(seen.items, seen.weights**2, minlength=items))
        users = np.diff(by_user.indptr)
        work = np.concatenate([[0], np.cumsum(users[by_item.indices])])[by_item.indptr]
        starts, near, weights = [np.zeros(1, dtype=np.int64)], [], []
        first = 0
        while first < items:
            context.check_time("comparing items")
            last = max(first + 1, int(np.searchsorted(work, work[first] + PAIRS, side="right")) - 1)
            pairs = csr_array(by_item[first:last] @ by_user)
            for row in range(last - first):
                part = slice(*pairs.indptr[row : row + 2])
                own = self._most_similar(
                    first + row, pairs.indices[part], pairs.data[part], lengths
                )
                near.append(own[0])
                weights.append(own[1])
            first = last
        counts = [len(each) for each in near]
        starts.append(np.cumsum(counts, dtype=np.int64))
        return Histories(
            np.concatenate(starts),
            np.concatenate(near).astype(np.int32),
            np.concatenate(weights).astype(np.float32),
        )

    def _most_similar(
        self,
        item: int,
        others: npt.NDArray[Any],
        products: npt.NDArray[Any],
        lengths: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """The nearest of `others`, by their number, and how alike they are."""
        kept = (others != item) & (products > 0)
        others, products = others[kept], products[kept].astype(np.float64)
        similar = products / (lengths[item] * lengths[others] + self.shrink)
        best = np.lexsort((others, -similar))[: self.neighbors]
        best = best[np.argsort(others[best])]
        return others[best], similar[best]
