"""Some of the features: what the selections learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures


@dataclass(frozen=True)
class SelectedFeatures(State):
    """`kept`: int64, sorted."""

    kept: IntArray

    def transform(self, x: Block) -> Block:
        """[rows, m] → [rows, kept]."""
        return x[:, self.kept]

    def export(self, graph: Graph, x: str) -> str:
        """Gather."""
        return graph.take_columns(x, self.kept)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """Those that are kept."""
        return tuple(FittedFeatures(names[i], int(i)) for i in self.kept)


def whole(amount: float) -> float:
    """A check of Settings: a share below 1, or a whole number."""
    if amount > 1 and amount != int(amount):
        raise ValueError("a share below 1, or a whole number")
    return amount


Amount = Annotated[float, Field(gt=0), AfterValidator(whole)]


def strongest(scores: FloatArray, keep: float) -> SelectedFeatures:
    """The features with the highest scores: a count (1 or more) or a share (below 1), at least one;
    of equals the first.
    """
    count = min(len(scores), int(keep) if keep >= 1 else max(1, round(keep * len(scores))))
    return SelectedFeatures(np.sort(np.argsort(-scores, kind="stable")[:count]))
