"""Gradient-boosted trees: LightGBM grows them, this reads its trees into arrays.

Shape letters: R rows, F features, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import lightgbm
import numpy as np
from lightgbm.callback import CallbackEnv, EarlyStopException
from pydantic import Field

from sixfold.build import _links
from sixfold.build._classes import present
from sixfold.build._cores import cores
from sixfold.build._trees import Trees, round_down
from sixfold.parts.fit import Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

# Values (rows × features) up to which one thread is used. Measured on 2 cores, 32,561 × 14, 300 rounds: 1.4 s with one
# thread, 0.9 s with two; but with another process on the same cores two threads once took 68 s, waiting for each other.
ONE_THREAD = 2_000_000

# Part of the time left that rounds are made in; reading them and predicting takes as long: measured with 3,700 rounds.
TRAINING_PART = 0.4


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

    def export(self, graph: Graph, x: str) -> str:
        """The ensemble's sums, then the link in double precision."""
        return _links.export(self.link, graph, self.trees.export(graph, x))

    def first_rounds(self, rounds: int) -> Self:
        """The model as it was after `rounds` rounds, at least 1."""
        return replace(self, trees=self.trees.keep_first(max(1, rounds) * self.trees.outputs))

    def importances(self) -> FloatArray:
        """Share of the total gain that each feature brought, [F], sum 1."""
        return self.trees.importances()


class Settings(Section):
    """Gradient-boosted trees (LightGBM): every round adds a small tree that corrects the sum of those before. Takes
    missing values as they are; needs no scaling. With `patience`, rows are cut off to be watched, the best number of
    rounds is kept, and (`refit`) all rows are learned with that number.
    """

    ends_in_time: ClassVar[bool] = True
    needs: ClassVar[Needs] = Needs(number=(), category=("ordinal",), impute_number=None, precision="float32")
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})

    rounds: int = Field(300, ge=1, le=20_000, description="Boosting rounds at most, 1 to 20,000.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Share of each round's correction that is used.")
    leaves: int = Field(31, ge=2, le=4096, description="Leaves of a tree at most, 2 to 4096.")
    max_depth: int | None = Field(None, ge=1, le=64, description="Most questions from root to leaf; none: no limit.")
    min_rows_leaf: int = Field(20, ge=1, description="Fewest training rows in a leaf, at least 1.")
    feature_fraction: float = Field(0.5, gt=0, le=1, description="Share of the features that a tree may use.")
    row_fraction: float = Field(1.0, gt=0, le=1, description="Share of the rows that a tree is grown on.")
    l1: float = Field(0.0, ge=0, description="Penalty on the size of leaf values.")
    l2: float = Field(0.0, ge=0, description="Penalty on the squares of leaf values.")
    patience: int | None = Field(
        30, ge=1, description="Rounds without improvement on the rows cut off; none: all rounds."
    )
    validation: float = Field(0.1, gt=0, lt=1, description="Share of the training rows that is cut off to be watched.")
    refit: bool = Field(True, description="After an early stop, learn all rows with the best number of rounds.")

    def solve(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one BoostedTrees a fit, in order."""
        for fit in fits:
            context.check_time("fitting boosting")
            yield self._solve(fit, context)

    def _solve(self, fit: Fit, context: Context) -> BoostedTrees:
        if fit.task == "classification":
            present(fit, "boosting")
        every = np.arange(fit.rows)
        watched = self._watched(fit)
        if len(watched) == 0:
            return self._train(fit, every, watched, self.rounds, context)
        started = time.monotonic()
        stopped = self._train(fit, np.setdiff1d(every, watched), watched, self.rounds, context)
        if not self.refit or context.left_s() < time.monotonic() - started:
            return stopped
        return self._train(fit, every, watched[:0], stopped.rounds, context)

    def _watched(self, fit: Fit) -> IntArray:
        """Rows cut off for early stopping; none where fewer than 20 could be, or where a class would lose its last."""
        count = round(self.validation * fit.rows)
        if self.patience is None or count < 20:
            return np.empty(0, dtype=np.int64)
        rows = np.random.default_rng(fit.seed).permutation(fit.rows)[:count]
        if fit.task == "classification":
            rest = np.delete(fit.y, rows)
            if len(np.unique(rest)) < len(np.unique(fit.y)):
                return np.empty(0, dtype=np.int64)
        return np.sort(rows)

    def _train(self, fit: Fit, rows: IntArray, watched: IntArray, rounds: int, context: Context) -> BoostedTrees:
        parameters = self._parameters(fit)
        center = 0.0 if fit.task == "classification" else float(np.mean(fit.y))  # LightGBM keeps targets as float32
        y = fit.y - center
        x = fit.x if len(rows) == fit.rows else fit.x[rows]
        train = lightgbm.Dataset(x, y[rows], params=parameters)
        callbacks: list[Callable[[CallbackEnv], None]] = [_stop_in_time(context)]
        valid: list[lightgbm.Dataset] = []
        if len(watched):
            valid = [train.create_valid(fit.x[watched], y[watched])]
            callbacks.append(lightgbm.early_stopping(self.patience or 1, verbose=False))
        booster = lightgbm.train(parameters, train, rounds, valid_sets=valid, callbacks=callbacks)
        columns = fit.outputs if fit.task == "classification" and fit.outputs > 2 else 1
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        link: _links.Link = "identity"
        if fit.task == "classification":
            link = "sigmoid" if fit.outputs == 2 else "softmax"
        trees = read_trees(booster.dump_model(num_iteration=best), columns)
        return BoostedTrees(trees if center == 0.0 else trees.raised(center), link)

    def _parameters(self, fit: Fit) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "objective": "regression", "learning_rate": self.learning_rate, "num_leaves": self.leaves,
            "max_depth": self.max_depth or -1, "min_data_in_leaf": self.min_rows_leaf,
            "feature_fraction": self.feature_fraction, "bagging_fraction": self.row_fraction,
            "bagging_freq": 1 if self.row_fraction < 1 else 0, "lambda_l1": self.l1, "lambda_l2": self.l2,
            "seed": fit.seed, "deterministic": True, "force_row_wise": True,
            "num_threads": cores() if fit.x.size > ONE_THREAD else 1,
            "feature_pre_filter": False, "verbosity": -1,
        }  # fmt: skip
        if fit.task == "classification" and fit.outputs == 2:
            parameters["objective"] = "binary"
        elif fit.task == "classification":
            parameters |= {"objective": "multiclass", "num_class": fit.outputs}
        return parameters


def _stop_in_time(context: Context) -> Callable[[CallbackEnv], None]:
    """A LightGBM callback: when its part of the time is over, training ends with the rounds it has."""
    left_s = context.left_s()
    spare_s = (1.0 - TRAINING_PART) * left_s if math.isfinite(left_s) else 0.0

    def stop(state: CallbackEnv) -> None:
        if context.left_s() <= spare_s:
            done = state.iteration + 1
            text = f"boosting: out of time after {done} of {state.end_iteration} rounds"
            context.emit("warning", text=text, cut=True)
            raise EarlyStopException(state.iteration, state.evaluation_result_list or [])

    return stop


def read_trees(model: dict[str, Any], outputs: int) -> Trees:
    """LightGBM's dumped model as arrays.

    Splits are numerical (`<=`), no column is declared categorical. NaN goes where `default_left` says if the column had
    NaN in training (missing_type NaN); else LightGBM reads NaN as 0 (missing_type None).
    """
    rows: list[tuple[int, float, int, int, bool, float, float]] = []
    first = []
    for tree in model["tree_info"]:
        first.append(len(rows))
        _append(tree["tree_structure"], rows)
    feature, threshold, left, right, missing_left, value, gain = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Trees(
        first=np.array(first, dtype=np.int64),
        feature=feature.astype(np.int32),
        threshold=round_down(threshold.astype(np.float64)),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=missing_left.astype(bool),
        value=value.astype(np.float64)[:, None],
        gain=gain.astype(np.float64),
        features=int(model["max_feature_idx"]) + 1,
        outputs=outputs,
    )


def _append(root: dict[str, Any], rows: list[tuple[int, float, int, int, bool, float, float]]) -> None:
    """Append a tree's nodes, breadth first: children follow their parent."""
    queue = [root]
    start = len(rows)
    for at, node in enumerate(queue, start):
        if "split_feature" not in node:
            rows.append((0, 0.0, at, at, False, float(node["leaf_value"]), 0.0))
            continue
        left = start + len(queue)
        queue += [node["left_child"], node["right_child"]]
        threshold = float(node["threshold"])
        missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
        gain = max(0.0, float(node["split_gain"]))
        rows.append((int(node["split_feature"]), threshold, left, left + 1, missing_left, 0.0, gain))
