"""A bundle whose score is a product with weights, written by hand: explained exactly, with nothing
trained.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle

from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.parity import Parity
from sixfold.bundle.write import write_bundle
from sixfold.parts.graph import ML, Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs

# Features: size, size², label, new, and whether the color is red, or café.
SOURCE = np.array([0, 0, 1, 2, 4, 4], dtype=np.int32)
WEIGHTS = np.array([[0.5], [0.01], [-0.25], [1.0], [2.0], [-1.0]])
MEAN = np.array([2.0, 5.0, 1.0, 0.5, 0.25, 0.25])
BIAS = np.array([0.125])


def graph() -> tuple[bytes, str]:
    """The model, and what the features are called in it."""
    g = Graph()
    raw = RawInputs(g, ["size", "label", "new", "since", "colour"], {"colour"})

    def known(name: str) -> str:
        value = raw.take([name])
        return g.op("Where", g.op("IsNaN", value), g.constant(np.zeros((1, 1))), value)

    size = known("size")
    parts = [size, g.op("Mul", size, size), known("label"), known("new")]
    for level in ("red", "café"):
        code = g.op(
            "LabelEncoder",
            raw.take(["colour"]),
            domain=ML,
            keys_strings=[level],
            values_int64s=[1],
            default_int64=0,
        )
        parts.append(g.cast(code, TensorProto.DOUBLE))
    x = g.concat(parts)
    raw.take(["since"])
    score = g.op("Add", g.product(x, WEIGHTS), g.constant(BIAS, np.float64))
    p = g.op("Sigmoid", score)
    both = g.concat([g.op("Sub", g.constant(1.0, np.float64), p), p])
    names = g.constant(np.array(["keep", "<toss>"], dtype=object))
    label = g.op("Gather", names, g.op("ArgMax", both, axis=1, keepdims=1))
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", both, TensorProto.DOUBLE, ["rows", 2])
    return packed(g.model()), x


def features() -> Any:
    """[rows, features] of the stored rows."""
    found = []
    for size, label, new, _, colour in tiny_bundle.MEANING:
        a, b, c = (np.nan_to_num(value) for value in (size, label, new))
        found.append([a, a * a, b, c, colour == "red", colour == "café"])
    return np.array(found, dtype=np.float64)


def expected() -> dict[str, Any]:
    p = 1 / (1 + np.exp(-(features() @ WEIGHTS + BIAS)))
    both = np.concatenate([1 - p, p], axis=1)
    labels = np.array([("keep", "<toss>")[i] for i in both.argmax(1)], dtype=object)
    return {"label": labels, "probability": both}


def stored(**changes: Any) -> Stored:
    arrays = {"source": SOURCE, "weights": WEIGHTS, "mean": MEAN, "bias": BIAS}
    whole = Stored("linear", "sigmoid", value=graph()[1], real=4, arrays=arrays)
    return replace(whole, **changes)


def make(folder: Path, explain: bytes | None = None) -> Path:
    model = graph()[0]
    receipt = tiny_bundle.RECEIPT.model_copy(
        update={"after": tiny_bundle.COST.model_copy(update={"file_bytes": len(model)})}
    )
    parts = tiny_bundle.parts(
        model=model,
        receipt=receipt,
        report_json=tiny_bundle.report(receipt).model_dump_json(),
        parity=Parity(tiny_bundle.ROWS, expected()),
        explain=stored().packed() if explain is None else explain,
    )
    write_bundle(folder, parts)
    return folder
