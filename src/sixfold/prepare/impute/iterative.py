"""A missing number becomes what the other columns say, by linear regression, round after round (van Buuren, 2011)."""

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
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, Feature, Takes, Training, same
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Chained(State):
    """Missing values start as `start` [m]; step s then sets column `column[s]` to clip(x · weights[s] + bias[s]).

    `weights`: float64 [steps, m], 0 at the column itself; `low`, `high`: [m] the range seen in training.
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
        """The same steps, unrolled."""
        missing = graph.op("IsNaN", x)
        result = graph.op("Where", missing, graph.constant(self.start), x)
        width = len(self.start)
        for column, weights, bias in zip(self.column, self.weights, self.bias, strict=True):
            raw = graph.op("Add", graph.op("MatMul", result, graph.constant(weights[:, None])), graph.constant(bias))
            lifted = graph.op("Max", raw, graph.constant(self.low[column]))
            guess = graph.op("Min", lifted, graph.constant(self.high[column]))
            here = graph.constant(np.arange(width) == column)
            result = graph.op("Where", graph.op("And", missing, here), guess, result)
        return result

    def features(self, names: Sequence[str]) -> tuple[Feature, ...]:
        """One for one."""
        return same(names)


class Settings(Section):
    """A missing number becomes what the other columns say: Bayesian ridge regressions, round after round."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = True

    rounds: int = Field(5, ge=1, le=50, description="Passes over the columns.")

    def fit(self, x: Block, training: Training) -> Chained:
        """scikit-learn's IterativeImputer; its regressions are copied out."""
        imputer = IterativeImputer(
            BayesianRidge(), max_iter=self.rounds, random_state=training.seed, min_value=np.nanmin(x, axis=0),
            max_value=np.nanmax(x, axis=0), skip_complete=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the rounds are a setting
            imputer.fit(x)
        triplets = imputer.imputation_sequence_ if x.shape[1] > 1 else []
        weights = np.zeros((len(triplets), x.shape[1]))
        for number, triplet in enumerate(triplets):
            weights[number, triplet.neighbor_feat_idx] = triplet.estimator.coef_
        return Chained(
            np.nanmean(x, axis=0), np.array([t.feat_idx for t in triplets], dtype=np.int64), weights,
            np.array([t.estimator.intercept_ for t in triplets], dtype=np.float64),
            np.nanmin(x, axis=0), np.nanmax(x, axis=0),
        )  # fmt: skip
