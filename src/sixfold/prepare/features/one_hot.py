"""One column a category, 1 where the row has it; rare categories share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.codes import Lookup
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section

RARE = "(rare)"


@dataclass(frozen=True)
class OneHot(State):
    """`slot`: code → number of the feature, -1 for none; `source`, `labels`: the column and value
    of each feature.
    """

    slot: Lookup
    source: IntArray
    labels: tuple[str, ...]

    def transform(self, x: IntArray) -> FloatArray:
        """Codes [rows, m] → 0 and 1 [rows, features]."""
        result = np.zeros((len(x), len(self.source)))
        for slots in self.slot.of(x).astype(np.int64).T:
            rows = np.flatnonzero(slots >= 0)
            result[rows, slots[rows]] = 1.0
        return result

    def export(self, graph: Graph, x: str) -> str:
        """Gather each feature's column, compare with its number."""
        slots = graph.take_columns(self.slot.export(graph, x), self.source)
        equal = graph.op(
            "Equal", slots, graph.constant(np.arange(len(self.source), dtype=np.float64))
        )
        return graph.cast(equal, TensorProto.DOUBLE)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`education = Bachelors`."""
        pairs = zip(self.source, self.labels, strict=True)
        return tuple(
            FittedFeatures(f"{names[column]} = {label}", int(column)) for column, label in pairs
        )


class Settings(Section):
    """One column a category. A value never seen in training is 0 in all of them, or 1 in the rare
    group if there is one.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"category"})
    role: ClassVar[Role] = "change"

    min_rows: int = Field(
        1, ge=1, description="Categories with fewer training rows share one column."
    )
    max_levels: int = Field(
        200,
        ge=2,
        description="Columns a category column gives, at most; the rarest share the last.",
    )

    def fit(self, x: Block, training: Training) -> OneHot:
        """Count training rows a category."""
        tables: list[FloatArray] = []
        source: list[int] = []
        labels: list[str] = []
        for column, levels in enumerate(training.levels):
            names = [*levels, "(missing)"]
            counts = np.bincount(x[x[:, column] >= 0, column], minlength=len(names))
            kept = self._kept(counts)
            rare = np.setdiff1d(np.flatnonzero(counts), kept).tolist()
            table = np.full(len(names) + 2, -1.0)  # unseen, missing, then the codes
            table[np.array(kept, dtype=np.int64) + 2] = len(labels) + np.arange(len(kept))
            labels += [names[code] for code in kept]
            if rare:
                table[[0, *(code + 2 for code in rare)]] = len(labels)
                labels.append(RARE)
            source += [column] * (len(labels) - len(source))
            tables.append(table)
        return OneHot(Lookup.of_tables(tables), np.array(source, np.int64), tuple(labels))

    def _kept(self, counts: IntArray) -> list[int]:
        """Codes with a column of their own, in order."""
        frequent = [int(code) for code in np.flatnonzero(counts >= self.min_rows)]
        if len(frequent) <= self.max_levels and (counts[counts > 0] >= self.min_rows).all():
            return frequent
        ranked = sorted(frequent, key=lambda code: (-counts[code], code))
        return sorted(ranked[: self.max_levels - 1])
