"""From raw rows to answers: front end, session, predictions. What a bundle, the server and the parity check share."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import Extra, FrontEnd, RawRows
from sixfold.bundle.graph import CheckedModel, answering
from sixfold.bundle.modality_reader import DecodesImages, InputEncoder, modalities, reader_of
from sixfold.bundle.one_row import OneRow
from sixfold.bundle.onnx_messages import WireError
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.unfamiliar import Known
from sixfold.core.errors import BundleError
from sixfold.recipe.signature import CATEGORIES, NUMBERS, Signature, group_of

BATCH: Final = 8192  # rows a call of onnxruntime, and fewer where they are wide:
BATCH_CELLS: Final = 1 << 24  # of all values of the rows of a call (128 MiB in double): a kernel machine's distances
TYPES: Final = {NUMBERS: "tensor(double)", CATEGORIES: "tensor(string)"}
SLOW: Final = "A model of Sixfold takes less: copy the bundle again from where it was made."
MISMATCH: Final = "The graph and the signature do not belong together: copy the bundle again from where it was made."


class Predictor:
    """A session and the front end that feeds it. Calls may come from several threads at once."""

    def __init__(self, model: bytes, signature: Signature, where: str = "model.onnx") -> None:
        self.signature, self._where = signature, where
        checked = CheckedModel.of(model, where)
        self.session = checked.session(where)
        self.front_end = FrontEnd(signature)
        self.known = Known(signature)
        self._names: list[str] = [output.name for output in signature.outputs]
        self._bound = threading.local()  # a OneRow a thread
        self._end_s = math.inf  # of processor time of this process
        self._batch = max(1, min(BATCH, BATCH_CELLS // max(1, checked.cells)))
        # The operator that scales a layer's input by the range of the whole batch (int8, dynamic activations).
        self.depends_on_batch = any(node.operator == "DynamicQuantizeLinear" for node in checked.graph.nodes)
        self._encoders = check_interface(self.session, signature, where)
        self._read = frozenset(each.group for each in self._encoders)
        self._decoding = [
            (each.group, each.place, each.encoder) for each in self._encoders if isinstance(each.encoder, DecodesImages)
        ]
        _check_classes(checked, signature, where)

    def predict(self, rows: RawRows, extra: Extra = "ignore") -> Predictions:
        """Answers for raw rows. Raises RowError with the row and the column that do not fit.

        `extra`: what becomes of columns that the signature does not have.
        """
        numbers = self.front_end.plain_row(rows, extra)
        if numbers is not None:
            return self._answered(self._named(self._one_row(numbers)), {NUMBERS: numbers[None]})
        return self.run(self.front_end.feeds(rows, extra))

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside, answers take at most so much processor time, and one call of onnxruntime more. Raises BundleError."""
        self._end_s = time.process_time() + seconds
        try:
            yield
        finally:
            self._end_s = math.inf

    def run(self, feeds: dict[str, npt.NDArray[Any]], first_row: int = 1) -> Predictions:
        """Answers for what the front end made, each [rows, columns]. Raises RowError for an image that cannot be used."""
        rows = len(next(iter(feeds.values())))
        if rows == 0:
            empty = [_empty(output) for output in self.signature.outputs]
            return self._answered(dict(zip(self._names, empty, strict=True)), feeds)
        if rows <= self._batch:
            return self._answered(self._ask(feeds, first_row), feeds)
        parts = [
            self._ask({name: array[start : start + self._batch] for name, array in feeds.items()}, first_row + start)
            for start in range(0, rows, self._batch)
        ]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in self._names}
        return self._answered(joined, feeds)

    @property
    def images(self) -> dict[str, str]:
        """Columns of images → what each becomes."""
        return {encoder.column: encoder.describe() for *_, encoder in self._decoding}

    def stored_pixels(self, feeds: dict[str, npt.NDArray[Any]]) -> int:
        """Of all images of what the front end made, by their headers: what answering will decode. Raises RowError."""
        return sum(encoder.stored_pixels(feeds[group][:, at].tolist()) for group, at, encoder in self._decoding)

    def _answered(self, outputs: dict[str, npt.NDArray[Any]], feeds: dict[str, npt.NDArray[Any]]) -> Predictions:
        return Predictions(self.signature, outputs, feeds, self.known)

    def _ask(self, feeds: dict[str, npt.NDArray[Any]], first_row: int) -> dict[str, npt.NDArray[Any]]:
        if self._end_s < math.inf and time.process_time() > self._end_s:
            raise BundleError(self._where, "answers to the stored rows within seconds", "more time", SLOW)
        given = self._encoded(feeds, first_row)
        with answering(self._where):
            return self._named(self.session.run(self._names, given))

    def _encoded(self, feeds: dict[str, npt.NDArray[Any]], first_row: int) -> dict[str, npt.NDArray[Any]]:
        """What the graph takes: in the place of columns that have a reader, what is made of them."""
        if not self._encoders:
            return feeds
        given = {name: array for name, array in feeds.items() if name not in self._read}
        for each in self._encoders:
            given[each.name] = each.encoder.encode_in_place(feeds[each.group][:, each.place].tolist(), first_row)
        return given

    def _one_row(self, numbers: npt.NDArray[np.float64]) -> list[npt.NDArray[Any]]:
        with answering(self._where):
            if not hasattr(self._bound, "one_row"):
                self._bound.one_row = OneRow.of(self.session, len(self.signature.inputs), self._names)
            bound: OneRow = self._bound.one_row
            return bound.ask(numbers)

    def _named(self, answers: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return {
            name: array.reshape(-1) if name == "label" else array
            for name, array in zip(self._names, answers, strict=True)
        }


def _check_classes(checked: CheckedModel, signature: Signature, where: str) -> None:
    """The labels of the graph are the classes of the signature, in their order. Raises BundleError."""
    try:
        found = checked.classes()
    except WireError as error:
        raise BundleError(where, "labels that are the classes of the signature", str(error), MISMATCH) from None
    if found is not None and found != signature.classes:
        raise BundleError(where, f"the classes {list(signature.classes)[:8]}", f"{list(found)[:8]}", MISMATCH)


@dataclass(frozen=True)
class EncodedColumn:
    """An input of the graph that an encoder makes of a raw column: column `place` of what the front end reads into `group`."""

    name: str
    group: str
    place: int
    encoder: InputEncoder


def check_interface(session: Any, signature: Signature, where: str) -> tuple[EncodedColumn, ...]:
    """Names, types and shapes of the graph are those of the signature, column by column. Returns what readers make for it.

    Raises BundleError.
    """
    described = dict(session.get_modelmeta().custom_metadata_map)
    encoded = encoded_columns(described, signature, where)
    made = {each.name for each in encoded}
    raw = {name: columns for name, columns in signature.graph_inputs().items() if name in TYPES}
    expected_inputs = {name: f"{TYPES[name]} [rows, {len(columns)}]" for name, columns in raw.items()}
    expected_inputs |= {each.name: f"tensor(double) [rows, {each.encoder.cells}]" for each in encoded}
    found_inputs = {node.name: _shown(node) for node in session.get_inputs()}
    if expected_inputs != found_inputs:
        raise _mismatch(where, "inputs", expected_inputs, found_inputs)
    names = {name: json.dumps([column.name for column in columns]) for name, columns in raw.items()}
    told = {name: text for name, text in described.items() if name not in made}
    if names != told:
        raise _mismatch(where, "columns", names, told)
    _check_outputs(session, signature, where)
    return encoded


def encoded_columns(described: Mapping[str, str], signature: Signature, where: str) -> tuple[EncodedColumn, ...]:
    """What readers make of the signature's columns, of each something, by the model's metadata. Raises BundleError."""
    found: list[EncodedColumn] = []
    for modality in modalities(signature):
        columns = [column.name for column in signature.inputs if column.type == modality]
        encoders = {
            name: reader_of(modality).encoder(name, described[name].encode("utf-8", "surrogatepass"), where)
            for name in input_names(described, modality)
        }
        used = sorted({encoder.column for encoder in encoders.values()})
        if used != sorted(columns):
            raise BundleError(where, f"the columns of type {modality} {sorted(columns)[:8]}", f"{used[:8]}", MISMATCH)
        found += [
            EncodedColumn(name, group_of(modality), columns.index(encoder.column), encoder)
            for name, encoder in encoders.items()
        ]
    return tuple(found)


def input_names(described: Iterable[str], modality: str) -> list[str]:
    """The inputs of a graph that are made of columns of a modality, in their order."""
    own = re.compile(rf"{modality}_\d{{1,4}}", re.ASCII)
    return sorted(filter(own.fullmatch, described), key=lambda name: (len(name), name))


def _check_outputs(session: Any, signature: Signature, where: str) -> None:
    expected_outputs: dict[str, str] = {
        output.name: f"tensor({'string' if output.name == 'label' else 'double'}) [rows, {len(output.columns)}]"
        for output in signature.outputs
    }
    found_outputs = {node.name: _shown(node) for node in session.get_outputs()}
    if expected_outputs != found_outputs:
        raise _mismatch(where, "outputs", expected_outputs, found_outputs)


def _mismatch(where: str, what: str, expected: dict[str, str], found: dict[str, str]) -> BundleError:
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


def _empty(output: Any) -> npt.NDArray[Any]:
    return np.empty(0, dtype=object) if output.name == "label" else np.empty((0, len(output.columns)))
