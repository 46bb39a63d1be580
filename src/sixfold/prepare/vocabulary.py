"""Categories as numbers: the values seen in the training rows, sorted, and nothing of any other row."""

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
    """`levels`: for each column its values, sorted. Code i is the i-th value, -1 missing, -2 never seen in training."""

    levels: tuple[tuple[str, ...], ...]

    def transform(self, columns: Sequence[Column]) -> IntArray:
        """int64 [rows, m] codes."""
        blocks = [_codes(column, levels) for column, levels in zip(columns, self.levels, strict=True)]
        return np.stack(blocks, axis=1)

    def export(self, graph: Graph, inputs: Sequence[str]) -> str:
        """One LabelEncoder a column; '' is the missing value."""
        codes = []
        for value, levels in zip(inputs, self.levels, strict=True):
            keys = ["", *levels]
            numbers = [MISSING, *range(len(levels))]
            codes.append(
                graph.op(
                    "LabelEncoder", value, domain=ML, keys_strings=keys, values_int64s=numbers, default_int64=UNSEEN
                )
            )
        return graph.concat(codes)


def learn(columns: Sequence[Column]) -> Vocabulary:
    """The vocabulary of training rows."""
    levels = []
    for column in columns:
        used = np.unique(column.values[column.values >= 0]).astype(np.int64)
        levels.append(tuple(sorted(column.levels[code] for code in used)))
    return Vocabulary(tuple(levels))


def _codes(column: Column, levels: tuple[str, ...]) -> IntArray:
    number_of = {level: number for number, level in enumerate(levels)}
    translated = [number_of.get(level, UNSEEN) for level in column.levels]
    table = np.array([*translated, MISSING], dtype=np.int64)  # code -1 takes the last
    return table[column.values.astype(np.int64)]
