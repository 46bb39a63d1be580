"""Rows of JSON through a bundle's graph, as one writes it by hand: onnxruntime and NumPy, nothing
of Sixfold.

What every peer of `bench/serving.py` stands on, so that they differ in nothing but how they serve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

MATRICES = {
    "tensor(double)": "numbers",
    "tensor(string)": "categories",
}  # an input of the graph for all columns of a type


class Model:
    """A session on one thread, like Sixfold's."""

    def __init__(self, folder: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        signature = json.loads((Path(folder) / "signature.json").read_text())
        self.classes = [str(name) for name in signature["classes"]]
        self.columns: dict[str, str] = {
            column["name"]: column["type"] for column in signature["inputs"]
        }
        self.numbers = [name for name, kind in self.columns.items() if kind != "category"]
        self.categories = [name for name, kind in self.columns.items() if kind == "category"]
        # (name of the input, whether it is text, the columns it takes)
        self.inputs = [
            (one.name, one.type == "tensor(string)", self._columns(one))
            for one in self.session.get_inputs()
        ]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def _columns(self, one: Any) -> list[str]:
        if one.name in self.columns:
            return [one.name]
        return self.categories if MATRICES[one.type] == "categories" else self.numbers

    def feeds(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The graph's inputs from rows of JSON."""
        return {
            name: np.array(
                [[row[column] or "" for column in columns] for row in rows], dtype=object
            )
            if text
            else np.array([[row[column] for column in columns] for row in rows], dtype=np.float64)
            for name, text, columns in self.inputs
        }

    def feeds_of_matrices(self, numbers: Any, categories: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The graph's inputs from [rows, columns] of doubles and of texts; None where there are no
        such columns.
        """
        found = {}
        for name, text, columns in self.inputs:
            whole, names = (categories, self.categories) if text else (numbers, self.numbers)
            at = names.index(columns[0])
            found[name] = whole[:, at : at + len(columns)]
        return found

    def run(self, feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Output → array."""
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))

    def records(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A label and the probability of each class, a row."""
        found = self.run(self.feeds(rows))
        return [
            {"label": label, "probability": dict(zip(self.classes, values, strict=True))}
            for label, values in zip(
                found["label"].reshape(-1).tolist(), found["probability"].tolist(), strict=True
            )
        ]
