"""The raw columns as they enter the graph: one matrix of numbers, one of categories, and what
readers make of other columns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sixfold.parts.graph import Graph, TensorProto
from sixfold.recipe.encoded import EncodedInput
from sixfold.recipe.signature import CATEGORIES, NUMBERS


class RawInputs:
    """The inputs of a graph that asks for the raw columns `names`, of which `categories` are
    levels. What a reader makes of a column is asked for with `encoded`, and such columns are none
    of `names`.
    """

    def __init__(self, graph: Graph, names: Sequence[str], categories: Collection[str]) -> None:
        self._graph = graph
        self._encoded: list[EncodedInput] = []
        self._place: dict[str, tuple[str, int]] = {}
        self._width: dict[str, int] = {}
        for name in names:
            value = CATEGORIES if name in categories else NUMBERS
            self._place[name] = value, self._width.get(value, 0)
            self._width[value] = self._width.get(value, 0) + 1
        for value, elem_type in ((NUMBERS, TensorProto.DOUBLE), (CATEGORIES, TensorProto.STRING)):
            if value in self._width:
                columns = [name for name in names if self._place[name][0] == value]
                graph.input(value, elem_type, self._width[value])
                graph.describe(value, columns)

    def encoded(self, modality: str, wanted: EncodedInput) -> str:
        """[rows, cells] double: what the modality's reader makes of a column by `wanted`, which
        gets its name here; what was asked for before enters once.
        """
        for known in self._encoded:
            if (
                type(known) is type(wanted)
                and wanted.model_copy(update={"name": known.name}) == known
            ):
                return known.name
        own = sum(each.name.rpartition("_")[0] == modality for each in self._encoded)
        found = wanted.model_copy(update={"name": f"{modality}_{own}"})
        self._encoded.append(found)
        self._graph.describe_text(found.name, found.model_dump_json(exclude_none=True))
        return self._graph.input(found.name, TensorProto.DOUBLE, found.cells)

    def take(self, columns: Sequence[str]) -> str:
        """[rows, len(columns)] of columns that are all numbers or all texts, in this order."""
        value = self._place[columns[0]][0]
        positions = [self._place[name][1] for name in columns]
        whole = positions == list(range(self._width[value]))
        return value if whole else self._graph.take_columns(value, positions)
