"""One decision tree (CART): the family to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sixfold.build import _averaged
from sixfold.build._cutting import Nodes, WeakestLinks
from sixfold.build._side_by_side import side_by_side
from sixfold.build._targets import centered
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.table import FloatArray, Task
from sixfold.parts.weights import std
from sixfold.runs.context import Context

# Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
VALUE_S = 5e-8  # a value at a depth


class Settings(SolverFamily):
    """One decision tree (CART): a chain of questions that can be read. Takes missing values as they
    are; needs no scaling. Grown to max_depth or max_leaves, then cut back where a split is not
    worth `complexity` (cost-complexity pruning, Breiman et al. 1984; relative to the root's
    impurity, so that it means the same in any unit).
    """

    needs: ClassVar[Needs] = Needs(
        number=(), category=("ordinal",), impute_number=None, precision="float32"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    all_values_at_once: ClassVar[bool] = True
    shared: ClassVar[frozenset[str]] = frozenset({"complexity"})

    max_depth: int | None = Field(
        12, ge=1, le=64, description="Most questions from root to leaf, 1 to 64."
    )
    min_rows_leaf: int = Field(10, ge=1, description="Fewest training rows in a leaf, at least 1.")
    max_leaves: int | None = Field(
        None, ge=2, description="Most leaves, best splits first; at least 2."
    )
    complexity: float = Field(
        0.0005,
        ge=0,
        lt=1,
        description="Least share of the whole impurity that one more leaf must take away; 0: no cut.",
    )
    criterion: Literal["auto", "gini", "entropy", "squared_error"] = Field(
        "auto", description="Impurity: gini (classes' default), entropy; squared_error (values)."
    )

    def check_task(self, task: Task) -> None:
        """Raises RecipeError for the criterion of another task."""
        _averaged.criterion(self.criterion, task, "tree")

    @property
    def side_by_side(self) -> bool:
        """scikit-learn's trees work outside of Python's lock."""
        return True

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting: of several a tree grown once, cut
        back for each.
        """

        def one(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            context.check_time("fitting tree")
            classes = _averaged.classes(fit, "tree")
            y, offset = centered(fit)
            grown = self._estimator(fit).fit(fit.x, y, sample_weight=fit.weights)
            return [_averaged.collect([grown], fit, classes, offset)]

        def all_of(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            context.check_time("fitting tree")
            classes = _averaged.classes(fit, "tree")
            y, offset = centered(fit)
            estimator = self._estimator(fit).set_params(ccp_alpha=0.0)
            grown = estimator.fit(fit.x, y, sample_weight=fit.weights)
            links = WeakestLinks(Nodes.of(grown.tree_))
            impurity = self._root_impurity(fit)
            cut = [links.tree(setting.complexity * impurity) for setting in settings]
            return [_averaged.collect([tree], fit, classes, offset) for tree in cut]

        return side_by_side(fits, one if len(settings) == 1 else all_of, context)

    def complexity_path(self, fit: Fit) -> FloatArray:
        """Rising values of `complexity`, from 0 up, at each of which the tree of `fit` loses a
        branch.
        """
        path = (
            self._estimator(fit)
            .set_params(ccp_alpha=0.0)
            .cost_complexity_pruning_path(fit.x, centered(fit)[0], sample_weight=fit.weights)
        )
        return np.unique(np.maximum(path.ccp_alphas, 0.0)) / (self._root_impurity(fit) or 1.0)

    def work(self, rows: int) -> float:
        """Rows, times the depth that they allow."""
        return float(rows * np.log2(rows + 1))

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """Rows are sorted by every feature at every depth; of several settings the tree is grown once."""
        values = rows * few[0].x.shape[1]
        return FitWork(solver_s=VALUE_S * values * np.log2(rows + 1) / len(few))

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """scikit-learn's tree, and the path along which it is cut back; of the model its nodes."""
        value, nodes = _averaged.value_bytes(few[0]), self._nodes(few[0], rows)
        grown = int(nodes * (2 * _averaged.GROWN_BYTES + 2 * value) * len(few) + 40 * rows)
        return FitCost(grown, int(nodes * (_averaged.NODE_BYTES + value)))

    def _nodes(self, few: Fit, rows: int) -> float:
        def grow(fit: Fit) -> Any:
            estimator = self._estimator(fit).set_params(ccp_alpha=0.0)
            return estimator.fit(fit.x, fit.y, sample_weight=fit.weights)

        return _averaged.expected_nodes(grow, few, rows, self.max_depth)

    def _estimator(self, fit: Fit) -> Any:
        make = DecisionTreeClassifier if fit.task == "classification" else DecisionTreeRegressor
        return make(
            criterion=_averaged.criterion(self.criterion, fit.task, "tree"),
            max_depth=self.max_depth,
            max_leaf_nodes=self.max_leaves,
            ccp_alpha=self.complexity * self._root_impurity(fit),
            random_state=fit.seed,
            **_averaged.least_leaf(self.min_rows_leaf, fit),
        )

    def _root_impurity(self, fit: Fit) -> float:
        """Impurity of all rows together: Gini, entropy in bits, or the variance (mean over the
        outputs).
        """
        if fit.task != "classification":
            if fit.weights is None:
                return float(np.mean(np.var(fit.y, axis=0)))
            return float(np.mean(std(fit.y, fit.weights) ** 2))
        share = np.unique(fit.y, return_counts=True)[1] / len(fit.y)
        if fit.weights is not None:
            counts = np.bincount(np.asarray(fit.y, dtype=np.int64), fit.weights)
            share = counts[counts > 0] / counts.sum()
        return float(
            -(share * np.log2(share)).sum()
            if self.criterion == "entropy"
            else 1.0 - (share**2).sum()
        )
