"""Extremely randomized trees: the mean of trees whose questions are drawn (Geurts, Ernst and
Wehenkel 2006).
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from sixfold.build._averaged import least_leaf
from sixfold.build._many_trees import ManyTrees
from sixfold.parts.fit import Fit


class Settings(ManyTrees):
    """Extremely randomized trees: the mean of `trees` trees, each grown on all rows; of every
    feature tried at a split one threshold is drawn, and the best of these is taken (Geurts, Ernst
    and Wehenkel 2006). Varies less than a forest, and is grown faster. Takes missing values as they
    are; needs no scaling.
    """

    called: ClassVar[str] = "extra_trees"
    # Guessed from a forest's: no values are sorted.
    value_s: ClassVar[float] = 1.5e-8

    max_depth: int | None = Field(
        16, ge=1, le=64, description="Most questions from root to leaf, 1 to 64."
    )
    feature_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the features tried at a split. Default: √features; all for values.",
    )

    @property
    def for_values(self) -> float:
        """All (Geurts and others)."""
        return 1.0

    def _estimator(self, fit: Fit, threads: int) -> Any:
        """No row is drawn: of rows that count more or less, a leaf has a share of their sum."""
        make = ExtraTreesClassifier if fit.task == "classification" else ExtraTreesRegressor
        return make(**self.asked(fit, threads), **least_leaf(self.min_rows_leaf, fit))
