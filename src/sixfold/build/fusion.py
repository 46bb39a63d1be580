"""Numbers, categories, texts and images of a row together: one network with an encoder for each
kind of column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from sixfold.build._network_export import embedded
from sixfold.build._residual_network import derived_size, network_shape
from sixfold.build._token_network import ScaledOutputs, moved, moved_nodes, spread
from sixfold.build.family import TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.build.networks.fusion import FusionNetwork, FusionShape, PixelColumn, TokenColumn
from sixfold.build.networks.text_cnn import ConvolutionShape
from sixfold.core.units import counted
from sixfold.parts.fit import FeatureGroup, FeatureKind, Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.folded_norms import norms_folded
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.train import threads
from sixfold.train.augment import Augment, augment
from sixfold.train.module import ExampleReader

Size = Literal["nano", "small", "medium", "large"]
WIDTHS: Final[dict[Size, int]] = {
    "nano": 32,
    "small": 64,
    "medium": 128,
    "large": 256,
}  # of each encoder; guessed
ROWS: Final[dict[Size, int]] = {
    "nano": 20_000,
    "small": 200_000,
}  # below which a size is chosen; as of text_cnn
FILTERS: Final = (1, 2, 3)  # tokens that a filter spans: single words first, phrases too
AT_ONCE: Final = 64  # rows predicted in one piece
READ: Final = 256  # rows whose pixels are looked at together
DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adam", "learning_rate": 0.005},
        "schedule": {"name": "one_cycle", "rise": 0.25},
        "batch_size": 16,
        "epochs": 30,
    },
    "one optimizer that suits convolutions, vectors of tokens and plain products alike",
)


@dataclass(frozen=True)
class FittedFusion(State):
    """A trained network: its shape and all that it holds, float32 but for counters. `offset`: as in
    `parts.fit.Offset`.
    """

    differentiable: ClassVar[bool] = True
    shape: FusionShape
    weights: dict[str, npt.NDArray[Any]]
    output: OutputKind
    offset: tuple[float, ...] = ()

    @classmethod
    def of(cls, module: nn.Module, shape: FusionShape, fit: Fit) -> Self:
        """What a trained module holds."""
        weights = {name: _stored(value) for name, value in module.state_dict().items()}
        return cls(
            shape, weights, "probability" if fit.task == "classification" else "value", fit.offset
        )

    def module(self) -> nn.Module:
        """The trained network, in evaluation."""
        outputs = self.weights["shift"]
        module = ScaledOutputs(FusionNetwork(self.shape), outputs, outputs)
        module.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return module.eval()

    def single(self) -> Self:
        """Itself: it computes in float32."""
        return self

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features] → float64 [rows, outputs], on one thread, whose sums are the same on any
        number of cores.
        """
        module, found = self.module(), [np.zeros((0, self.shape.outputs))]
        with threads.busy(0), torch.no_grad():
            for start in range(0, len(x), AT_ONCE):
                some = torch.from_numpy(np.array(x[start : start + AT_ONCE], dtype=np.float32))
                scores = module(some).to(torch.float64)
                found.append(
                    (scores.softmax(1) if self.output == "probability" else scores).numpy()
                )
        return moved(np.concatenate(found), self.offset)

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes; `x` is [rows, features] float32: tokens are whole numbers below 2^24,
        which it holds exactly.
        """
        example = torch.zeros(2, self.shape.features)
        scores = graph.cast(
            embedded(norms_folded(self.module()), graph, x, example), TensorProto.DOUBLE
        )
        return (
            graph.op("Softmax", scores, axis=1)
            if self.output == "probability"
            else moved_nodes(graph, scores, self.offset)
        )


@dataclass(frozen=True)
class FusionExamples:
    """An `ExampleReader` of rows of features, [B, F] float32, in which the pixels of training rows
    are augmented.
    """

    x: Matrix
    y: torch.Tensor
    images: tuple[PixelColumn, ...]
    augmentation: Augment

    def __len__(self) -> int:
        return len(self.y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`."""
        x = torch.from_numpy(np.array(self.x[rows], dtype=np.float32))
        if draw is not None:
            for column in self.images:
                changed = augment(column.images(x).contiguous(), self.augmentation, draw).images
                x[:, column.start : column.stop] = changed.permute(0, 2, 3, 1).flatten(1)
        return x, self.y[torch.from_numpy(rows)]


class Settings(ModuleFamily):
    """One network for columns of several kinds, trained from scratch: an encoder for all numbers
    and categories, one for each column of text, one for each column of images, and two products
    over what they give, side by side. For what only shows where columns are seen together. Kinds
    that a table lacks have no encoder.
    """

    needs: ClassVar[Needs] = Needs(precision="float32", text="tokens")
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"numbers", "tokens", "pixels"})

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto",
        description="Width of the encoders; auto: by the number of rows and the size of the images.",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of what encoders give that is left out in each step."
    )
    shift: float = Field(
        0.08, ge=0, le=0.5, description="Images: random shift, at most this share of a side."
    )
    flip: bool = Field(
        False, description="Images: mirror half of them. Not for digits or anything with a side."
    )
    color: float = Field(
        0.0, ge=0, le=1, description="Images: brightness and contrast change by at most this share."
    )
    cutout: float = Field(
        0.0, ge=0, lt=1, description="Images: side of a square that is blanked, as a share."
    )

    @property
    def train_defaults(self) -> TrainDefaults:
        """Adam with one cycle of the rate."""
        return DEFAULTS

    @property
    def augmentation(self) -> Augment:
        """How training images are changed. None are mixed: the other columns of two rows could not
        be.
        """
        return Augment(shift=self.shift, flip=self.flip, color=self.color, cutout=self.cutout)

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why, what is encoded, and how images are augmented."""
        shape = self.shape(fit)
        size, why = derived(fit) if self.size == "auto" else (self.size, "as asked")
        names = [f"'{group.columns[0]}'" for group in fit.layout if group.kind != "numbers"]
        numbers = len(shape.numbers) + len(shape.codes)
        parts = (
            [f"numbers and categories ({numbers:,} features)"]
            if numbers > 1
            else ["the number"] * numbers
        ) + names
        changed = f" {self.augmentation.describe()}" if shape.images else ""
        return f"fusion: size {size} ({why}); an encoder each for {', '.join(parts)}.{changed}"

    def shape(self, fit: Fit) -> FusionShape:
        """The network for the features of `fit`."""
        size: Size = derived(fit)[0] if self.size == "auto" else self.size
        width, plain = WIDTHS[size], _numbers(fit)
        levels = fit.shape.levels or (0,) * fit.x.shape[1]
        codes = tuple(at for at in plain if levels[at])
        texts = tuple(
            TokenColumn(
                g.start,
                g.stop,
                ConvolutionShape(g.tokens, width, width, width, FILTERS, self.dropout),
            )
            for g in fit.layout
            if g.kind == "tokens"
        )
        return FusionShape(
            features=fit.x.shape[1],
            outputs=fit.outputs,
            numbers=tuple(at for at in plain if not levels[at]),
            codes=codes,
            levels=tuple(levels[at] for at in codes),
            texts=texts,
            images=tuple(_pixels(group, size) for group in fit.layout if group.kind == "pixels"),
            width=width,
            dropout=self.dropout,
        )

    def module(self, fit: Fit) -> nn.Module:
        """The network, with the scaling of the fit's pixels and the spread of its values."""
        shape = self.shape(fit)
        scalings = [PixelScaling.of(_batches(fit, column)) for column in shape.images]
        return ScaledOutputs(FusionNetwork(shape, scalings), *spread(fit, "fusion"))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state."""
        if not isinstance(fitted, FittedFusion):
            raise TypeError(f"{type(fitted).__name__} is no FittedFusion")
        return fitted.module()

    def examples(self, fit: Fit) -> ExampleReader:
        """Rows by batches, their images augmented."""
        kind = np.int64 if fit.task == "classification" else np.float64
        y = torch.from_numpy(np.array(fit.y, dtype=kind))
        return FusionExamples(np.asarray(fit.x), y, self.shape(fit).images, self.augmentation)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        if not (isinstance(module, ScaledOutputs) and isinstance(module.network, FusionNetwork)):
            raise TypeError(f"{type(module).__name__} is no FusionNetwork")
        return FittedFusion.of(module, module.network.shape, fit)

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """Of the size that so many rows get."""
        size = self.size if self.size != "auto" else derived(fit, rows)[0]
        return self.model_copy(update={"size": size})


def derived(fit: Fit, rows: int | None = None) -> tuple[Size, str]:
    """The size for so many rows (None: those of `fit`), and why: images decide where there are
    any.
    """
    count = fit.rows if rows is None else rows
    sides = [group.image.height for group in fit.layout if group.image is not None]
    if sides:
        return derived_size(max(sides), count)[
            0
        ], f"{counted(count, 'row')}, images of {max(sides)} pixels a side"
    return next((size for size, most in ROWS.items() if count < most), "medium"), counted(
        count, "row"
    )


def _numbers(fit: Fit) -> tuple[int, ...]:
    """The features that are numbers or codes of categories: all of them where no layout is
    given.
    """
    if not fit.layout:
        return tuple(range(fit.x.shape[1]))
    return tuple(
        at
        for group in fit.layout
        if group.kind == "numbers"
        for at in range(group.start, group.stop)
    )


def _pixels(group: FeatureGroup, size: Size) -> PixelColumn:
    if group.image is None:
        raise TypeError(f"pixels of {group.columns} without the size of the image")
    image, width = group.image, WIDTHS[size]
    return PixelColumn(
        group.start,
        image.height,
        image.width,
        network_shape(size, image.channels, width, image.height),
    )


def _batches(fit: Fit, column: PixelColumn) -> Iterator[npt.NDArray[np.uint8]]:
    """The pixels of all rows, uint8 [some, height, width, channels]."""
    for start in range(0, fit.rows, READ):
        pixels = np.asarray(fit.x[start : start + READ, column.start : column.stop]).astype(
            np.uint8
        )
        yield pixels.reshape(len(pixels), column.height, column.width, -1)


def _stored(value: torch.Tensor) -> npt.NDArray[Any]:
    value = value.detach().contiguous()
    return (value.to(torch.float32) if value.is_floating_point() else value).numpy().copy()
