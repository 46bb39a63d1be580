"""A trained residual network with the normalization of its images: a state of arrays, and nodes of
the graph.
"""

# Letters: B rows of a batch, H height, W width, C channels, O outputs.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._network_export import embedded
from sixfold.build._residual_network import ImageResidualNetwork, NetworkShape, sized_as
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import OutputKind
from sixfold.parts.folded_norms import norms_folded
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads
from sixfold.train.image_examples import Images
from sixfold.train.network import Scheme, Starting
from sixfold.train.starting import norm_parameters

AT_ONCE: Final = 64


class ScaledImages(nn.Module):
    """A network and the scaling before it, which is learned from the training images without a
    gradient.
    """

    def __init__(self, network: nn.Module, scaling: PixelScaling) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.from_numpy(scaling.mean.copy()))
        self.register_buffer("deviation", torch.from_numpy(scaling.deviation.copy()))

    @property
    def scaling(self) -> PixelScaling:
        """As it was given."""
        return PixelScaling(
            *(
                each.detach().to(torch.float32).numpy().copy()
                for each in (self.mean, self.deviation)
            )
        )

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Norms keep their own start, and the network what it fills itself."""
        network, filled = self.network, norm_parameters(self)
        own = network.start(weights, biases, generator) if isinstance(network, Starting) else ()
        return filled | {f"network.{name}" for name in own}

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] of bytes → [B, O], in the layout that convolutions on processors like
        best.
        """
        mean, factor = self.mean[:, None, None], (1 / self.deviation)[:, None, None]
        scaled = ((images_BCHW - mean) * factor).contiguous(memory_format=torch.channels_last)
        return self.network(scaled)  # type: ignore[no-any-return]


class ImageSize(NamedTuple):
    """Pixels of one image."""

    height: int
    width: int


@dataclass(frozen=True)
class FittedImages(State):
    """`weights`: the network's state, narrower than `shape` says where channels were removed; of
    one image `side` × `side`.
    """

    shape: NetworkShape
    side: ImageSize
    scaling: PixelScaling
    weights: dict[str, npt.NDArray[Any]]
    output: OutputKind = field(default="probability")

    @classmethod
    def of(
        cls, module: nn.Module, shape: NetworkShape, side: ImageSize, scaling: PixelScaling
    ) -> Self:
        """What a trained network holds; in float32, whatever it was trained in."""
        return cls(shape, side, scaling, stored_weights(module))

    def module(self) -> nn.Module:
        """The network, in evaluation."""
        weights = {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        with own_draws():  # layers fill themselves, in whatever thread
            sized: Any = sized_as(ImageResidualNetwork(self.shape), weights)
        module: nn.Module = sized.to(memory_format=torch.channels_last).eval()
        return module

    def predict(self, images: Images) -> FloatArray:
        """uint8 [B, H, W, C], read a few at a time → float64 [B, O]: probabilities, rows sum to 1;
        or values.

        On one thread, whose sums are the same on any machine's number of cores.
        """
        module, found = (
            ScaledImages(self.module(), self.scaling).eval(),
            [np.zeros((0, self.shape.outputs))],
        )
        with threads.busy(0), torch.no_grad():
            for start in range(0, len(images), AT_ONCE):
                some = images[start : start + AT_ONCE].transpose(0, 3, 1, 2)
                scores = module(torch.from_numpy(np.ascontiguousarray(some)).to(torch.float32)).to(
                    torch.float64
                )
                found.append(
                    (scores.softmax(1) if self.output == "probability" else scores).numpy()
                )
        return np.concatenate(found)

    def export(self, graph: Graph, images: str) -> str:
        """The same as nodes, batch normalization folded; `images` is uint8 [rows, H, W, C]; double
        [rows, O].
        """
        folded = norms_folded(self.module())
        example = torch.zeros(2, self.shape.channels, *self.side)
        scores = graph.cast(
            embedded(folded, graph, self.scaling.export(graph, images), example), TensorProto.DOUBLE
        )
        return graph.op("Softmax", scores, axis=1) if self.output == "probability" else scores


def stored_weights(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """All that a module holds, as arrays; real numbers in float32."""
    found = {name: value.detach().contiguous() for name, value in module.state_dict().items()}
    return {
        name: (value.to(torch.float32) if value.is_floating_point() else value).numpy().copy()
        for name, value in found.items()
    }
