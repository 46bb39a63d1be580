"""A trained residual network with the normalization of its images: a state of arrays, and nodes of the graph."""

# Letters: B rows of a batch, H height, W width, C channels, O outputs.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._network_export import embedded, norms_folded
from sixfold.build._residual_network import ImageResidualNetwork, NetworkShape, sized_as
from sixfold.parts.fit import OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads
from sixfold.train.image_examples import Images
from sixfold.train.network import Scheme
from sixfold.train.starting import norm_parameters

AT_ONCE: Final = 64
LEAST_DEVIATION: Final = 1.0  # of a channel, in steps of a byte: images of one color are not divided by nothing


@dataclass(frozen=True)
class PixelScaling(State):
    """Mean and standard deviation of each channel over the training rows, float32 [C], in steps of a byte."""

    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]

    @classmethod
    def of(cls, batches: Any) -> Self:
        """From batches uint8 [B, H, W, C] of training rows, in whole numbers: no order of the batches moves a bit."""
        count, total, squares = 0, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        for images in batches:
            pixels = images.reshape(-1, images.shape[-1]).astype(np.int64)
            count += len(pixels)
            total, squares = total + pixels.sum(axis=0), squares + (pixels**2).sum(axis=0)
        mean: FloatArray = total / count
        deviation: FloatArray = np.sqrt(np.maximum(squares / count - mean**2, 0))
        return cls(mean.astype(np.float32), np.maximum(deviation, LEAST_DEVIATION).astype(np.float32))

    def export(self, graph: Graph, images: str) -> str:
        """uint8 [rows, H, W, C] → float32 [rows, C, H, W], scaled."""
        channels_first = graph.op("Transpose", images, perm=[0, 3, 1, 2])
        pixels = graph.cast(channels_first, TensorProto.FLOAT)
        centered = graph.op("Sub", pixels, graph.constant(self.mean[:, None, None]))
        return graph.op("Mul", centered, graph.constant(1 / self.deviation[:, None, None]))


class ScaledImages(nn.Module):
    """A network and the scaling before it, which is learned from the training images without a gradient."""

    def __init__(self, network: nn.Module, scaling: PixelScaling) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.from_numpy(scaling.mean.copy()))
        self.register_buffer("deviation", torch.from_numpy(scaling.deviation.copy()))

    @property
    def scaling(self) -> PixelScaling:
        """As it was given."""
        return PixelScaling(*(each.detach().to(torch.float32).numpy().copy() for each in (self.mean, self.deviation)))

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Norms keep their own start."""
        return norm_parameters(self)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] of bytes → [B, O], in the layout that convolutions on processors like best."""
        mean, factor = self.mean[:, None, None], (1 / self.deviation)[:, None, None]
        scaled = ((images_BCHW - mean) * factor).contiguous(memory_format=torch.channels_last)
        return self.network(scaled)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FittedImages(State):
    """`weights`: the network's state, narrower than `shape` says where channels were removed; of one image `side` × `side`."""

    shape: NetworkShape
    side: tuple[int, int]
    scaling: PixelScaling
    weights: dict[str, npt.NDArray[Any]]
    output: OutputKind = field(default="probability")

    @classmethod
    def of(cls, module: nn.Module, shape: NetworkShape, side: tuple[int, int], scaling: PixelScaling) -> Self:
        """What a trained network holds; in float32, whatever it was trained in."""
        weights = {name: _stored(value) for name, value in module.state_dict().items()}
        return cls(shape, side, scaling, weights)

    def module(self) -> nn.Module:
        """The network, in evaluation."""
        weights = {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        sized: Any = sized_as(ImageResidualNetwork(self.shape), weights)
        module: nn.Module = sized.to(memory_format=torch.channels_last).eval()
        return module

    def predict(self, images: Images) -> FloatArray:
        """uint8 [B, H, W, C], read a few at a time → float64 [B, O]: probabilities, rows sum to 1; or values.

        On one thread, whose sums are the same on any machine's number of cores.
        """
        module, found = ScaledImages(self.module(), self.scaling).eval(), [np.zeros((0, self.shape.outputs))]
        with threads.busy(0), torch.no_grad():
            for start in range(0, len(images), AT_ONCE):
                some = images[start : start + AT_ONCE].transpose(0, 3, 1, 2)
                scores = module(torch.from_numpy(np.ascontiguousarray(some)).to(torch.float32)).to(torch.float64)
                found.append((scores.softmax(1) if self.output == "probability" else scores).numpy())
        return np.concatenate(found)

    def export(self, graph: Graph, images: str) -> str:
        """The same as nodes, batch normalization folded; `images` is uint8 [rows, H, W, C]; double [rows, O]."""
        folded = norms_folded(self.module())
        example = torch.zeros(2, self.shape.channels, *self.side)
        scores = graph.cast(embedded(folded, graph, self.scaling.export(graph, images), example), TensorProto.DOUBLE)
        return graph.op("Softmax", scores, axis=1) if self.output == "probability" else scores


def _stored(value: torch.Tensor) -> npt.NDArray[Any]:
    value = value.detach().contiguous()
    return (value.to(torch.float32) if value.is_floating_point() else value).numpy().copy()
