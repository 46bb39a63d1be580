"""What forest and extra_trees share: their settings, and the mean of the trees that scikit-learn
grows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from sixfold.build import _averaged
from sixfold.build._side_by_side import side_by_side
from sixfold.build._targets import centered
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.table import Task
from sixfold.runs.context import Context

# Values (rows × features) up to which starting threads costs more than it brings: of 18,000 a forest of 100 trees takes as long
# with two threads as with one, of 30,000 two thirds; extra_trees take as long of 33,000.
ONE_THREAD = 25_000


class ManyTrees(SolverFamily):
    """The mean of trees that differ by chance. `called`: the family's name in errors; `value_s`:
    seconds of one core for a value at a depth of one tree.
    """

    needs: ClassVar[Needs] = Needs(
        number=(), category=("ordinal",), impute_number=None, precision="float32"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    all_values_at_once: ClassVar[bool] = True
    called: ClassVar[str]
    value_s: ClassVar[float]

    trees: int = Field(100, ge=1, le=5000, description="Trees, 1 to 5000.")
    max_depth: int | None = Field(
        12, ge=1, le=64, description="Most questions from root to leaf, 1 to 64."
    )
    min_rows_leaf: int = Field(3, ge=1, description="Fewest training rows in a leaf, at least 1.")
    max_leaves: int | None = Field(
        None, ge=2, description="Most leaves of a tree, best splits first; at least 2."
    )
    feature_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the features tried at a split. Default: √features; a third for values.",
    )
    criterion: Literal["auto", "gini", "entropy", "squared_error"] = Field(
        "auto", description="Impurity: gini (classes' default), entropy; squared_error (values)."
    )

    @abstractmethod
    def _estimator(self, fit: Fit, threads: int) -> Any:
        """scikit-learn's, not fitted."""

    @property
    @abstractmethod
    def for_values(self) -> float:
        """Share of the features tried at a split where values are learned, if the recipe says
        nothing.
        """

    @property
    def rows_of_a_tree(self) -> float:
        """As a share of all rows."""
        return 1.0

    def check_task(self, task: Task) -> None:
        """Raises RecipeError for the criterion of another task."""
        _averaged.criterion(self.criterion, task, self.called)

    @property
    def side_by_side(self) -> bool:
        """scikit-learn's trees work outside of Python's lock."""
        return True

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield one mean of trees a fit, in order."""

        def one(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            context.check_time(f"fitting {self.called}")
            classes = _averaged.classes(fit, self.called)
            y, offset = centered(fit)
            estimator = self._estimator(fit, threads if fit.x.size > ONE_THREAD else 1)
            grown = estimator.fit(fit.x, y, sample_weight=fit.weights)
            return [_averaged.collect(grown.estimators_, fit, classes, offset)]

        return side_by_side(fits, one, context)

    def work(self, rows: int) -> float:
        """Rows, times the depth that they allow."""
        return float(rows * np.log2(rows + 1))

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """As a tree, of the features that are looked at for a branch, with every tree."""
        features = few[0].x.shape[1]
        classes = few[0].task == "classification"
        looked_at = self.feature_fraction or (features**-0.5 if classes else self.for_values)
        values = rows * max(1.0, looked_at * features) * self.rows_of_a_tree
        return FitWork(solver_s=self.value_s * self.trees * values * np.log2(rows + 1))

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """scikit-learn's trees, and what is drawn for each; of the model the nodes of all trees."""
        value, nodes = _averaged.value_bytes(few[0]), self._nodes(few[0], rows)
        grown = int(nodes * (_averaged.GROWN_BYTES + 2 * value) + 16 * rows)
        return FitCost(grown, int(nodes * (_averaged.NODE_BYTES + value)))

    def _nodes(self, few: Fit, rows: int) -> float:
        def grow(fit: Fit) -> Any:
            one = self.model_copy(update={"trees": 1})
            grown = one._estimator(fit, 1).fit(fit.x, fit.y, sample_weight=fit.weights)
            return grown.estimators_[0]

        return self.trees * _averaged.expected_nodes(grow, few, rows, self.max_depth)

    def asked(self, fit: Fit, threads: int) -> dict[str, Any]:
        """What both of scikit-learn's estimators are told."""
        classes = fit.task == "classification"
        return {
            "n_estimators": self.trees,
            "criterion": _averaged.criterion(self.criterion, fit.task, self.called),
            "max_depth": self.max_depth,
            "max_leaf_nodes": self.max_leaves,
            "max_features": self.feature_fraction or ("sqrt" if classes else self.for_values),
            "random_state": fit.seed,
            "n_jobs": threads,
        }
