"""A column of images as one fitted state, beside the blocks of other columns: its features are
pixels.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.parts import image_column
from sixfold.parts.fit import FeatureGroup
from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape, resize_graph
from sixfold.parts.image_store import StoredPixels
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.recipe.images import ImageInput


@dataclass(frozen=True)
class ImageBlock(State):
    """One raw column → pixels, 0 to 255. Of every feature `names`, `sources`, `levels`, as of a
    `Block`.
    """

    columns: tuple[str, ...]
    height: int
    width: int
    channels: int

    @property
    def shape(self) -> ImageShape:
        """What every image becomes."""
        return ImageShape(self.height, self.width, 3 if self.channels == 3 else 1)

    @property
    def steps(self) -> tuple[Any, ...]:
        """As of a `Block`."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """`scan pixel 17`: pixels by rows, the channels of one side by side."""
        return tuple(f"{self.columns[0]} pixel {at}" for at in range(self.shape.cells))

    @property
    def sources(self) -> tuple[str, ...]:
        """The column."""
        return self.columns * self.shape.cells

    @property
    def levels(self) -> tuple[int, ...]:
        """All are numbers."""
        return (0,) * self.shape.cells

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        return FeatureGroup("pixels", self.columns, start, start + self.shape.cells, self.shape)

    def reader(self, table: Table) -> Callable[[slice], npt.NDArray[np.uint8]]:
        """Gives the pixels of some rows, uint8 [rows, cells]."""
        pixels = self.stored(table)
        return lambda rows: pixels[rows]

    def stored(self, table: Table) -> StoredPixels:
        """The pixels of all rows, which stay on disk."""
        return StoredPixels(image_column.resized(table.columns[self.columns[0]], self.shape))

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The front end's pixels of the column, double."""
        return inputs.encoded("image", image_input(self.columns[0], self.shape))


def image_input(column: str, shape: ImageShape) -> ImageInput:
    """For the encoder of images."""
    resize = base64.b64encode(resize_graph(shape)).decode()
    return ImageInput(
        name="image_0",
        column=column,
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        resize=resize,
    )
