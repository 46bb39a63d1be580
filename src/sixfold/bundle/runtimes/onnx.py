"""onnxruntime answers: one checked graph, from raw columns to outputs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.graph import CheckedModel, answering
from sixfold.bundle.manifest import LARGEST, MODEL, Sealed
from sixfold.bundle.modality_reader import (
    DecodesFiles,
    input_names,
    modalities,
    reader_of,
)
from sixfold.bundle.one_row import OneRow
from sixfold.bundle.onnx_messages import WireError
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtime import Arrays, EncodedColumn, Outputs, Runtime
from sixfold.bundle.transcription.runtime import TranscriptionRuntime, described_decoder
from sixfold.core.errors import BundleError
from sixfold.recipe.ctc_decoder import DECODER
from sixfold.recipe.section import Section
from sixfold.recipe.signature import CATEGORIES, NUMBERS, Signature, group_of

BATCH: Final = 8192  # rows a call of onnxruntime, and fewer where they are wide:
BATCH_CELLS: Final = (
    1 << 24
)  # of all values of the rows of a call (128 MiB in double): a kernel machine's distances
TYPES: Final = {NUMBERS: "tensor(double)", CATEGORIES: "tensor(string)"}
MISMATCH: Final = "The graph and the signature do not belong together: copy the bundle again from where it was made."


class Settings(Section):
    """onnxruntime, on one thread: whatever was trained."""

    files: ClassVar[Mapping[str, int]] = {MODEL: LARGEST[MODEL]}
    proves: ClassVar[str] = (
        "model.onnx: read to its last byte, listed operators, every tensor inside, a row bounded; onnxruntime runs it"
    )

    def pack(self, graph: bytes) -> dict[str, bytes]:
        """The graph as it is."""
        return {MODEL: graph}

    def open(self, sealed: Sealed, signature: Signature) -> Runtime:
        """Raises BundleError for a graph that Sixfold does not write, or of another signature."""
        return _opened(sealed.files[MODEL], signature, str(sealed.folder / MODEL))


def _opened(model: bytes, signature: Signature, where: str) -> Runtime:
    """By what it answers with."""
    graph = OnnxRuntime(model, signature, where)
    if signature.task != "transcription":
        return graph
    return TranscriptionRuntime(graph, described_decoder(graph.described, graph.outputs, where))


class OnnxRuntime:
    """A session, and what makes its inputs of raw columns."""

    def __init__(self, model: bytes, signature: Signature, where: str) -> None:
        self._where = where
        checked = CheckedModel.of(model, where)
        self._session = checked.session(where)
        self.described = dict(self._session.get_modelmeta().custom_metadata_map)
        self.outputs = {node.name: _shown(node) for node in self._session.get_outputs()}
        said = signature.task == "transcription"  # decoded from what the graph gives
        self._names = ["value" if said else output.name for output in signature.outputs]
        self._columns = len(signature.inputs)
        self._bound = threading.local()  # a OneRow a thread
        self.rows_at_once = max(1, min(BATCH, BATCH_CELLS // max(1, checked.row_cells)))
        self.row_products = checked.row_products
        # The operator that scales a layer's input by the range of the whole batch (int8, dynamic
        # activations).
        self.depends_on_batch = any(
            node.operator == "DynamicQuantizeLinear" for node in checked.graph.nodes
        )
        self.encoders = check_interface(self._session, signature, where)
        self._read = frozenset(each.group for each in self.encoders)
        _check_classes(checked, signature, where)

    def predict(self, feeds: Arrays, first_row: int = 1) -> Outputs:
        """One call of onnxruntime."""
        return self.answered(self.encoded(feeds, first_row) if self.encoders else feeds)

    def answered(self, given: Arrays) -> Outputs:
        """One call of onnxruntime, of inputs of the graph."""
        with answering(self._where):
            return self._named(self._session.run(self._names, given))

    def predict_plain(self, numbers: npt.NDArray[np.float64]) -> Outputs:
        """One row, through memory that is bound to the session."""
        with answering(self._where):
            if not hasattr(self._bound, "one_row"):
                self._bound.one_row = OneRow.of(self._session, self._columns, self._names)
            bound: OneRow = self._bound.one_row
            return self._named(bound.ask(numbers))

    @property
    def becomes(self) -> dict[str, str]:
        """Of columns of files, what they are made into."""
        return {each.encoder.column: f"becomes {files.describe()}" for each, files in self._files()}

    def decoded_values(self, feeds: Arrays) -> int:
        """Of all files together, by their headers. Raises RowError."""
        return sum(
            files.decoded_values(feeds[each.group][:, each.place].tolist())
            for each, files in self._files()
        )

    def _files(self) -> list[tuple[EncodedColumn, DecodesFiles]]:
        return [
            (each, each.encoder) for each in self.encoders if isinstance(each.encoder, DecodesFiles)
        ]

    def encoded(self, feeds: Arrays, first_row: int) -> dict[str, npt.NDArray[Any]]:
        """What the graph takes: in the place of columns that have a reader, what is made of
        them.
        """
        given = {name: array for name, array in feeds.items() if name not in self._read}
        for each in self.encoders:
            given[each.name] = each.encoder.encode_in_place(
                feeds[each.group][:, each.place].tolist(), first_row
            )
        return given

    def _named(self, answers: Sequence[npt.NDArray[Any]]) -> Outputs:
        return {
            name: array.reshape(-1) if name == "label" else array
            for name, array in zip(self._names, answers, strict=True)
        }


def onnx_predictor(model: bytes, signature: Signature, where: str = MODEL) -> Predictor:
    """For a graph of this process. Raises BundleError."""
    return Predictor(_opened(model, signature, where), signature, where)


def _check_classes(checked: CheckedModel, signature: Signature, where: str) -> None:
    """The labels of the graph are the classes of the signature, in their order. Raises
    BundleError.
    """
    try:
        found = checked.classes()
    except WireError as error:
        raise BundleError(
            where, "labels that are the classes of the signature", str(error), MISMATCH
        ) from None
    if found is not None and found != signature.classes:
        raise BundleError(
            where, f"the classes {list(signature.classes)[:8]}", f"{list(found)[:8]}", MISMATCH
        )


def check_interface(session: Any, signature: Signature, where: str) -> tuple[EncodedColumn, ...]:
    """Names, types and shapes of the graph are those of the signature, column by column. Returns
    what readers make for it.

    Raises BundleError.
    """
    described = dict(session.get_modelmeta().custom_metadata_map)
    encoded = encoded_columns(described, signature, where)
    made = {each.name for each in encoded}
    raw = {name: columns for name, columns in signature.graph_inputs().items() if name in TYPES}
    expected_inputs = {
        name: f"{TYPES[name]} [rows, {len(columns)}]" for name, columns in raw.items()
    }
    expected_inputs |= {
        each.name: f"tensor(double) [rows, {each.encoder.cells}]" for each in encoded
    }
    found_inputs = {node.name: _shown(node) for node in session.get_inputs()}
    if expected_inputs != found_inputs:
        raise _mismatch(where, "inputs", expected_inputs, found_inputs)
    names = {name: json.dumps([column.name for column in columns]) for name, columns in raw.items()}
    beside = {DECODER} if signature.task == "transcription" else set()
    told = {name: text for name, text in described.items() if name not in made | beside}
    if names != told:
        raise _mismatch(where, "columns", names, told)
    if signature.task != "transcription":  # whose decoder says what it takes
        _check_outputs(session, signature, where)
    return encoded


def encoded_columns(
    described: Mapping[str, str], signature: Signature, where: str
) -> tuple[EncodedColumn, ...]:
    """What readers make of the signature's columns, of each something, by the model's metadata.
    Raises BundleError.
    """
    found: list[EncodedColumn] = []
    for modality in modalities(signature):
        columns = [column.name for column in signature.inputs if column.type == modality]
        encoders = {
            name: reader_of(modality).encoder(
                name, described[name].encode("utf-8", "surrogatepass"), where
            )
            for name in input_names(described, modality)
        }
        used = sorted({encoder.column for encoder in encoders.values()})
        if used != sorted(columns):
            raise BundleError(
                where,
                f"the columns of type {modality} {sorted(columns)[:8]}",
                f"{used[:8]}",
                MISMATCH,
            )
        found += [
            EncodedColumn(name, group_of(modality), columns.index(encoder.column), encoder)
            for name, encoder in encoders.items()
        ]
    return tuple(found)


def _check_outputs(session: Any, signature: Signature, where: str) -> None:
    expected_outputs: dict[str, str] = {
        output.name: f"tensor({'string' if output.name == 'label' else 'double'}) [rows, {len(output.columns)}]"
        for output in signature.outputs
    }
    found_outputs = {node.name: _shown(node) for node in session.get_outputs()}
    if expected_outputs != found_outputs:
        raise _mismatch(where, "outputs", expected_outputs, found_outputs)


def _mismatch(
    where: str, what: str, expected: dict[str, str], found: dict[str, str]
) -> BundleError:
    name = next(n for n in (*expected, *found) if expected.get(n) != found.get(n))
    return BundleError(
        where,
        f"{what} as in the signature: '{name}' {expected.get(name, 'absent')}",
        found.get(name, "absent"),
        MISMATCH,
    )


def _shown(node: Any) -> str:
    last = node.shape[1] if len(node.shape) == 2 else node.shape
    return f"{node.type} [rows, {last}]"
