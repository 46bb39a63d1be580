"""Racing (Maron and Moore, 1994; Birattari et al., 2002): who will not end ahead of the leader gets no more folds.

What is tested is not which candidate is truly better but which one all K folds would choose. d̄ and S² are mean and variance
of the differences leader - candidate on the t folds done, D the mean difference on all K. Folds in random order are a
sample of t out of K, so d̄ - D has the variance S²·(1/t - 1/K), and

    P(D < 0) = P(T > d̄ / √(S²·(1/t - 1/K))),   T: Student's t, t - 1 degrees of freedom,

is the chance that the candidate ends ahead (flat prior; exact for normal scores). What folds share by their training rows
shifts all of them and cancels; the correction of Nadeau and Bengio (2003), which is for the true difference, has no place.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import stats

from sixfold.evaluate.selecting import Dropped, alive
from sixfold.parts.table import BoolArray, FloatArray
from sixfold.recipe.section import Section

POOLED = 4.0  # degrees of freedom of the rivals' mean variance: simulated, 4 lost 5% of winners at most, 8 up to 6%
FEWEST_RIVALS = 5  # fewer say little of a common variance
ROUNDING = 1e-12  # a spread below this share of the scores is none


class Settings(Section):
    """Drop who will not win: the winner over all folds is lost in at most `error_rate` of races."""

    error_rate: float = Field(
        0.05, gt=0, le=0.5, description="Chance, of a whole race, that the winner over all folds is dropped."
    )
    first_folds: int = Field(3, ge=2, description="Folds before the first candidates are dropped.")
    next_folds: int = Field(1, ge=1, description="Folds between one dropping and the next.")

    def blocks(self, folds: int) -> tuple[int, ...]:
        """first_folds, then next_folds at a time."""
        first = min(self.first_folds, folds)
        later = range(first, folds, self.next_folds)
        return (first, *(min(self.next_folds, folds - done) for done in later))

    def dropped(self, scores: FloatArray, folds_total: int, bounds: tuple[float, float] | None = None) -> list[Dropped]:
        """Who cannot catch up, by arithmetic; then the least likely winners, while the sum of their chances is within this
        look's equal part of the error rate.
        """
        positions = np.flatnonzero(alive(scores))
        done = scores.shape[1]
        if len(positions) < 2 or done < 2 or done >= folds_total:
            return []
        own = scores[positions]
        behind = own[own.mean(axis=1).argmax()] - own
        certain = _beyond_reach(behind, folds_total, bounds)
        chances = _chances(behind, folds_total, float(np.abs(own).max()))
        chances[certain] = 0.0
        looks = max(1, len(self.blocks(folds_total)) - 1)
        likely_last = np.argsort(chances, kind="stable")
        dropped = likely_last[np.cumsum(chances[likely_last]) <= self.error_rate / looks]
        place = f"behind the leader on {done} of {folds_total} folds"
        return [
            (
                int(positions[each]),
                f"{behind[each].mean():.3g} {place}, "
                + ("more than can be made up" if certain[each] else f"chance to end ahead {chances[each]:.1g}"),
            )
            for each in sorted(dropped)
        ]


def _chances(behind: FloatArray, folds_total: int, largest: float) -> FloatArray:
    """[candidates] the chance that each ends ahead of the leader. `behind`: [candidates, folds done] leader - candidate.

    A variance is never taken below the candidate's own; a smaller one than the rivals' mean is moved towards that (as by
    Smyth, 2004), since two or three folds agree by accident. Without a spread there is no chance to state: 1.
    """
    done = behind.shape[1]
    mean, variance = behind.mean(axis=1), behind.var(axis=1, ddof=1)
    variance[variance <= (ROUNDING * largest) ** 2] = 0.0
    freedom = done - 1.0
    if np.sum(variance > 0) >= FEWEST_RIVALS:
        pooled = (POOLED * variance[variance > 0].mean() + freedom * variance) / (POOLED + freedom)
        variance, freedom = np.maximum(variance, pooled), freedom + POOLED
    chances = np.ones(len(behind))
    known = (variance > 0) & (mean > 0)
    error = np.sqrt(variance[known] * (1 / done - 1 / folds_total))
    chances[known] = stats.t.sf(mean[known] / error, freedom)
    return chances


def _beyond_reach(behind: FloatArray, folds_total: int, bounds: tuple[float, float] | None) -> BoolArray:
    """[candidates] who stays behind even with the best scores on the folds left, where the leader gets the worst."""
    if bounds is None:
        return np.zeros(len(behind), dtype=np.bool_)
    most = (folds_total - behind.shape[1]) * (bounds[1] - bounds[0])
    return np.asarray(behind.sum(axis=1) > most * (1 + ROUNDING))
