"""A missing number becomes what the other columns say, by linear regression, round after round (van
Buuren, 2011).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

from sixfold.parts.graph import Graph
from sixfold.parts.offsets import offsets
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.impute._sample import sample
from sixfold.prepare.step import Block, FittedFeatures, Takes, Training, same
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Chained(State):
    """Missing values start as `start` [m]; step s then sets column `column[s]` to clip(x ·
    weights[s] + bias[s]).

    `weights`: float64 [steps, m], 0 at the column itself; `low`, `high`: [m] the range seen in
    training.
    """

    start: FloatArray
    column: IntArray
    weights: FloatArray
    bias: FloatArray
    low: FloatArray
    high: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m] without NaN."""
        missing = np.isnan(x)
        result = np.where(missing, self.start, x)
        for column, weights, bias in zip(self.column, self.weights, self.bias, strict=True):
            guess = np.clip(result @ weights + bias, self.low[column], self.high[column])
            result[:, column] = np.where(missing[:, column], guess, result[:, column])
        return result

    def export(self, graph: Graph, x: str) -> str:
        """The same steps, unrolled: Gemm, Clip, Where, Concat each."""
        missing = graph.op("IsNaN", x)
        result = graph.op("Where", missing, graph.constant(self.start), x)
        if not len(self.column):
            return result
        width = len(self.start)
        columns = [graph.take_columns(result, [i]) for i in range(width)]
        gaps = {i: graph.take_columns(missing, [i]) for i in sorted(set(self.column.tolist()))}
        for i, weights, bias in zip(self.column.tolist(), self.weights, self.bias, strict=True):
            raw = graph.op(
                "Gemm", result, graph.constant(weights[:, None]), graph.constant(bias[None])
            )
            guess = graph.op("Clip", raw, graph.constant(self.low[i]), graph.constant(self.high[i]))
            columns[i] = graph.op("Where", gaps[i], guess, columns[i])
            result = graph.concat(columns)
        return result

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


class Settings(Section):
    """A missing number becomes what the other columns say: Bayesian ridge regressions, round after
    round.

    A column without gaps in the training rows gets its mean.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = True

    rounds: int = Field(5, ge=1, le=50, description="Passes over the columns.")
    rows: int = Field(
        20_000, ge=10, description="Training rows that are learned from, drawn at random."
    )

    def fit(self, x: Block, training: Training) -> Chained:
        """scikit-learn's IterativeImputer; its regressions are copied out."""
        some = x[sample(x, self.rows, training.seed)]
        shift = offsets(
            some
        )  # it stops early where a round changes little against the largest number
        some = some - shift
        imputer = IterativeImputer(
            BayesianRidge(),
            max_iter=self.rounds,
            random_state=training.seed,
            min_value=np.nanmin(some, axis=0),
            max_value=np.nanmax(some, axis=0),
            skip_complete=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the rounds are a setting
            imputer.fit(some)
        triplets = imputer.imputation_sequence_ if x.shape[1] > 1 else []
        weights = np.zeros((len(triplets), x.shape[1]))
        for number, triplet in enumerate(triplets):
            weights[number, triplet.neighbor_feat_idx] = triplet.estimator.coef_
        column = np.array([t.feat_idx for t in triplets], dtype=np.int64)
        bias = np.array([t.estimator.intercept_ for t in triplets], dtype=np.float64) + (
            shift[column] - weights @ shift
        )
        low, high = np.nanmin(some, axis=0) + shift, np.nanmax(some, axis=0) + shift
        return Chained(np.nanmean(some, axis=0) + shift, column, weights, bias, low, high)
