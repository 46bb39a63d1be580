"""Gradient-boosted trees: LightGBM grows them, this reads its trees into arrays.

Shape letters: R rows, F features, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import lightgbm
import numpy as np
from lightgbm.callback import CallbackEnv, EarlyStopException
from pydantic import Field

from sixfold.build import _links
from sixfold.build._classes import present
from sixfold.build._model_text import read_trees
from sixfold.build._side_by_side import side_by_side
from sixfold.build._trees import Trees
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.core.errors import RecipeError
from sixfold.parts.fit import UNWATCHED, Additive, Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean
from sixfold.runs.context import Context

# Values (rows × features) up to which one thread is used. Measured on 2 cores, 32,561 × 14, 300
# rounds: 1.4 s with one thread, 0.9 s with two; but with another process on the same cores two
# threads once took 68 s, waiting for each other.
ONE_THREAD = 2_000_000

LEAST_WATCHED = 20  # rows: fewer say too little about when to stop

# Part of the time left that rounds are made in; reading them and predicting takes as long: measured
# with 3,700 rounds.
TRAINING_PART = 0.4

# Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
START_S, VALUE_S = 0.05, 3e-6
BINS = 255  # of a feature, as LightGBM has them by itself
HISTOGRAM_BYTES, NODE_BYTES = 16, 44  # of a bin: a gradient and a Hessian; of a node
USUAL_ROUNDS = 120  # on tables that stopped early


@dataclass(frozen=True)
class BoostedTrees(State):
    """outputs = link(sum of the trees); one tree a round, or one a class and round."""

    trees: Trees
    link: _links.Link

    @property
    def output(self) -> OutputKind:
        """Probabilities for classes, values otherwise."""
        return "value" if self.link == "identity" else "probability"

    @property
    def rounds(self) -> int:
        """Boosting rounds."""
        return self.trees.count // self.trees.outputs

    @property
    def node_count(self) -> int:
        """Branches and leaves of all trees."""
        return self.trees.node_count

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, outputs] float64."""
        return _links.apply(self.link, self.trees.total(x))

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`predict` of rows of which most features are those of `x`."""
        total = self.trees.near(x)
        return lambda other: _links.apply(self.link, total(other))

    def export(self, graph: Graph, x: str) -> str:
        """The ensemble's sums, then the link in double precision."""
        return _links.export(self.link, graph, self.trees.export(graph, x))

    def additive(self) -> Additive | None:
        """A sum of trees, before the link."""
        cover = self.trees.leaf_cover()
        return Additive("trees", self.link, {"cover": cover}) if len(cover) else None

    def first_rounds(self, rounds: int) -> Self:
        """The model as it was after `rounds` rounds, at least 1."""
        return replace(self, trees=self.trees.keep_first(max(1, rounds) * self.trees.outputs))

    def importances(self) -> FloatArray:
        """Share of the total gain that each feature brought, [F], sum 1."""
        return self.trees.importances()


@dataclass(frozen=True)
class Binned:
    """The rows of a fit with every feature cut into bins, for all trainings on them or on a part of
    them.

    The bins come from the rows of this fit alone. lightgbm.cv makes them once for all folds, from
    held-out rows, too; here nothing is learned from a held-out row, so folds are not taken from one
    table of bins.
    """

    fit: Fit
    dataset: lightgbm.Dataset
    center: float
    threads: int

    @classmethod
    def of(cls, fit: Fit, parameters: dict[str, Any], threads: int) -> Self:
        """Bins of all rows of `fit`. Raises FitError when all are of one class."""
        if fit.task == "classification":
            present(fit, "boosting")
        center = (
            0.0 if fit.task == "classification" else float(mean(fit.y, fit.weights))
        )  # LightGBM keeps targets as float32
        rows = lightgbm.Dataset(fit.x, fit.y - center, weight=fit.weights, params=parameters)
        return cls(fit, rows.construct(), center, threads)

    def take(self, rows: IntArray) -> lightgbm.Dataset:
        """Some rows, in the bins of all; `rows` is sorted."""
        return self.dataset if len(rows) == self.fit.rows else self.dataset.subset(rows.tolist())


class BoostedRows(SolverFamily):
    """Which rows trees are grown on, and which are watched."""

    row_fraction: float = Field(
        1.0, gt=0, le=1, description="Share of the rows that a tree is grown on."
    )
    patience: int | None = Field(
        30, ge=1, description="Rounds without improvement on the rows cut off; none: all rounds."
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows that is cut off to be watched."
    )
    refit: bool = Field(
        True, description="After an early stop, learn all rows with the best number of rounds."
    )


class Settings(BoostedRows):
    """Gradient-boosted trees (LightGBM): every round adds a small tree that corrects the sum of
    those before. Takes missing values as they are; needs no scaling. Several values or quantiles
    have trees of their own. With `patience`, rows are cut
    off to be watched, the best number of rounds is kept, and (`refit`) all rows are learned with
    that number.
    """

    ends_in_time: ClassVar[bool] = True
    needs: ClassVar[Needs] = Needs(
        number=(), category=("ordinal",), impute_number=None, precision="float32"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})
    learns_quantiles: ClassVar[bool] = True
    # none of these changes the bins: features are not filtered by min_rows_leaf beforehand
    # (feature_pre_filter)
    shared: ClassVar[frozenset[str]] = frozenset(
        {
            "rounds",
            "learning_rate",
            "leaves",
            "max_depth",
            "min_rows_leaf",
            "feature_fraction",
            "row_fraction",
            "l1",
            "l2",
            "patience",
            "validation",
            "refit",
        }
    )

    rounds: int = Field(300, ge=1, le=20_000, description="Boosting rounds at most, 1 to 20,000.")
    learning_rate: float = Field(
        0.05, gt=0, le=1, description="Share of each round's correction that is used."
    )
    leaves: int = Field(31, ge=2, le=4096, description="Leaves of a tree at most, 2 to 4096.")
    max_depth: int | None = Field(
        None, ge=1, le=64, description="Most questions from root to leaf; none: no limit."
    )
    min_rows_leaf: int = Field(20, ge=1, description="Fewest training rows in a leaf, at least 1.")
    feature_fraction: float = Field(
        0.5, gt=0, le=1, description="Share of the features that a tree may use."
    )
    l1: float = Field(0.0, ge=0, description="Penalty on the size of leaf values.")
    l2: float = Field(0.0, ge=0, description="Penalty on the squares of leaf values.")
    monotone: dict[str, Literal[-1, 1]] = Field(
        default_factory=dict,
        description="Columns of numbers with which what is predicted only rises (1) or only falls (-1): {age: 1}; of two "
        "classes, the probability of the positive one.",
    )

    @property
    def constraints(self) -> Mapping[str, int]:
        """As `monotone` says."""
        return self.monotone

    def check_quantiles(self) -> None:
        """Raises RecipeError for constraints: leaves whose values are quantiles of rows do not hold them."""
        if self.monotone:
            raise RecipeError(
                "build, boosting, monotone",
                "no constraints, where quantiles are predicted",
                ", ".join(self.monotone),
                "Leave it out.",
            )

    @property
    def side_by_side(self) -> bool:
        """LightGBM works outside of Python's lock."""
        return True

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """LightGBM's copy of the features, their bins in a byte each, and a histogram for every leaf; of the model the
        nodes of all rounds.
        """
        one = few[0]
        trees = 1 if one.task == "classification" and one.outputs == 2 else one.outputs
        values = rows * one.x.shape[1]
        histograms = self.leaves * one.x.shape[1] * BINS * HISTOGRAM_BYTES
        rounds = self.rounds if self.patience is None else min(self.rounds, USUAL_ROUNDS)
        return FitCost(9 * values + histograms, rounds * trees * 2 * self.leaves * NODE_BYTES)

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """A tree for every class, value or quantile and round; with `patience` as many rounds as tables were found to want."""
        one = few[0]
        trees = 1 if one.task == "classification" and one.outputs == 2 else one.outputs
        rounds = self.rounds if self.patience is None else min(self.rounds, USUAL_ROUNDS)
        values = rows * few[0].x.shape[1]
        return FitWork(solver_s=rounds / USUAL_ROUNDS * trees * (START_S + VALUE_S * values))

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting, each its BoostedTrees; the rows of
        a fit are binned once.

        Where no rows are watched, settings that differ in `rounds` alone are trained once, to the
        largest.
        """
        most: dict[str, int] = {}
        for setting in settings:
            most[setting._but_rounds()] = max(setting.rounds, most.get(setting._but_rounds(), 0))

        def all_of(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            threads = threads if fit.x.size > ONE_THREAD else 1
            binned: Binned | None = None
            longest: dict[str, BoostedTrees] = {}
            found: list[Fitted] = []
            for setting in settings:
                context.check_time("fitting boosting")
                binned = binned or Binned.of(fit, self._parameters(fit, threads), threads)
                key, watched = setting._but_rounds(), setting._watched(fit)
                if not len(watched) and fit.groups is not None and setting._watches(fit):
                    context.emit("note", text=f"boosting: {UNWATCHED}")
                if len(watched):
                    found.append(setting._stopped(binned, watched, context))
                    continue
                if key not in longest:
                    longest[key] = setting._train(
                        binned, np.arange(fit.rows), watched, most[key], context
                    )
                found.append(longest[key].first_rounds(setting.rounds))
            return found

        return side_by_side(fits, all_of, context)

    def _but_rounds(self) -> str:
        return self.model_copy(update={"rounds": 1}).model_dump_json()

    def _stopped(self, binned: Binned, watched: IntArray, context: Context) -> BoostedTrees:
        """Trained until the rows watched get no better; then, with `refit`, on all rows for as many
        rounds.
        """
        every = np.arange(binned.fit.rows)
        started = time.monotonic()
        stopped = self._train(binned, np.setdiff1d(every, watched), watched, self.rounds, context)
        if not self.refit:
            return stopped
        if context.left_s() < time.monotonic() - started:
            context.emit(
                "warning", text="boosting: no time to learn the rows watched, too", cut=True
            )
            return stopped
        return self._train(binned, every, watched[:0], stopped.rounds, context)

    def _watches(self, fit: Fit) -> bool:
        return self.patience is not None and round(self.validation * fit.rows) >= LEAST_WATCHED

    def _watched(self, fit: Fit) -> IntArray:
        """Rows cut off for early stopping; none where fewer than 20 could be, or where a class
        would lose its last.
        """
        count = round(self.validation * fit.rows)
        if not self._watches(fit):
            return np.empty(0, dtype=np.int64)
        if fit.groups is not None:
            return fit.whole_groups(count, fit.seed)
        rows = np.random.default_rng(fit.seed).permutation(fit.rows)[:count]
        if fit.task == "classification":
            rest = np.delete(fit.y, rows)
            if len(np.unique(rest)) < len(np.unique(fit.y)):
                return np.empty(0, dtype=np.int64)
        return np.sort(rows)

    def _train(
        self, binned: Binned, rows: IntArray, watched: IntArray, rounds: int, context: Context
    ) -> BoostedTrees:
        fit = binned.fit
        parameters = self._parameters(fit, binned.threads)
        callbacks: list[Callable[[CallbackEnv], None]] = [_stop_in_time(context)]
        valid: list[lightgbm.Dataset] = []
        if len(watched):
            valid = [binned.take(watched)]
            callbacks.append(lightgbm.early_stopping(self.patience or 1, verbose=False))
        booster = lightgbm.train(
            parameters, binned.take(rows), rounds, valid_sets=valid, callbacks=callbacks
        )
        columns = fit.outputs if fit.task == "classification" and fit.outputs > 2 else 1
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        link: _links.Link = "identity"
        if fit.task == "classification":
            link = "sigmoid" if fit.outputs == 2 else "softmax"
        trees = read_trees(booster.model_to_string(num_iteration=best), columns)
        return BoostedTrees(trees if binned.center == 0.0 else trees.raised(binned.center), link)

    def _least_leaf(self, fit: Fit) -> int:
        """LightGBM estimates the rows of a leaf from its share of the second derivatives, in which
        weights count, times all rows that there are: so many of these as rows that count.
        """
        if fit.weights is None:
            return self.min_rows_leaf
        return max(1, round(self.min_rows_leaf * fit.rows / float(fit.weights.sum())))

    def _parameters(self, fit: Fit, threads: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "max_depth": self.max_depth or -1,
            "min_data_in_leaf": self._least_leaf(fit),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.row_fraction,
            "bagging_freq": 1 if self.row_fraction < 1 else 0,
            "lambda_l1": self.l1,
            "lambda_l2": self.l2,
            "seed": fit.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": threads,
            "feature_pre_filter": False,
            "verbosity": -1,
        }
        if self.monotone:
            parameters["monotone_constraints"] = [
                self.monotone.get(name, 0) for name in fit.columns
            ]
        if fit.task == "classification" and fit.outputs == 2:
            parameters["objective"] = "binary"
        elif fit.quantiles:
            parameters |= {"objective": "quantile", "alpha": fit.quantiles[0]}
        elif fit.task == "classification":
            parameters |= {"objective": "multiclass", "num_class": fit.outputs}
        return parameters


def _stop_in_time(context: Context) -> Callable[[CallbackEnv], None]:
    """A LightGBM callback: when its part of the time is over, training ends with the rounds it
    has.
    """
    left_s = context.left_s()
    spare_s = (1.0 - TRAINING_PART) * left_s if math.isfinite(left_s) else 0.0

    def stop(state: CallbackEnv) -> None:
        if context.left_s() <= spare_s:
            done = state.iteration + 1
            text = f"boosting: out of time after {done} of {state.end_iteration} rounds"
            context.emit("warning", text=text, cut=True)
            raise EarlyStopException(state.iteration, state.evaluation_result_list or [])

    return stop
