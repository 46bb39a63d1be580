"""A small residual network over the pixels of images (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from sixfold.build._classes import present
from sixfold.build._fitted_images import FittedImages, ImageSize, ScaledImages
from sixfold.build._residual_network import ImageResidualNetwork, derived_size, network_shape
from sixfold.build.family import FitCost, TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Task
from sixfold.train.augment import Augment
from sixfold.train.image_examples import ImageExamples
from sixfold.train.module import ExampleReader

READ: Final = 256  # images scaled at once
DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
        },
        "schedule": {"name": "one_cycle", "rise": 0.25},
        "epochs": 25,
    },
    "what convolutions with batch norms are trained best with: He et al. 2016, Smith and Topin 2018",
)


@dataclass(frozen=True)
class PixelNetwork(State):
    """A fitted network whose features are pixels as one row, [rows, height · width · channels]."""

    network: FittedImages
    channels: int

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self.network.output

    @property
    def image(self) -> ImageShape:
        """What every image has become."""
        return ImageShape(*self.network.side, 3 if self.channels == 3 else 1)

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, cells], 0 to 255 → float64 [rows, outputs]."""
        return self.network.predict(PixelRows(x, self.image))

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        shape = graph.constant([-1, *self.network.side, self.channels], np.int64)
        return self.network.export(graph, graph.op("Reshape", x, shape))


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


class Settings(ModuleFamily):
    """A convolutional network with residual blocks, for a column of images alone, trained from scratch on augmented images. See
    `train` for how; what is left out there is, for it, SGD with Nesterov's momentum, 25 epochs and one cycle of the rate.
    """

    needs: ClassVar[Needs] = Needs(precision="float32", stored_pixels=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"pixels"})

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Width and depth; auto: by the size of the images and the number of rows."
    )
    shift: float = Field(0.08, ge=0, le=0.5, description="Random shift, at most this share of a side; edges are zeros.")
    flip: bool = Field(False, description="Mirror half of the images. Not for digits, text, or anything with a side.")
    color: float = Field(0.0, ge=0, le=1, description="Brightness and contrast change by at most this share.")
    cutout: float = Field(0.0, ge=0, lt=1, description="Side of a square that is blanked, as a share of the image's.")
    mixup: float = Field(0.0, ge=0, le=8, description="Mix two images, weights by Beta(mixup, mixup); 0: not.")
    cutmix: float = Field(0.0, ge=0, le=8, description="Paste a box of another image, area by Beta; 0: not.")

    @property
    def train_defaults(self) -> TrainDefaults:
        """As He and others trained theirs, with one cycle of the rate."""
        return DEFAULTS

    @property
    def augmentation(self) -> Augment:
        """How training images are changed."""
        names = ("shift", "flip", "color", "cutout", "mixup", "cutmix")
        return Augment(**{name: getattr(self, name) for name in names})

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why, and how images are augmented."""
        size = derived_size(image_of(fit).height, fit.rows)[1] if self.size == "auto" else f"size {self.size}."
        return f"cnn: {size} {self.augmentation.describe()}"

    def module(self, fit: Fit) -> nn.Module:
        """The network of this size with the scaling of the fit's pixels. Raises FitError for other features than the pixels of
        one column.
        """
        shape = image_of(fit)
        present(fit, "cnn")
        size = self.size if self.size != "auto" else derived_size(shape.height, fit.rows)[0]
        structure = network_shape(size, shape.channels, fit.outputs, shape.height)
        return ScaledImages(ImageResidualNetwork(structure), PixelScaling.of(PixelRows(fit.x, shape).batches()))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state, as wide as that is."""
        if not isinstance(fitted, PixelNetwork):
            raise TypeError(f"{type(fitted).__name__} is no PixelNetwork")
        return ScaledImages(fitted.network.module(), fitted.network.scaling)

    def examples(self, fit: Fit) -> ExampleReader:
        """Images by batches, augmented."""
        y = torch.from_numpy(np.array(fit.y, dtype=np.int64))
        return ImageExamples(PixelRows(fit.x, image_of(fit)), y, fit.outputs, self.augmentation)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        if not (isinstance(module, ScaledImages) and isinstance(module.network, ImageResidualNetwork)):
            raise TypeError(f"{type(module).__name__} is no ScaledImages")
        shape = image_of(fit)
        network = FittedImages.of(
            module.network, module.network.shape, ImageSize(shape.height, shape.width), module.scaling
        )
        return PixelNetwork(network, shape.channels)

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Of the size that so many rows get."""
        size = self.size if self.size != "auto" else derived_size(image_of(few[0]).height, rows)[0]
        sized = self.model_copy(update={"size": size})
        setting = replace(few[0].setting, family=sized)
        return ModuleFamily.cost(sized, [replace(few[0], setting=setting)], rows)


def image_of(fit: Fit) -> ImageShape:
    """The shape of the one column of images. Raises FitError where there are other features."""
    image = fit.layout[0].image if len(fit.layout) == 1 else None
    if image is None:
        raise FitError(
            "build, cnn",
            "one column of images and no other",
            f"{fit.x.shape[1]:,} features of other kinds, or made from its pixels",
            "Drop the other columns (data.drop), or use boosting, which takes pixels beside other columns.",
        )
    return image
