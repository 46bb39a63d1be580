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
from sixfold.prepare.step import Block, Feature, Takes, Training
from sixfold.recipe.section import Section

RARE = "(rare)"


@dataclass(frozen=True)
class OneHot(State):
    """`slot`: code → number of the feature, -1 for none; `source`, `wanted`: the column and slot of each feature."""

    slot: Lookup
    source: IntArray
    wanted: IntArray
    labels: tuple[str, ...]

    def transform(self, x: IntArray) -> FloatArray:
        """Codes [rows, m] → 0 and 1 [rows, features]."""
        slots = self.slot.of(x)
        result = np.empty((len(x), len(self.source)))
        for feature, (column, wanted) in enumerate(zip(self.source, self.wanted, strict=True)):
            result[:, feature] = slots[:, column] == wanted
        return result

    def export(self, graph: Graph, x: str) -> str:
        """Gather each feature's column, compare."""
        slots = self.slot.export(graph, x)
        equal = graph.op(
            "Equal", graph.take_columns(slots, self.source), graph.constant(self.wanted.astype(np.float64))
        )
        return graph.cast(equal, TensorProto.DOUBLE)

    def features(self, names: Sequence[str]) -> tuple[Feature, ...]:
        """`education = Bachelors`."""
        pairs = zip(self.source, self.labels, strict=True)
        return tuple(Feature(f"{names[column]} = {label}", int(column)) for column, label in pairs)


class Settings(Section):
    """One column a category. A value never seen in training is 0 everywhere, or in the rare group where there is one."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"category"})

    min_rows: int = Field(1, ge=1, description="Categories with fewer training rows share one column.")
    max_levels: int = Field(
        200, ge=2, description="Columns a category column gives, at most; the rarest share the last."
    )

    def fit(self, x: Block, training: Training) -> tuple[OneHot, Block]:
        """Count training rows a category."""
        tables: list[FloatArray] = []
        source: list[int] = []
        wanted: list[int] = []
        labels: list[str] = []
        for column, levels in enumerate(training.levels):
            names = [*levels, "(missing)"]
            counts = np.bincount(x[x[:, column] >= 0, column], minlength=len(names))
            kept = self._kept(counts)
            table = np.full(len(names) + 2, -1.0)
            table[np.array(kept, dtype=np.int64) + 2] = np.arange(len(kept))
            rare = [code for code in np.flatnonzero(counts) if code not in set(kept)]
            if rare:
                table[np.array(rare) + 2] = len(kept)
                table[0] = len(kept)
            labels += [names[code] for code in kept] + [RARE] * bool(rare)
            size = len(kept) + bool(rare)
            source += [column] * size
            wanted += range(size)
            tables.append(table)
        step = OneHot(Lookup.of_tables(tables), np.array(source, np.int64), np.array(wanted, np.int64), tuple(labels))
        return step, step.transform(x)

    def _kept(self, counts: IntArray) -> list[int]:
        """Codes with a column of their own, in order."""
        frequent = [int(code) for code in np.flatnonzero(counts >= self.min_rows)]
        if len(frequent) <= self.max_levels and (counts[counts > 0] >= self.min_rows).all():
            return frequent
        ranked = sorted(frequent, key=lambda code: (-counts[code], code))
        return sorted(ranked[: self.max_levels - 1])
