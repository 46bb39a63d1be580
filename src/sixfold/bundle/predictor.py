"""From raw rows to answers: front end, session, predictions. What a bundle, the server and the parity check share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import Extra, FrontEnd, RawRows
from sixfold.bundle.graph import session
from sixfold.bundle.one_row import OneRow
from sixfold.bundle.predictions import Predictions
from sixfold.core.errors import BundleError
from sixfold.recipe.signature import Input, Signature, graph_name

BATCH: Final = 8192  # rows a call of onnxruntime: bounds what a kernel machine's distance matrix takes
MISMATCH: Final = "The graph and the signature do not belong together: copy the bundle again from where it was made."


class Predictor:
    """A session and the front end that feeds it. Calls may come from several threads at once."""

    def __init__(self, model: bytes, signature: Signature, where: str = "model.onnx") -> None:
        self.signature = signature
        self.session = session(model, where)
        self.front_end = FrontEnd(signature)
        self._names: list[str] = [output.name for output in signature.outputs]
        self._bound = threading.local()  # a OneRow a thread
        # The operator that scales a layer's input by the range of the whole batch (int8, dynamic activations).
        self.depends_on_batch = b"DynamicQuantizeLinear" in model
        check_interface(self.session, signature, where)

    def predict(self, rows: RawRows, extra: Extra = "ignore") -> Predictions:
        """Answers for raw rows. Raises RowError with the row and the column that do not fit.

        `extra`: what becomes of columns that the signature does not have.
        """
        numbers = self.front_end.plain_row(rows, extra)
        if numbers is not None:
            return Predictions(self.signature, self._named(self._one_row().ask(numbers)))
        return self.run(self.front_end.feeds(rows, extra))

    def run(self, feeds: dict[str, npt.NDArray[Any]]) -> Predictions:
        """Answers for arrays that are ready for the graph, each [rows, 1]."""
        rows = len(next(iter(feeds.values())))
        if rows == 0:
            empty = [_empty(output) for output in self.signature.outputs]
            return Predictions(self.signature, dict(zip(self._names, empty, strict=True)))
        if rows <= BATCH:
            return Predictions(self.signature, self._ask(feeds))
        parts = [
            self._ask({name: array[start : start + BATCH] for name, array in feeds.items()})
            for start in range(0, rows, BATCH)
        ]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in self._names}
        return Predictions(self.signature, joined)

    def _ask(self, feeds: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return self._named(self.session.run(self._names, feeds))

    def _one_row(self) -> OneRow:
        if not hasattr(self._bound, "one_row"):
            inputs = [graph_name(column.name) for column in self.signature.inputs]
            self._bound.one_row = OneRow.of(self.session, inputs, self._names)
        bound: OneRow = self._bound.one_row
        return bound

    def _named(self, answers: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return {
            name: array.reshape(-1) if name == "label" else array
            for name, array in zip(self._names, answers, strict=True)
        }


def check_interface(session: Any, signature: Signature, where: str) -> None:
    """Names, types and shapes of the graph are those of the signature. Raises BundleError."""
    expected_inputs = {graph_name(column.name): f"{_type(column)} [rows, 1]" for column in signature.inputs}
    found_inputs = {node.name: _shown(node) for node in session.get_inputs()}
    if expected_inputs != found_inputs:
        raise _mismatch(where, "inputs", expected_inputs, found_inputs)
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
        where, f"{what} as in the signature: '{name}' {expected.get(name, 'absent')}",
        found.get(name, "absent"), MISMATCH,
    )  # fmt: skip


def _type(column: Input) -> str:
    return "tensor(string)" if column.type == "category" else "tensor(double)"


def _shown(node: Any) -> str:
    last = node.shape[1] if len(node.shape) == 2 else node.shape
    return f"{node.type} [rows, {last}]"


def _empty(output: Any) -> npt.NDArray[Any]:
    return np.empty(0, dtype=object) if output.name == "label" else np.empty((0, len(output.columns)))
