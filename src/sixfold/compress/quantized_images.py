"""int8 for networks of images, and of spectrograms, which are images of one channel: ranges of all
activations from training rows, weights by channel (Jacob et al. 2018).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from sixfold.build._fitted_audio import AudioNetwork, MelRows, spectrogram_nodes
from sixfold.build._fitted_ctc import CtcNetwork, spectrograms_of
from sixfold.build._image_family import ImageModel, PixelModel
from sixfold.parts.fit import Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.log_mel import LogMel
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray

CALIBRATION_IMAGES: Final = 512
INPUT: Final = "images"
QUANTIZED: Final = ["Conv", "MatMul"]
Pixels = npt.NDArray[np.uint8]
ImageArray = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """Training images, one after the other, as onnxruntime's quantizer asks for them."""

    def __init__(self, images: ImageArray) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """One image, or None at the end."""
        image = next(self._left, None)
        return None if image is None else {INPUT: image[None]}


@dataclass(frozen=True)
class QuantizedImages(State):
    """A graph from `images` to answers; `model`: its bytes. onnxruntime runs it, here as in a
    bundle.
    """

    model: Pixels
    output: OutputKind

    def predict(self, images: ImageArray) -> FloatArray:
        """[B, H, W, C], as those it was made of → float64 [B, outputs]."""
        session = ort.InferenceSession(self.model.tobytes(), providers=["CPUExecutionProvider"])
        found: FloatArray = session.run(None, {INPUT: images})[0]
        return found

    def export(self, graph: Graph, images: str) -> str:
        """The same as nodes; `images` is [rows, H, W, C]; double [rows, outputs]."""
        return graph.embed(onnx.load_from_string(self.model.tobytes()), {INPUT: images})[0]


@dataclass(frozen=True)
class QuantizedPixels(State):
    """The same whose features are pixels as one row, [rows, height · width · channels]."""

    network: QuantizedImages
    height: int
    width: int
    channels: int

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self.network.output

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, cells], 0 to 255 → float64 [rows, outputs]."""
        pixels = (
            np.asarray(x).astype(np.uint8).reshape(len(x), self.height, self.width, self.channels)
        )
        return self.network.predict(pixels)

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        shape = graph.constant([-1, self.height, self.width, self.channels], np.int64)
        return self.network.export(
            graph, graph.cast(graph.op("Reshape", x, shape), TensorProto.UINT8)
        )


@dataclass(frozen=True)
class QuantizedAudio(State):
    """The same over the spectrograms of recordings, which are made in float."""

    mel: LogMel
    network: QuantizedImages

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self.network.output

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, samples] → float64 [rows, outputs]."""
        return np.concatenate(
            [self.network.predict(some) for some in MelRows(x, self.mel).batches()]
        )

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        return self.network.export(graph, spectrogram_nodes(self.mel, graph, x))


def quantized_audio(fitted: AudioNetwork, x: Matrix) -> QuantizedAudio:
    """The network in int8; `x`: training rows, [rows, samples]."""
    spectrograms = np.concatenate(list(MelRows(x, fitted.mel).batches()))
    return QuantizedAudio(fitted.mel, quantized_images(fitted.network, spectrograms))


def quantized_speech(fitted: CtcNetwork, x: Matrix) -> CtcNetwork:
    """The network in int8; `x`: training rows, [rows, samples]."""
    spectrograms = np.concatenate(list(spectrograms_of(x, fitted.mel)))
    return replace(fitted, network=quantized_images(fitted.network, spectrograms))


def quantized_pixels(fitted: PixelModel, x: Matrix) -> QuantizedPixels:
    """The network in int8; `x`: training rows, [rows, cells]."""
    shape = fitted.image
    pixels = (
        np.asarray(x).astype(np.uint8).reshape(len(x), shape.height, shape.width, shape.channels)
    )
    return QuantizedPixels(
        quantized_images(fitted.network, pixels), shape.height, shape.width, shape.channels
    )


def quantized_images(network: ImageModel, images: ImageArray) -> QuantizedImages:
    """The network's graph, from `images` uint8 or float32 [rows, …], with int8 weights and
    uint8 activations between them.

    `images` are training images, of which at most CALIBRATION_IMAGES, evenly chosen, say what range
    each activation has. Weights use 7 bits: processors without VNNI add pairs of products in 16.
    """
    graph = Graph()
    kind = TensorProto.UINT8 if images.dtype == np.uint8 else TensorProto.FLOAT
    value = network.export(graph, graph.input_of(INPUT, kind, ["rows", *images.shape[1:]]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", "outputs"])
    chosen = np.unique(
        np.linspace(0, len(images) - 1, min(CALIBRATION_IMAGES, len(images))).astype(np.int64)
    )
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph.model(), source)
        quantize_static(
            source,
            target,
            _Batches(images[chosen]),
            quant_format=QuantFormat.QDQ,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            reduce_range=True,
            per_channel=True,
            op_types_to_quantize=QUANTIZED,
        )
        return QuantizedImages(
            np.frombuffer(target.read_bytes(), dtype=np.uint8).copy(), network.output
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's hints go to the root logger; they are not for users."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(max(logging.ERROR, level))
    try:
        yield
    finally:
        logger.setLevel(level)
