"""What families of one column of images have in common: how training images are changed and
read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from sixfold.build._fitted_images import ImageSize
from sixfold.build.module_family import ModuleFamily
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureKind, Fit, Matrix, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Task
from sixfold.train.augment import Augment
from sixfold.train.image_examples import ImageExamples, Images
from sixfold.train.module import ExampleReader

READ: Final = 256  # images read at once


@dataclass(frozen=True)
class PixelRows:
    """Rows of pixels [rows, cells], in memory or read when asked for, as images."""

    x: Any
    shape: ImageShape

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        """uint8 [rows, height, width, channels]."""
        some = np.asarray(self.x[rows]).astype(np.uint8, copy=False)
        return some.reshape(len(some), self.shape.height, self.shape.width, self.shape.channels)

    def batches(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All of them, in order."""
        for start in range(0, len(self.x), READ):
            yield self[start : start + READ]


class ImageModel(Protocol):
    """A fitted network of images of `side`: a State."""

    @property
    def side(self) -> ImageSize:
        """Pixels of an image."""

    @property
    def output(self) -> OutputKind:
        """What `predict` returns."""

    def predict(self, images: Images) -> FloatArray:
        """uint8 [B, H, W, C] → float64 [B, O]."""

    def export(self, graph: Graph, images: str) -> str:
        """The same as nodes; `images` is [rows, H, W, C]; double [rows, O]."""


@dataclass(frozen=True)
class PixelModel(State):
    """A fitted network (`network`, of the subclass) whose features are pixels as one row, [rows,
    height · width · channels].
    """

    channels: int
    network: Any

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self._model.output

    @property
    def image(self) -> ImageShape:
        """What every image has become."""
        return ImageShape(*self._model.side, 3 if self.channels == 3 else 1)

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, cells], 0 to 255 → float64 [rows, outputs]."""
        return self._model.predict(PixelRows(x, self.image))

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        shape = graph.constant([-1, *self._model.side, self.channels], np.int64)
        return self._model.export(graph, graph.op("Reshape", x, shape))

    @property
    def _model(self) -> ImageModel:
        found: ImageModel = self.network
        return found


class ImageFamily(Augment, ModuleFamily):
    """A family for one column of images, whose training images are changed from epoch to epoch."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"pixels"})

    @property
    @abstractmethod
    def name(self) -> str:
        """As recipes write it."""

    def examples(self, fit: Fit) -> ExampleReader:
        """Images by batches, augmented."""
        y = torch.from_numpy(np.array(fit.y, dtype=np.int64))
        images = PixelRows(fit.x, image_of(fit, self.name))
        return ImageExamples(images, y, fit.outputs, self)


def image_of(fit: Fit, family: str) -> ImageShape:
    """The shape of the one column of images. Raises FitError where there are other features."""
    image = fit.layout[0].image if len(fit.layout) == 1 else None
    if image is None:
        raise FitError(
            f"build, {family}",
            "one column of images and no other",
            f"{fit.x.shape[1]:,} features of other kinds, or made from its pixels",
            "Drop the other columns (data.drop), or use boosting, which takes pixels beside other columns.",
        )
    return image
