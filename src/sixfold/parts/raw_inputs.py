"""The raw columns as they enter the graph: one matrix of numbers, one of texts, whatever the columns are called."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape, resize_graph
from sixfold.recipe.images import ImageInput
from sixfold.recipe.signature import CATEGORIES, NUMBERS
from sixfold.recipe.texts import TermWeights, TextInput, TokenPieces


class RawInputs:
    """The inputs of a graph that asks for the raw columns `names`, of which `categories` are levels; what is made of columns of
    text is asked for with `text`, and such columns are none of `names`.
    """

    def __init__(self, graph: Graph, names: Sequence[str], categories: Collection[str]) -> None:
        self._graph = graph
        self._texts: list[TextInput] = []
        self._images: list[ImageInput] = []
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

    def text(self, column: str, terms: tuple[TermWeights, ...]) -> str:
        """[rows, features] double: the features of a column of text, which the front end makes; equal ones enter once."""
        return self._text(TextInput(name=f"text_{len(self._texts)}", column=column, terms=terms), TensorProto.DOUBLE)

    def tokens(self, column: str, pieces: TokenPieces) -> str:
        """[rows, length] int64: the tokens of a column of text, which the front end makes; equal ones enter once."""
        return self._text(TextInput(name=f"text_{len(self._texts)}", column=column, tokens=pieces), TensorProto.INT64)

    def _text(self, found: TextInput, elem_type: int) -> str:
        for known in self._texts:
            if known.model_copy(update={"name": found.name}) == found:
                return known.name
        self._texts.append(found)
        self._graph.describe_text(found.name, found.model_dump_json(exclude_none=True))
        return self._graph.input(found.name, elem_type, found.width)

    def image(self, column: str, shape: ImageShape) -> str:
        """[rows, cells] double: the resized pixels of a column of images, 0 to 255; equal ones enter once."""
        found = ImageInput(
            name=f"image_{len(self._images)}",
            column=column,
            height=shape.height,
            width=shape.width,
            channels=shape.channels,
            resize=base64.b64encode(resize_graph(shape)).decode(),
        )
        for known in self._images:
            if known.model_copy(update={"name": found.name}) == found:
                return known.name
        self._images.append(found)
        self._graph.describe_text(found.name, found.model_dump_json())
        return self._graph.input(found.name, TensorProto.DOUBLE, found.cells)

    def take(self, columns: Sequence[str]) -> str:
        """[rows, len(columns)] of columns that are all numbers or all texts, in this order."""
        value = self._place[columns[0]][0]
        positions = [self._place[name][1] for name in columns]
        whole = positions == list(range(self._width[value]))
        return value if whole else self._graph.take_columns(value, positions)
