"""Random forest: the mean of trees grown on bootstrapped rows and random features (Breiman
2001).
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sixfold.build._many_trees import ManyTrees
from sixfold.parts.fit import Fit


class Settings(ManyTrees):
    """Random forest: the mean of `trees` trees, each grown on rows drawn with replacement and a
    random share of the features at every split (Breiman 2001). Takes missing values as they are;
    needs no scaling.
    """

    called: ClassVar[str] = "forest"
    # Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
    value_s: ClassVar[float] = 4e-8

    row_fraction: float = Field(
        1.0, gt=0, le=1, description="Rows drawn for a tree, as a share of all."
    )

    @property
    def for_values(self) -> float:
        """A third (Breiman)."""
        return 1 / 3

    @property
    def rows_of_a_tree(self) -> float:
        """Those that are drawn."""
        return self.row_fraction

    def _estimator(self, fit: Fit, threads: int) -> Any:
        """Rows are drawn as often as they count: so many of their sum, where there are weights."""
        make = RandomForestClassifier if fit.task == "classification" else RandomForestRegressor
        all_rows = self.row_fraction == 1.0 and fit.weights is None
        return make(
            **self.asked(fit, threads),
            min_samples_leaf=self.min_rows_leaf,
            max_samples=None if all_rows else self.row_fraction,
        )
