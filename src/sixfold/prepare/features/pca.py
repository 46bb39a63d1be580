"""Principal components: the directions in which the training rows vary most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from sklearn.decomposition import PCA

from sixfold.core.errors import RecipeError
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.choice import Amount
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Components(State):
    """(x - mean) @ directions; `mean`: [m], `directions`: [m, components]."""

    mean: FloatArray
    directions: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, components]."""
        return (x - self.mean) @ self.directions

    def export(self, graph: Graph, x: str) -> str:
        """Sub, MatMul."""
        return graph.op(
            "MatMul", graph.op("Sub", x, graph.constant(self.mean)), graph.constant(self.directions)
        )

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`component 1` …"""
        return tuple(
            FittedFeatures(f"component {i + 1}", -1) for i in range(self.directions.shape[1])
        )


class Settings(Section):
    """Principal components: the directions in which the training rows vary most."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "reduce"

    components: Amount = Field(0.95, description="A share of the variance below 1, or a count.")

    def fit(self, x: Block, training: Training) -> Components:
        """Singular vectors, none left to chance. Raises RecipeError for missing values."""
        if np.isnan(x).any():
            raise RecipeError(
                "prepare.features pca",
                "columns without missing values",
                "missing values",
                "Choose an imputer under prepare.impute.",
            )
        wanted = self.components if self.components < 1 else min(int(self.components), *x.shape)
        solver = (
            "covariance_eigh" if len(x) >= 10 * x.shape[1] else "full"
        )  # as scikit-learn chooses for many rows
        fitted = PCA(wanted, svd_solver=solver).fit(x)
        return Components(fitted.mean_, np.ascontiguousarray(fitted.components_.T))
