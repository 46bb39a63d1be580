"""The normalization of images by channel: learned from training images, or of a checkpoint."""

# Letters: B rows of a batch, H height, W width, C channels.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray

LEAST_DEVIATION: Final = (
    1.0  # of a channel, in steps of a byte: images of one color are not divided by nothing
)


@dataclass(frozen=True)
class PixelScaling(State):
    """Mean and standard deviation of each channel over the training rows, float32 [C], in steps of
    a byte.
    """

    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]

    @classmethod
    def of(cls, batches: Any) -> Self:
        """From batches uint8 [B, H, W, C] of training rows, in whole numbers: no order of the
        batches moves a bit.
        """
        count, total, squares = 0, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        for images in batches:
            pixels = images.reshape(-1, images.shape[-1]).astype(np.int64)
            count += len(pixels)
            total, squares = total + pixels.sum(axis=0), squares + (pixels**2).sum(axis=0)
        mean: FloatArray = total / count
        deviation: FloatArray = np.sqrt(np.maximum(squares / count - mean**2, 0))
        return cls(
            mean.astype(np.float32), np.maximum(deviation, LEAST_DEVIATION).astype(np.float32)
        )

    def export(self, graph: Graph, images: str) -> str:
        """uint8 [rows, H, W, C] → float32 [rows, C, H, W], scaled."""
        channels_first = graph.op("Transpose", images, perm=[0, 3, 1, 2])
        pixels = graph.cast(channels_first, TensorProto.FLOAT)
        centered = graph.op("Sub", pixels, graph.constant(self.mean[:, None, None]))
        return graph.op("Mul", centered, graph.constant(1 / self.deviation[:, None, None]))
