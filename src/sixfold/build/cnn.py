"""A small residual network over the pixels of images (He et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

from pydantic import Field
from torch import nn

from sixfold.build._classes import present
from sixfold.build._fitted_images import FittedImages, ImageSize, ScaledImages
from sixfold.build._image_family import ImageFamily, PixelModel, PixelRows, image_of
from sixfold.build._residual_network import ImageResidualNetwork, derived_size, network_shape
from sixfold.build.family import TrainDefaults
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.pixel_scaling import PixelScaling

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
class PixelNetwork(PixelModel):
    """A fitted residual network."""

    network: FittedImages


class Settings(ImageFamily):
    """A convolutional network with residual blocks, for a column of images alone, trained from
    scratch on augmented images. See `train` for how; what is left out there is, for it, SGD with
    Nesterov's momentum, 25 epochs and one cycle of the rate.
    """

    needs: ClassVar[Needs] = Needs(precision="float32", stored=True)

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto",
        description="Width and depth; auto: by the size of the images and the number of rows.",
    )

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "cnn"

    @property
    def train_defaults(self) -> TrainDefaults:
        """As He and others trained theirs, with one cycle of the rate."""
        return DEFAULTS

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why, and how images are augmented."""
        size = (
            derived_size(image_of(fit, self.name).height, fit.rows)[1]
            if self.size == "auto"
            else f"size {self.size}."
        )
        return f"cnn: {size} {self.describe()}"

    def module(self, fit: Fit) -> nn.Module:
        """The network of this size with the scaling of the fit's pixels. Raises FitError for other
        features than the pixels of one column.
        """
        shape = image_of(fit, self.name)
        present(fit, self.name)
        size = self.size if self.size != "auto" else derived_size(shape.height, fit.rows)[0]
        structure = network_shape(size, shape.channels, fit.outputs, shape.height)
        return ScaledImages(
            ImageResidualNetwork(structure), PixelScaling.of(PixelRows(fit.x, shape).batches())
        )

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state, as wide as that is."""
        if not isinstance(fitted, PixelNetwork):
            raise TypeError(f"{type(fitted).__name__} is no PixelNetwork")
        return ScaledImages(fitted.network.module(), fitted.network.scaling)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        if not (
            isinstance(module, ScaledImages) and isinstance(module.network, ImageResidualNetwork)
        ):
            raise TypeError(f"{type(module).__name__} is no ScaledImages")
        shape = image_of(fit, self.name)
        network = FittedImages.of(
            module.network,
            module.network.shape,
            ImageSize(shape.height, shape.width),
            module.scaling,
        )
        return PixelNetwork(shape.channels, network)

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """Of the size that so many rows get."""
        if self.size != "auto":
            return self
        size = derived_size(image_of(fit, self.name).height, rows)[0]
        return self.model_copy(update={"size": size})
