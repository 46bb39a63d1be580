"""int8 weights and activations of a network, by onnxruntime; accepted or not like any other compression."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.quant_utils import QuantFormat

from sixfold.build._image_family import PixelModel
from sixfold.compress.amount import Found
from sixfold.compress.quantized_images import quantized_pixels
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Fitted, Matrix, Multiplying, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.recipe.schema import Quantize

CALIBRATION_ROWS = 512


@dataclass(frozen=True)
class Quantized(State):
    """`model`: uint8, the bytes of an ONNX graph from features [rows, f] float32 to outputs.

    With dynamic activations the scale of a layer's input is that of the batch: a row's answer depends a little on the
    rows that are asked with it.
    """

    model: npt.NDArray[np.uint8]
    kind: OutputKind

    @property
    def output(self) -> OutputKind:
        """As the network it came from."""
        return self.kind

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, f] → [rows, outputs], by onnxruntime."""
        session = _session(self.model.tobytes())
        return np.asarray(session.run(None, {"x": x.astype(np.float32, copy=False)})[0], dtype=np.float64)

    def export(self, graph: Graph, x: str) -> str:
        """Its nodes, in place."""
        return graph.embed(onnx.load_from_string(self.model.tobytes()), {"x": graph.cast(x, TensorProto.FLOAT)})[0]


@lru_cache(maxsize=16)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Training rows, one batch, for the ranges of activations."""

    def __init__(self, x: Matrix) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{"x": x.astype(np.float32, copy=False)}])

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        return next(self._batches, None)


def apply(subject: CompressionState, job: Job, section: Quantize) -> Found:
    """Quantize the network and its twins; or None and why it cannot be done."""
    if isinstance(subject.model.fitted, PixelModel):
        return subject.changed(job, partial(_of_images, subject)), "int8 weights by channel, static int8 activations"
    if not isinstance(subject.model.fitted, Multiplying):
        return None, f"{job.candidate.name} is no network"

    def change(model: Model, position: int) -> Model:
        table = subject.basis.rows(position).table
        some = np.linspace(0, table.rows - 1, min(CALIBRATION_ROWS, table.rows)).astype(np.int64)
        single = model.fitted.single() if isinstance(model.fitted, Multiplying) else model.fitted
        return replace(model, fitted=quantized(single, model.preparer.transform(table.take(some)), section))

    return subject.changed(job, change), f"int8 weights, {section.activations} int8 activations"


def _of_images(subject: CompressionState, model: Model, position: int) -> Model:
    """Convolutions have static activations whatever the recipe says: their ranges are those of training images."""
    table = subject.basis.rows(position).table
    some = np.linspace(0, table.rows - 1, min(CALIBRATION_ROWS, table.rows)).astype(np.int64)
    if not isinstance(model.fitted, PixelModel):
        return model
    x = np.concatenate([x for _, x in model.preparer.batches(table.take(some))])
    return replace(model, fitted=quantized_pixels(model.fitted, x))


def quantized(network: Fitted, x: Matrix, section: Quantize) -> Quantized:
    """`network`, which computes in float32 (onnxruntime quantizes those products), with int8 weights; activations scaled by
    batch (dynamic) or by the ranges seen on `x` (static).
    """
    graph = Graph()
    value = network.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", "outputs"])
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        model = graph.model()
        stacked = _products_of_stacks(model)
        onnx.save(model, source)
        # Unsigned weights (dynamic) or weights of 7 bits (static): processors without VNNI add pairs of products of an
        # unsigned and a signed byte in 16 bits, which overflow with full signed weights.
        if section.activations == "dynamic":
            quantize_dynamic(
                source,
                target,
                weight_type=QuantType.QUInt8,
                per_channel=True,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=stacked,
            )
        else:
            quantize_static(
                source,
                target,
                _Rows(x),
                quant_format=QuantFormat.QDQ,
                weight_type=QuantType.QInt8,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                per_channel=True,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=stacked,
            )
        return Quantized(np.frombuffer(target.read_bytes(), dtype=np.uint8).copy(), network.output)


def _products_of_stacks(model: onnx.ModelProto) -> list[str]:
    """Names all nodes; returns those that multiply by a stack of matrices (a head for each member): onnxruntime has no
    scales by channel for them, and they stay as they are.
    """
    stacks = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 2}
    for number, node in enumerate(model.graph.node):
        node.name = f"node {number}"
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and stacks & set(node.input)]


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's hints on quantization go to the root logger; they are not for users."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(max(logging.ERROR, level))
    try:
        yield
    finally:
        logger.setLevel(level)
