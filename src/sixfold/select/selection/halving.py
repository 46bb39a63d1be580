"""Successive halving (Karnin, Koren and Somekh, 2013; Jamieson and Talwalkar, 2016) with folds as
the resource.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from sixfold.recipe.section import Section
from sixfold.select.selecting import Dropped, Seen, alive

DIGITS = 12  # means that agree so far are equal, as in the choice of the winner


class Settings(Section):
    """The better half goes on, on twice as many folds, until all folds are done. Saves most; a slow
    starter can be lost.
    """

    factor: int = Field(
        2, ge=2, le=10, description="One in `factor` goes on, on `factor` times as many folds."
    )
    first_folds: int = Field(1, ge=1, description="Folds before the first candidates are dropped.")

    def blocks(self, folds: int) -> tuple[int, ...]:
        """first_folds, then up to `factor` times as many each time."""
        done, sizes = 0, []
        while done < folds:
            until = min(folds, done * self.factor if done else self.first_folds)
            sizes.append(until - done)
            done = until
        return tuple(sizes)

    def dropped(self, seen: Seen) -> list[Dropped]:
        """All but the best ⌈n / factor⌉, at least `factor` of them; who equals the last of these
        stays too.
        """
        scores = seen.scores
        positions = np.flatnonzero(alive(scores))
        means = np.round(scores[positions].mean(axis=1), DIGITS)
        kept = max(self.factor, math.ceil(len(positions) / self.factor))
        if kept >= len(positions):
            return []
        cut = np.sort(means)[-kept]
        done = scores.shape[1]
        reason = f"of {len(positions)} on {done} of {seen.folds_total} folds, {{:.3g}} behind the last of the best {kept}"
        ranks = 1 + (means[:, None] < means[None, :]).sum(axis=1)
        return [
            (int(position), f"rank {rank} {reason.format(cut - mean)}")
            for position, mean, rank in zip(positions, means, ranks, strict=True)
            if mean < cut
        ]
