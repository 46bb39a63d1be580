"""Categories as numbers: the values seen in the training rows, sorted, and nothing of any other
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.parts.graph import ML, Graph
from sixfold.parts.state import State
from sixfold.parts.table import Column, IntArray

MISSING, UNSEEN = -1, -2


@dataclass(frozen=True)
class Vocabulary(State):
    """`levels`: for each column its values, sorted. Code i is the i-th value, -1 missing, -2 never
    seen in training.
    """

    levels: tuple[tuple[str, ...], ...]

    def tables(self, columns: Sequence[Column]) -> list[IntArray]:
        """For each column what its own codes become; its code -1 takes the last place."""
        return [
            _translation(column, levels)
            for column, levels in zip(columns, self.levels, strict=True)
        ]

    def transform(self, columns: Sequence[Column]) -> IntArray:
        """int64 [rows, m] codes."""
        pairs = zip(self.tables(columns), columns, strict=True)
        return np.stack([table[column.values.astype(np.int64)] for table, column in pairs], axis=1)

    def export(self, graph: Graph, x: str) -> str:
        """Texts [rows, m] → codes [rows, m]: one LabelEncoder a column; '' is the missing value."""
        codes = []
        for value, levels in zip(
            graph.split_columns(x, len(self.levels)), self.levels, strict=True
        ):
            keys = ["", *levels]
            numbers = [MISSING, *range(len(levels))]
            codes.append(
                graph.op(
                    "LabelEncoder",
                    value,
                    domain=ML,
                    keys_strings=keys,
                    values_int64s=numbers,
                    default_int64=UNSEEN,
                )
            )
        return graph.concat(codes)


def learn(columns: Sequence[Column]) -> Vocabulary:
    """The vocabulary of training rows; '' is never a value, it means missing."""
    levels = []
    for column in columns:
        codes = column.values
        used = np.unique(codes[codes >= 0]).astype(np.int64)
        levels.append(tuple(sorted({column.levels[code] for code in used} - {""})))
    return Vocabulary(tuple(levels))


def _translation(column: Column, levels: tuple[str, ...]) -> IntArray:
    number_of = {"": MISSING, **{level: number for number, level in enumerate(levels)}}
    translated = [number_of.get(level, UNSEEN) for level in column.levels]
    return np.array([*translated, MISSING], dtype=np.int64)
