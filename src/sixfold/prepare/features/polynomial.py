"""Products of columns: powers and interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.core.errors import RecipeError
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section

MOST = 20_000


@dataclass(frozen=True)
class Products(State):
    """`factors`: int64 [features, degree] columns whose product each feature is; -1 stands for
    1.
    """

    factors: IntArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, features]."""
        result = x[:, self.factors[:, 0]]
        for factor in self.factors.T[1:]:
            result = result * np.where(factor < 0, 1.0, x[:, np.maximum(factor, 0)])
        return result

    def export(self, graph: Graph, x: str) -> str:
        """Gather and Mul, once a degree."""
        result = graph.take_columns(x, self.factors[:, 0])
        for factor in self.factors.T[1:]:
            taken = graph.take_columns(x, np.maximum(factor, 0))
            present = graph.op(
                "Where", graph.constant(factor < 0), graph.constant(1.0, np.float64), taken
            )
            result = graph.op("Mul", result, present)
        return result

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`age × hours`."""
        found = []
        for row in self.factors:
            used = [int(column) for column in row if column >= 0]
            found.append(
                FittedFeatures(
                    " × ".join(names[c] for c in used), used[0] if len(set(used)) == 1 else -1
                )
            )
        return tuple(found)


class Settings(Section):
    """Powers and interactions of numbers up to a degree, without the constant."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    degree: int = Field(2, ge=2, le=4, description="Factors of a product, at most.")
    interaction_only: bool = Field(False, description="Products of different columns only.")

    def fit(self, x: Block, training: Training) -> Products:
        """Only the number of columns matters. Raises RecipeError beyond 20,000 features."""
        choose = combinations if self.interaction_only else combinations_with_replacement
        found: list[tuple[int, ...]] = []
        for degree in range(1, self.degree + 1):
            for factors in choose(range(x.shape[1]), degree):
                found.append((*factors, *(-1,) * (self.degree - degree)))
                if len(found) > MOST:
                    raise RecipeError(
                        "prepare.features polynomial",
                        f"at most {MOST:,} features",
                        f"more, from {x.shape[1]} columns",
                        "Lower degree, or choose the columns under prepare.features.columns.",
                    )
        return Products(np.array(found, dtype=np.int64))
