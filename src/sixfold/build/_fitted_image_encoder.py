"""A fine-tuned image checkpoint: its embedding with a linear head, as a module, as arrays and as
nodes of the graph.
"""

# Letters: B rows of a batch, H height, W width, D width of an embedding, O outputs.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._fitted_images import ImageSize, ScaledImages, stored_weights
from sixfold.build._network_export import embedded
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import OutputKind
from sixfold.parts.folded_norms import norms_folded
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_checkpoint import ImageEmbedding, ImageEncoderShape
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads
from sixfold.train.adapters.adapt import learns_nothing, start_adapters
from sixfold.train.image_examples import Images
from sixfold.train.network import Scheme

AT_ONCE: Final = 16


class TunedImageEncoder(nn.Module):
    """A checkpoint's embedding with a linear head."""

    def __init__(self, embedding: ImageEmbedding, head: nn.Linear) -> None:
        super().__init__()
        self.embedding, self.head = embedding, head

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """The head is filled by `initialize`, adapters as in their paper; what the checkpoint
        brought stays.
        """
        start_adapters(self, generator)
        return frozenset(f"embedding.{name}" for name, _ in self.embedding.named_parameters())

    def train(self, mode: bool = True) -> Self:
        """A frozen embedding stays as it is in evaluation: no dropout, and no mean of a batch."""
        super().train(mode)
        if learns_nothing(self.embedding):
            self.embedding.eval()
        return self

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """float32 [B, 3, H, W], scaled → [B, O] scores."""
        return self.head(self.embedding(x_BCHW))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FittedImageEncoder(State):
    """`weights`: of the whole TunedImageEncoder."""

    shape: ImageEncoderShape
    weights: dict[str, npt.NDArray[Any]]

    @property
    def output(self) -> OutputKind:
        """Of classes."""
        return "probability"

    @property
    def side(self) -> ImageSize:
        """Pixels of an image."""
        return ImageSize(self.shape.preparation.side, self.shape.preparation.side)

    @classmethod
    def of(cls, module: nn.Module, shape: ImageEncoderShape) -> Self:
        """What a trained network holds; in float32, whatever it was trained in."""
        return cls(shape, stored_weights(module))

    def module(self) -> TunedImageEncoder:
        """The network, in evaluation."""
        outputs, width = self.weights["head.weight"].shape
        with own_draws():  # layers fill themselves, in whatever thread
            made = TunedImageEncoder(self.shape.network(), nn.Linear(width, outputs))
        made.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return made.eval()

    def predict(self, images: Images) -> FloatArray:
        """uint8 [B, H, W, 3], read a few at a time → float64 [B, O], rows sum to 1. On one thread,
        whose sums are the same on any machine's number of cores.
        """
        module = ScaledImages(self.module(), self.shape.preparation.scaling).eval()
        found = [np.zeros((0, len(self.weights["head.bias"])))]
        with threads.busy(0), torch.no_grad():
            for start in range(0, len(images), AT_ONCE):
                some = images[start : start + AT_ONCE].transpose(0, 3, 1, 2)
                scores = module(torch.from_numpy(np.ascontiguousarray(some)).to(torch.float32)).to(
                    torch.float64
                )
                found.append(scores.softmax(1).numpy())
        return np.concatenate(found)

    def export(self, graph: Graph, images: str) -> str:
        """The same as nodes, batch normalization folded; `images` is [rows, H, W, 3]; double [rows,
        O].
        """
        preparation = self.shape.preparation
        scaled = preparation.scaling.export(graph, images)
        scores = embedded(norms_folded(self.module()), graph, scaled, preparation.example())
        return graph.op("Softmax", graph.cast(scores, TensorProto.DOUBLE), axis=1)
