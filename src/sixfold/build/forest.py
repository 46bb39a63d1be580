"""Random forest: the mean of trees grown on bootstrapped rows and random features (Breiman
2001).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sixfold.build import _averaged
from sixfold.build._side_by_side import side_by_side
from sixfold.build._targets import centered
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.table import Task
from sixfold.runs.context import Context

ONE_THREAD = 50_000  # values (rows × features) up to which starting threads costs more than it brings (guessed)

# Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
VALUE_S = 4e-8  # a value at a depth, of one tree


class Settings(SolverFamily):
    """Random forest: the mean of `trees` trees, each grown on rows drawn with replacement and a
    random share of the features at every split (Breiman 2001). Takes missing values as they are;
    needs no scaling.
    """

    needs: ClassVar[Needs] = Needs(
        number=(), category=("ordinal",), impute_number=None, precision="float32"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    all_values_at_once: ClassVar[bool] = True

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
    row_fraction: float = Field(
        1.0, gt=0, le=1, description="Rows drawn for a tree, as a share of all."
    )
    criterion: Literal["auto", "gini", "entropy", "squared_error"] = Field(
        "auto", description="Impurity: gini (classes' default), entropy; squared_error (values)."
    )

    def check_task(self, task: Task) -> None:
        """Raises RecipeError for the criterion of another task."""
        _averaged.criterion(self.criterion, task, "forest")

    @property
    def side_by_side(self) -> bool:
        """scikit-learn's trees work outside of Python's lock."""
        return True

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield one forest a fit, in order."""

        def one(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            context.check_time("fitting forest")
            classes = _averaged.classes(fit, "forest")
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
        looked_at = self.feature_fraction or (features**-0.5 if classes else 1 / 3)
        values = rows * max(1.0, looked_at * features) * self.row_fraction
        return FitWork(solver_s=VALUE_S * self.trees * values * np.log2(rows + 1))

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

    def _estimator(self, fit: Fit, threads: int) -> Any:
        classes = fit.task == "classification"
        make = RandomForestClassifier if classes else RandomForestRegressor
        # As often as rows count they are drawn: so many of their sum, where there are weights.
        all_rows = self.row_fraction == 1.0 and fit.weights is None
        return make(
            n_estimators=self.trees,
            criterion=_averaged.criterion(self.criterion, fit.task, "forest"),
            max_depth=self.max_depth,
            min_samples_leaf=self.min_rows_leaf,
            max_leaf_nodes=self.max_leaves,
            max_features=self.feature_fraction or ("sqrt" if classes else 1 / 3),
            max_samples=None if all_rows else self.row_fraction,
            random_state=fit.seed,
            n_jobs=threads,
        )
