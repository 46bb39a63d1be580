"""Small bundles for the tests: graphs written by hand, with every type of input, and their twins in
plain Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.page import START
from sixfold.bundle.parity import Parity
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.parts.graph import ML, Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.recipe.receipt import Cost, Quality, Receipt
from sixfold.recipe.report import ColumnSummary, Confusion, Importance, Layer, Report, Row
from sixfold.recipe.signature import Input, Output, Signature

LEVELS = ("red", "green", "café")
WEIGHTS = {"size": 0.5, "label": -0.25, "new": 1.0, "since": 1e-9}  # of NaN: nothing
RECIPE = (
    "version: 1\nname: tiny\ndata: {source: shapes.csv, target: fate, missing: ['', NA, '?']}\n"
)
RECIPE += "serve: {max_rows: 100, max_body: 64KiB}\n"
COST = Cost(
    file_bytes=1, inputs=5, p50_1_ms=1, p99_1_ms=1, p50_64_ms=1, p99_64_ms=1, peak_memory_bytes=1
)
RECEIPT = Receipt(
    name="tiny",
    candidate="by hand",
    rows_trained=1,
    rows_holdout=1,
    metric="accuracy",
    quality=(
        Quality(metric="accuracy", greater_is_better=True, folds_before=(0.5, 0.75), baseline=0.25),
    ),
    before=COST,
    after=COST,
    parity_rows=4,
)
ROWS = [
    {"size": "1.5", "label": "2", "new": "true", "since": "2026-11-23", "colour": "red"},
    {"size": "", "label": "-3.25", "new": "", "since": "2026-11-23T15:20:00Z", "colour": "?"},
    {"size": "-8", "label": "NA", "new": "false", "since": "", "colour": "never seen"},
    {"size": "0", "label": "0", "new": "false", "since": "1970-01-01", "colour": "café"},
]


def signature(task: str = "classification") -> Signature:
    inputs = (
        Input(name="size", type="number", minimum=0, median=2.5, maximum=9),
        Input(name="label", type="number", minimum=0, median=1, maximum=3),  # the name of an output
        Input(name="new", type="boolean"),
        Input(name="since", type="date", median=1.7e9),
        Input(name="colour", type="category", levels=LEVELS, optional=True),
    )
    if task == "regression":
        outputs = (Output(name="value", columns=("price",)),)
        return Signature(
            task="regression",
            target=("price",),
            inputs=inputs,
            outputs=outputs,
            missing=("", "NA", "?"),
        )
    classes = ("keep", "<toss>")
    outputs = (Output(name="label", columns=("fate",)), Output(name="probability", columns=classes))
    return Signature(
        task="classification",
        target=("fate",),
        classes=classes,
        inputs=inputs,
        outputs=outputs,
        missing=("", "NA", "?"),
    )


def graph(task: str = "classification") -> bytes:
    """score = Σ weight·number + code of the colour; probability of the first class: its sigmoid."""
    g = Graph()
    raw = RawInputs(g, [*WEIGHTS, "colour"], {"colour"})
    parts = []
    for column, weight in WEIGHTS.items():
        value = raw.take([column])
        known = g.op("Where", g.op("IsNaN", value), g.constant(np.zeros((1, 1))), value)
        parts.append(g.op("Mul", known, g.constant(np.array([[weight]]))))
    code = g.op(
        "LabelEncoder",
        raw.take(["colour"]),
        domain=ML,
        keys_strings=[*LEVELS, ""],
        values_int64s=[0, 1, 2, 3],
        default_int64=4,
    )
    score = g.op("Gather", g.constant([1.0, 2.0, 3.0, -1.0, 0.5]), code, axis=0)
    for part in parts:
        score = g.op("Add", score, part)
    if task == "regression":
        g.output("value", score, TensorProto.DOUBLE, ["rows", 1])
        return packed(g.model())
    first = g.op("Sigmoid", score)
    both = g.concat([first, g.op("Sub", g.constant(np.ones((1, 1))), first)])
    best = g.op("ArgMax", both, axis=1, keepdims=1)
    label = g.op("Gather", g.constant(np.array(["keep", "<toss>"], dtype=object)), best)
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", both, TensorProto.DOUBLE, ["rows", 2])
    return packed(g.model())


def score(size: float, label: float, new: float, since: float, colour: str) -> float:
    """The twin of the graph, of one row."""
    numbers = zip((size, label, new, since), WEIGHTS.values(), strict=True)
    code = {"red": 1.0, "green": 2.0, "café": 3.0, "": -1.0}.get(colour, 0.5)
    return sum(value * weight for value, weight in numbers if not math.isnan(value)) + code


NAN = float("nan")
MEANING = [
    (1.5, 2.0, 1.0, 1795392000.0, "red"),
    (NAN, -3.25, NAN, 1795447200.0, ""),
    (-8.0, NAN, 0.0, NAN, "never seen"),
    (0.0, 0.0, 0.0, 0.0, "café"),
]


def expected(task: str = "classification") -> dict[str, np.ndarray[Any, Any]]:
    scores = np.array([score(*row) for row in MEANING])
    if task == "regression":
        return {"value": scores[:, None]}
    first = 1 / (1 + np.exp(-scores))
    both = np.stack([first, 1 - first], axis=1)
    return {
        "label": np.array([("keep", "<toss>")[i] for i in both.argmax(1)], dtype=object),
        "probability": both,
    }


def parts(task: str = "classification", **changes: Any) -> BundleParts:
    """Parts that agree with each other, but for what `changes` change."""
    receipt = RECEIPT.model_copy(
        update={"after": COST.model_copy(update={"file_bytes": len(graph(task))})}
    )
    content: dict[str, Any] = {
        "model": graph(task),
        "signature": signature(task),
        "receipt": receipt,
        "recipe": RECIPE if task == "classification" else RECIPE.replace("fate", "price"),
        "report_html": f"{START}<p>Report</p>",
        "report_json": report(receipt, task).model_dump_json(),
        "parity": Parity(ROWS, expected(task)),
        "explain": Stored(real=len(ROWS)).packed(),
        **changes,
    }
    return BundleParts(**content)


def report(receipt: Receipt, task: str = "classification") -> Report:
    """Of the same run as the receipt."""
    described = signature(task)
    columns = [
        ColumnSummary(name=column.name, type=column.type, missing=0.25, distinct=3, detail="")
        for column in described.inputs
    ]
    scores = {quality.metric: quality.folds_before for quality in receipt.quality}
    confusion = (
        Confusion(classes=described.classes, counts=((1, 0), (1, 2))) if described.classes else None
    )
    return Report(
        verdict=("It works.",),
        columns=tuple(columns),
        baseline={"accuracy": 0.25},
        leaderboard=(Row(name=receipt.candidate, family="linear", scores=scores, fit_s=0.1),),
        confusion=confusion,
        importances=(Importance(column="size", mean=0.1, spread=0.0),),
        layers=(Layer(name="layer", shape="5 × 2", parameters=12),),
        receipt=receipt,
    )


def make(folder: Path, task: str = "classification", **changes: Any) -> Path:
    write_bundle(folder, parts(task, **changes))
    return folder


def raw(**changes: Any) -> Mapping[str, Any]:
    return {"size": 1.5, "label": 2, "new": True, "since": "2026-11-23", "colour": "red", **changes}
