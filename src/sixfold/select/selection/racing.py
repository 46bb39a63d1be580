"""Racing (Maron and Moore, 1994; Birattari et al., 2002): who will not win gets no more folds.

What is tested is not which candidate is truly better but which one all K folds would choose. From
the t folds done, `endings` draws what all K may say of all candidates at once. Those with the least
chance to end ahead of the leader are dropped, as many as keep

    P(best of the dropped > best of the kept + TIE · s.e. of a difference) ≤ this look's part of
    `error_rate`:

a joint chance, so that settings that are alike cost no more than one. The tie is an indifference
zone (Bechhofer, 1954; Kim and Nelson, 2001). What folds share by their training rows shifts all and
cancels; the correction of Nadeau and Bengio (2003), which is for the true difference, has no place.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.evaluate.scoring import ScoreBounds
from sixfold.parts.table import BoolArray, FloatArray
from sixfold.recipe.section import Section
from sixfold.select.endings import Endings, draw
from sixfold.select.selecting import Dropped, Seen, alive

TIE = 0.5  # half of what the promise allows: ties of several looks can add up
FEWEST_FOLDS = (
    3  # without pieces: simulated, of two folds' scores alone up to 7% of races were lost
)
ROUNDING = 1e-12


class Settings(Section):
    """Drop who will not win: the choice is more than a standard error behind the winner over all
    folds in at most `error_rate` of races.
    """

    error_rate: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Chance that the choice is over a standard error behind the winner over all folds.",
    )
    first_folds: int = Field(
        2,
        ge=2,
        description="Folds before the first candidates are dropped; 3 where the metric is no mean over rows.",
    )
    next_folds: int = Field(1, ge=1, description="Folds between one dropping and the next.")

    def blocks(self, folds: int) -> tuple[int, ...]:
        """first_folds, then next_folds at a time."""
        first = min(self.first_folds, folds)
        later = range(first, folds, self.next_folds)
        return (first, *(min(self.next_folds, folds - done) for done in later))

    def dropped(self, seen: Seen) -> list[Dropped]:
        """Who cannot catch up, by arithmetic; and the least likely winners. Their looks have parts
        of the error rate in proportion to the folds that are left: who is dropped early saves most.
        """
        positions, done, total = (
            np.flatnonzero(alive(seen.scores)),
            seen.scores.shape[1],
            seen.folds_total,
        )
        if len(positions) < 2 or done < 2 or done >= total:
            return []
        own = seen.scores[positions]
        behind = own[own.mean(axis=1).argmax()] - own
        certain = _beyond_reach(behind, total, seen.bounds)
        reasons = dict.fromkeys(np.flatnonzero(certain).tolist(), "more than can be made up")
        pieces = None if seen.pieces is None else seen.pieces[positions]
        allowed = self._part(done, total, FEWEST_FOLDS if pieces is None else 2)
        endings = draw(own, total, pieces) if allowed else None
        if endings is not None:
            reasons = _unlikely(endings, own.mean(axis=1), allowed) | reasons
        place = f"behind the leader on {done} of {total} folds"
        return [
            (int(positions[at]), f"{behind[at].mean():.3g} {place}, {reasons[at]}")
            for at in sorted(reasons)
        ]

    def _part(self, done: int, folds_total: int, fewest: int) -> float:
        """This look's part of the error rate; 0 before `fewest` folds are done."""
        looks = np.cumsum(self.blocks(folds_total))[:-1]
        left = {int(look): folds_total - int(look) for look in looks if look >= fewest}
        return self.error_rate * left.get(done, 0) / max(1, sum(left.values()))


def _unlikely(endings: Endings, means: FloatArray, allowed: float) -> dict[int, str]:
    """Positions of those that may go, and why. `means`: [candidates] so far. `allowed`: chance that
    one of them should not.
    """
    tie, leader = TIE * endings.error, endings.means[means.argmax()]
    ahead = (endings.means >= leader).mean(axis=1)  # the leader's own is 1: it is kept
    order = np.lexsort((means, ahead))
    wins = (endings.means > leader + tie).mean(axis=1)
    gone = order[: _how_many(endings.means[order], tie, allowed)]
    return {
        int(
            at
        ): f"chance to end ahead by more than a tie {_said(float(wins[at]), endings.means.shape[1])}"
        for at in gone
    }


def _how_many(endings: FloatArray, tie: float, allowed: float) -> int:
    """How many, from the first row on, may go. A chance that is drawn is never nothing (Phipson and
    Smyth, 2010).
    """
    gone = np.maximum.accumulate(endings, axis=0)[:-1]
    kept = np.maximum.accumulate(endings[::-1], axis=0)[::-1][1:]
    lost = (1 + (gone > kept + tie).sum(axis=1)) / (
        1 + endings.shape[1]
    )  # of the first, the first two, …
    return int(np.flatnonzero(lost <= allowed).max(initial=-1)) + 1


def _said(chance: float, draws: int) -> str:
    return f"{chance:.1g}" if chance > 0 else f"below {1 / draws:.1g}"


def _beyond_reach(behind: FloatArray, folds_total: int, bounds: ScoreBounds | None) -> BoolArray:
    """[candidates] who stays behind even with the best scores on the folds left, where the leader
    gets the worst.
    """
    if bounds is None:
        return np.zeros(len(behind), dtype=np.bool_)
    most = (folds_total - behind.shape[1]) * (bounds.best - bounds.worst)
    return np.asarray(behind.sum(axis=1) > most * (1 + ROUNDING))
