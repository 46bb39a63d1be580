"""A small residual network over the pixels of images (He et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import torch
from pydantic import Field

from sixfold.build._fitted_images import FittedImages, ImageSize, PixelScaling
from sixfold.build._residual_network import ImageResidualNetwork, derived_size, network_shape
from sixfold.build.family import Family, FitCost
from sixfold.core.errors import FitError
from sixfold.parts.fit import Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.sparse import dense
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Task
from sixfold.runs.context import Context
from sixfold.train.augment import Augment
from sixfold.train.image_learner import ImageBatch, ImageLearner, ImageTraining

RISING: Final = 0.25  # share of the steps in which the rate rises
READ: Final = 256  # images scaled at once
PIXEL_BYTES: Final = 12 * 32  # held for a pixel of a batch while a small network is trained: guessed


@dataclass(frozen=True)
class PixelNetwork(State):
    """A fitted network whose features are pixels as one row, [rows, height · width · channels]."""

    network: FittedImages
    channels: int

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self.network.output

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, cells], 0 to 255 → float64 [rows, outputs]."""
        return self.network.predict(np.asarray(x).reshape(len(x), *self.network.side, self.channels).astype(np.uint8))

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        shape = graph.constant([-1, *self.network.side, self.channels], np.int64)
        return self.network.export(graph, graph.op("Reshape", x, shape))


class Settings(Family):
    """A convolutional network with residual blocks, for a column of images alone: trained from scratch by SGD with Nesterov's
    momentum and one cycle of the learning rate; training images are augmented.
    """

    needs: ClassVar[Needs] = Needs(precision="float32")
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    ends_in_time: ClassVar[bool] = True
    of_images: ClassVar[bool] = True

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Width and depth; auto: by the size of the images and the number of rows."
    )
    epochs: int = Field(25, ge=1, le=10_000, description="Passes over the training images.")
    batch_size: int = Field(64, ge=2, le=65_536, description="Images a step.")
    rate: float = Field(0.1, gt=0, le=10, description="The highest learning rate of the cycle.")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="How strongly weights are pulled to 0.")
    shift: float = Field(0.08, ge=0, le=0.5, description="Random shift, at most this share of a side; edges are zeros.")
    flip: bool = Field(False, description="Mirror half of the images. Not for digits, text, or anything with a side.")
    color: float = Field(0.0, ge=0, le=1, description="Brightness and contrast change by at most this share.")
    cutout: float = Field(0.0, ge=0, lt=1, description="Side of a square that is blanked, as a share of the image's.")
    mixup: float = Field(0.0, ge=0, le=8, description="Mix two images, weights by Beta(mixup, mixup); 0: not.")
    cutmix: float = Field(0.0, ge=0, le=8, description="Paste a box of another image, area by Beta; 0: not.")

    def fit(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one network a fit, in order; time left is divided among the fits."""
        for number, fit in enumerate(fits):
            context.check_time(f"fitting {fit.setting.name}")
            left_s = context.left_s() / (len(fits) - number)
            yield self.own(fit).trained(fit, context, left_s)

    @property
    def augmentation(self) -> Augment:
        """How training images are changed."""
        names = ("shift", "flip", "color", "cutout", "mixup", "cutmix")
        return Augment(**{name: getattr(self, name) for name in names})

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """A batch with all that is between its layers, and what is read to be scaled."""
        cells = int(few[0].x.shape[1])
        return FitCost(cells * (self.batch_size * PIXEL_BYTES + READ * 16))

    def trained(self, fit: Fit, context: Context, left_s: float) -> PixelNetwork:
        """One network. Raises FitError for features that are not the pixels of one column alone."""
        shape = _image_of(fit)
        images = _Images(dense(fit.x), shape)
        size = self.size if self.size != "auto" else derived_size(shape.height, fit.rows)[0]
        structure = network_shape(size, shape.channels, fit.outputs, shape.height)
        scaling = PixelScaling.of(images.batches())
        steps = math.ceil(fit.rows / self.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fit.seed)
            module = ImageResidualNetwork(structure)
        training = ImageTraining(
            scaling.scaled, self._rate(steps * self.epochs), fit.seed, self.weight_decay, self.augmentation
        )
        learner = ImageLearner(module, training)
        self._train(learner, images, fit, _Ending(context, context.left_s() - left_s))
        return PixelNetwork(
            FittedImages.of(module, structure, ImageSize(shape.height, shape.width), scaling), shape.channels
        )

    def _train(self, learner: ImageLearner, images: _Images, fit: Fit, ending: _Ending) -> None:
        """θ ← θ − α∇J(θ; batch), batch after batch, epoch after epoch, until the time is over."""
        y = np.asarray(fit.y, dtype=np.int64)
        for epoch in range(self.epochs):
            order = np.random.default_rng([fit.seed % 2**63, epoch]).permutation(fit.rows)
            for rows in np.array_split(order, max(1, round(fit.rows / self.batch_size))):
                learner.step(ImageBatch(images.read(rows), y[rows], rows, epoch))
                if ending.is_over():
                    return

    def _rate(self, steps: int) -> Callable[[int], float]:
        """One cycle (Smith and Topin 2017): up in a quarter of the steps, then down by a cosine."""
        rising = max(1, int(RISING * steps))

        def rate(step: int) -> float:
            if step < rising:
                return self.rate * (step + 1) / rising
            done = min(1.0, (step - rising) / max(1, steps - rising))
            return self.rate * max(1e-4, (1 + math.cos(math.pi * done)) / 2)

        return rate


@dataclass(frozen=True)
class _Ending:
    """When training has to stop: where no more than `reserved_s` are left for what follows."""

    context: Context
    reserved_s: float

    def is_over(self) -> bool:
        """Whether it is time."""
        self.context.check_memory()
        return self.context.deadline is not None and self.context.left_s() <= self.reserved_s


@dataclass(frozen=True)
class _Images:
    """Rows of pixels as images."""

    x: Matrix
    shape: ImageShape

    def read(self, rows: Any) -> Any:
        """uint8 [rows, height, width, channels]."""
        some = self.x[rows].astype(np.uint8)
        return some.reshape(len(some), self.shape.height, self.shape.width, self.shape.channels)

    def batches(self) -> Iterator[Any]:
        """All of them, in order."""
        for start in range(0, len(self.x), READ):
            yield self.read(slice(start, start + READ))


def _image_of(fit: Fit) -> ImageShape:
    if fit.image is None:
        raise FitError(
            "build, cnn",
            "one column of images and no other",
            f"{fit.x.shape[1]:,} features of other kinds, or made from its pixels",
            "Drop the other columns (data.drop), or use boosting, which takes pixels beside other columns.",
        )
    return fit.image
