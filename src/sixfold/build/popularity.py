"""The items that most users have: for everybody the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import numpy as np

from sixfold.build.family import FitCost, SolverFamily
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import interactions_of
from sixfold.parts.recommender import recommender_of
from sixfold.parts.table import Task
from sixfold.runs.context import Context


class Settings(SolverFamily):
    """Every user gets the items that most users have and this one has not: the score that every
    recommender has to beat.
    """

    needs: ClassVar[Needs] = Needs(interactions=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Count."""
        for fit in fits:
            context.check_time("counting users of items")
            x = interactions_of(fit)
            seen = x.histories()
            counts = np.bincount(seen.items, minlength=x.item_count)
            share = (counts / max(1, x.user_count)).astype(np.float32)
            yield recommender_of(x, "popularity", {"popularity": share})

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Pairs, sorted."""
        return FitCost(fit_bytes=64 * rows, model_bytes=16 * rows)
