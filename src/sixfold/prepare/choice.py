"""Some of the features: what the selections learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import numpy as np
from pydantic import AfterValidator, Field

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section

SAMPLE: Final = (
    10_000  # rows that are looked at, drawn at random: more change the ranking little (guessed)
)


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


class FeatureRanking(Section, ABC):
    """Keeps the features with the highest scores on training rows."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "select"

    keep: Amount = Field(0.5, description="How many features stay: a share below 1, or a count.")

    @abstractmethod
    def scores(self, x: FloatArray, y: FloatArray, training: Training) -> FloatArray:
        """Of every feature, [m], of some of the training rows."""

    def fit(self, x: Block, training: Training) -> SelectedFeatures:
        """Rank on training rows: at least one feature stays, of equals the first."""
        rows = np.sort(np.random.default_rng(training.seed).permutation(len(x))[:SAMPLE])
        scores = self.scores(np.nan_to_num(x[rows]), training.y[rows], training)
        some = int(self.keep) if self.keep >= 1 else max(1, round(self.keep * len(scores)))
        kept = np.argsort(-scores, kind="stable")[: min(len(scores), some)]
        return SelectedFeatures(np.sort(kept))
