"""Resizing as an ONNX graph: training fills its cache through the very graph that the bundle
carries, so pixels are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto

from sixfold.bundle.images import Channels, Pixels, center_crop
from sixfold.parts.graph import Graph
from sixfold.parts.packed import packed

CHANNEL_NAMES: Final = {1: "gray", 3: "color"}


@dataclass(frozen=True)
class ImageShape:
    """What every image becomes: pixels, and 1 channel (gray) or 3 (color)."""

    height: int
    width: int
    channels: Channels

    @property
    def cells(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * self.channels

    def describe(self) -> str:
        """ "224 × 224, color" """
        return f"{self.height} × {self.width}, {CHANNEL_NAMES[self.channels]}"


def resize_graph(shape: ImageShape) -> bytes:
    """Input `image`: uint8 [h, w, channels] of any h and w; output `resized`: uint8 [height, width,
    channels].

    Linear with antialiasing, in whole numbers, so that every processor rounds alike; Pillow's
    BILINEAR, but for the edges.
    """
    graph = Graph()
    image = graph.input_of("image", TensorProto.UINT8, ["h", "w", shape.channels])
    sizes = graph.constant([shape.height, shape.width], np.int64)
    resized = graph.op("Resize", image, "", "", sizes, mode="linear", antialias=1, axes=[0, 1])
    graph.output("resized", resized, TensorProto.UINT8, [shape.height, shape.width, shape.channels])
    return packed(graph.model())


class Resizer:
    """`resize_graph`, run by onnxruntime on one thread; several threads may call it."""

    def __init__(self, shape: ImageShape) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.shape = shape
        self._session = ort.InferenceSession(
            resize_graph(shape), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: Pixels) -> Pixels:
        """uint8 [h, w, channels] → uint8 [height, width, channels]: the middle, resized."""
        middle = center_crop(image, self.shape.height, self.shape.width)
        found: npt.NDArray[np.uint8] = self._session.run(
            None, {"image": np.ascontiguousarray(middle)}
        )[0]
        return found
