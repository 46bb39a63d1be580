"""int8 weights and activations of a network, by onnxruntime; accepted or not like any other
compression.
"""

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
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.quant_utils import QuantFormat

from sixfold.build._fitted_audio import AudioNetwork
from sixfold.build._fitted_ctc import CtcNetwork
from sixfold.build._image_family import PixelModel
from sixfold.compress import quantized_items
from sixfold.compress.amount import Found
from sixfold.compress.language import quantizing
from sixfold.compress.quantized_images import quantized_audio, quantized_pixels, quantized_speech
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Decodes, Fitted, Matrix, Multiplying, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.recommender import Recommender
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.recipe.compression import Quantize
from sixfold.runs.context import Context

CALIBRATION_ROWS = 512
QUANTIZED = ["MatMul", "Conv", "Gather"]
AT_ONCE = 16  # of them: every activation is held


@dataclass(frozen=True)
class Quantized(State):
    """`model`: uint8, the bytes of an ONNX graph from features [rows, f] float32 to outputs.
    `convolves`: it has convolutions, whose activations are static.

    With dynamic activations the scale of a layer's input is that of the batch: a row's answer
    depends a little on the rows that are asked with it.
    """

    model: npt.NDArray[np.uint8]
    kind: OutputKind
    convolves: bool = False

    @property
    def output(self) -> OutputKind:
        """As the network it came from."""
        return self.kind

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, f] → [rows, outputs], by onnxruntime."""
        session = _session(self.model.tobytes())
        return np.asarray(
            session.run(None, {"x": x.astype(np.float32, copy=False)})[0], dtype=np.float64
        )

    def export(self, graph: Graph, x: str) -> str:
        """Its nodes, in place."""
        return graph.embed(
            onnx.load_from_string(self.model.tobytes()), {"x": graph.cast(x, TensorProto.FLOAT)}
        )[0]


@lru_cache(maxsize=16)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Training rows, batch by batch, for the ranges of activations."""

    def __init__(self, x: Matrix) -> None:
        batches = (x[start : start + AT_ONCE] for start in range(0, len(x), AT_ONCE))
        self._batches: Iterator[dict[str, Any]] = iter(
            {"x": some.astype(np.float32, copy=False)} for some in batches
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        return next(self._batches, None)


def apply(subject: CompressionState, job: Job, section: Quantize, context: Context) -> Found:
    """Quantize the network and its twins; or None and why it cannot be done. Raises BudgetError where
    a language model leaves no time.
    """
    if isinstance(subject.model.fitted, LanguageModel):
        return quantizing.apply(subject, job, section.weights, context)
    if section.weights != "int8":
        return None, f"{section.weights} is for language models; {job.candidate.name} is none"
    if isinstance(subject.model.fitted, Recommender):
        return quantized_items.apply(subject, job)
    if isinstance(subject.model.fitted, (PixelModel, AudioNetwork, CtcNetwork)):
        return subject.changed(
            job, partial(_of_images, subject)
        ), "int8 weights by channel, static int8 activations"
    if isinstance(subject.model.fitted, Decodes):
        return None, f"{job.candidate.name} writes token by token, in a loop, which has no int8"
    if not isinstance(subject.model.fitted, Multiplying):
        return None, f"{job.candidate.name} is no network"

    def change(model: Model, position: int) -> Model:
        table = subject.basis.rows(position).table
        some = np.linspace(0, table.rows - 1, min(CALIBRATION_ROWS, table.rows)).astype(np.int64)
        single = model.fitted.single() if isinstance(model.fitted, Multiplying) else model.fitted
        return replace(
            model, fitted=quantized(single, model.preparer.transform(table.take(some)), section)
        )

    found, scaled = subject.changed(job, change), section.activations
    if isinstance(found.model.fitted, Quantized) and found.model.fitted.convolves:
        scaled = "static"
    return found, f"int8 weights, {scaled} int8 activations"


def _of_images(subject: CompressionState, model: Model, position: int) -> Model:
    """Convolutions have static activations whatever the recipe says: their ranges are those of
    training images, or recordings.
    """
    table = subject.basis.rows(position).table
    some = np.linspace(0, table.rows - 1, min(CALIBRATION_ROWS, table.rows)).astype(np.int64)
    fitted = model.fitted
    if not isinstance(fitted, (PixelModel, AudioNetwork, CtcNetwork)):
        return model
    x = np.concatenate([x for _, x in model.preparer.batches(table.take(some))])
    smaller: Fitted
    if isinstance(fitted, CtcNetwork):
        smaller = quantized_speech(fitted, x)
    elif isinstance(fitted, AudioNetwork):
        smaller = quantized_audio(fitted, x)
    else:
        smaller = quantized_pixels(fitted, x)
    return replace(model, fitted=smaller)


def quantized(network: Fitted, x: Matrix, section: Quantize) -> Quantized:
    """`network`, which computes in float32 (onnxruntime quantizes those products), with int8
    weights; activations scaled by batch (dynamic) or by the ranges seen on `x` (static, as
    convolutions always are).
    """
    graph = Graph()
    value = network.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", "outputs"])
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        model = graph.model()
        convolves = any(node.op_type == "Conv" for node in model.graph.node)
        asked = {
            "per_channel": True,
            "op_types_to_quantize": QUANTIZED,
            "nodes_to_exclude": _others(model),
        }
        onnx.save(model, source)
        # Unsigned weights (dynamic) or weights of 7 bits (static): processors without VNNI add
        # pairs of products of an unsigned and a signed byte in 16 bits, which overflow with full
        # signed weights.
        if section.activations == "dynamic" and not convolves:
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8, **asked)
        else:
            quantize_static(
                source,
                target,
                _Rows(x),
                quant_format=QuantFormat.QDQ,
                weight_type=QuantType.QInt8,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                **asked,
            )
        found = np.frombuffer(target.read_bytes(), dtype=np.uint8).copy()
        return Quantized(found, network.output, convolves)


def _others(model: onnx.ModelProto) -> list[str]:
    """Names all nodes; returns those of the kinds QUANTIZED that stay as they are: products with a
    stack of matrices (a head for each member), for which onnxruntime has no scales by channel, and
    what is no product with weights and no table of vectors (attention, features that are taken out
    of a row).
    """
    sizes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        node.name = f"node {number}"
    named = {"MatMul": 1, "Gather": 0, "Conv": 1}  # operator → its input that holds weights
    some = [
        (node, sizes.get(node.input[named[node.op_type]], 0))
        for node in model.graph.node
        if node.op_type in named
    ]
    return [node.name for node, size in some if size < 2 or (node.op_type == "MatMul" and size > 2)]


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
