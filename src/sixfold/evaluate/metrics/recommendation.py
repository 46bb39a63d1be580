"""Metrics of recommenders, over all items that a user has not seen yet (`parts.table.RANKING`).

Each is the mean over the users of whom something is asked, whatever their number of rows; an item that
the model does not know is a miss. Formulas: Manning, Raghavan and Schütze, Introduction to information
retrieval, 2008, chapter 8; Järvelin and Kekäläinen, 2002 (NDCG); Zhou and others, 2010 (novelty).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import MISSED, RANKING, FloatArray, IntArray, Target, Task

PLUGINS: Final = {
    "recall_at_10": "RecallAt10",
    "recall_at_20": "RecallAt20",
    "ndcg_at_10": "NdcgAt10",
    "ndcg_at_20": "NdcgAt20",
    "map_at_10": "MapAt10",
    "mrr": "MeanReciprocalRank",
    "coverage_at_10": "CoverageAt10",
    "novelty_at_10": "NoveltyAt10",
}
USER, RANK, NOVELTY, FRESH = range(len(RANKING))


@dataclass(frozen=True)
class RankedRows:
    """Those that are asked, sorted by user and rank: `owner` numbers the users from 0, `place` the rows
    of each; `wanted`: [users] rows.
    """

    owner: IntArray
    rank: FloatArray
    place: IntArray
    wanted: IntArray

    def sums(self, each: FloatArray) -> FloatArray:
        """[users] of [rows]."""
        return np.bincount(self.owner, each, minlength=len(self.wanted)).astype(np.float64)


def ranked_rows(predicted: FloatArray) -> RankedRows:
    """Of [rows, RANKING]."""
    rows = predicted[predicted[:, RANK] > 0]
    rows = rows[np.lexsort((rows[:, RANK], rows[:, USER]))]
    _, starts, owner, wanted = np.unique(
        rows[:, USER], return_index=True, return_inverse=True, return_counts=True
    )
    place = np.arange(len(rows)) - starts[owner]
    return RankedRows(owner, rows[:, RANK], place, wanted)


class RankingMetric(Metric):
    """The base of those that are a mean over users."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    first: ClassVar[int] = 10

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, RANKING]; NaN where nothing is asked."""
        rows = ranked_rows(predicted)
        return float(self.of_users(rows).mean()) if len(rows.wanted) else math.nan

    @abstractmethod
    def of_users(self, rows: RankedRows) -> FloatArray:
        """[users]"""


class RecallAt10(RankingMetric):
    """The share of what a user did next that is among the first 10."""

    def of_users(self, rows: RankedRows) -> FloatArray:
        """Hits / wanted."""
        return rows.sums((rows.rank <= self.first).astype(np.float64)) / rows.wanted


class RecallAt20(RecallAt10):
    """The share of what a user did next that is among the first 20."""

    first: ClassVar[int] = 20


class NdcgAt10(RankingMetric):
    """Normalized discounted cumulative gain of the first 10: Σ 1 / log2(rank + 1) over the hits, as a
    share of the most there can be.
    """

    def of_users(self, rows: RankedRows) -> FloatArray:
        """Gains over ideal gains."""
        gains = np.where(rows.rank <= self.first, 1 / np.log2(rows.rank + 1), 0.0)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, self.first + 2)))])
        found: FloatArray = rows.sums(gains) / ideal[np.minimum(rows.wanted, self.first)]
        return found


class NdcgAt20(NdcgAt10):
    """Normalized discounted cumulative gain of the first 20."""

    first: ClassVar[int] = 20


class MapAt10(RankingMetric):
    """Mean average precision of the first 10: Σ precision at each hit, over the most hits there can
    be.
    """

    def of_users(self, rows: RankedRows) -> FloatArray:
        """Of each user the average precision."""
        precision = np.where(rows.rank <= self.first, (rows.place + 1) / rows.rank, 0.0)
        return rows.sums(precision) / np.minimum(rows.wanted, self.first)


class MeanReciprocalRank(RankingMetric):
    """1 / rank of the first thing that the user did next, wherever it stands."""

    def of_users(self, rows: RankedRows) -> FloatArray:
        """Of each user the first rank's."""
        first = rows.rank[rows.place == 0]
        return np.where(first < MISSED, 1 / first, 0.0)


class CoverageAt10(Metric):
    """The share of all items that some user gets among the first 10."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, target: Target, predicted: FloatArray) -> float:
        """Of all users together."""
        asked = predicted[:, RANK] > 0
        return float(predicted[asked, FRESH].sum()) if asked.any() else math.nan


class NoveltyAt10(Metric):
    """How little known the first 10 are: the mean of −log2 of the share of users that have each, in
    bits.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """Of each user once."""
        rows = predicted[predicted[:, RANK] > 0]
        first = np.unique(rows[:, USER], return_index=True)[1]
        return float(rows[first, NOVELTY].mean()) if len(first) else math.nan
