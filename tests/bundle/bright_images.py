"""A small bundle that takes an image, a number and a text: a graph written by hand, and its twin in
NumPy.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import tiny_bundle
from PIL import Image

from sixfold.bundle.parity import Parity
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.prepare.image_block import image_input
from sixfold.recipe.signature import Input, Output, Signature
from sixfold.recipe.texts import TermWeights, TextInput

SIDE = 4
CLASSES = ("dark", "bright")
RECIPE = "version: 1\nname: bright\ndata: {source: shots.csv, target: light, missing: ['', NA]}\n"
SIGNATURE = Signature(
    task="classification",
    target=("light",),
    classes=CLASSES,
    inputs=(
        Input(name="photo", type="image"),
        Input(name="weight", type="number", minimum=0, median=1, maximum=9),
        Input(name="note", type="text"),
    ),
    outputs=(Output(name="label", columns=("light",)), Output(name="probability", columns=CLASSES)),
    missing=("", "NA"),
)
TERMS = TermWeights(
    longest=1000,
    unit="words",
    low=1,
    high=1,
    sublinear=False,
    unit_norm=False,
    terms=("night",),
    hashed=0,
)


def photo(gray: int, side: int = SIDE, form: str = "PNG") -> bytes:
    """An image of one shade."""
    stream = io.BytesIO()
    Image.new("L", (side, side), gray).save(stream, form)
    return stream.getvalue()


def probability(gray: float, weight: float, nights: int) -> float:
    """Of `bright`: the twin of the graph."""
    score = gray / 64 - 2 + (0 if math.isnan(weight) else weight / 8) - nights
    return 1 / (1 + math.exp(-score))


def graph() -> bytes:
    g = Graph()
    raw = RawInputs(g, ["weight"], set())
    pixels = raw.encoded("image", image_input("photo", ImageShape(SIDE, SIDE, 1)))
    score = g.product(pixels, np.full((SIDE * SIDE, 1), 1 / (64 * SIDE * SIDE)))
    weight = raw.take(["weight"])
    known = g.op("Where", g.op("IsNaN", weight), g.constant(np.zeros((1, 1))), weight)
    score = g.op("Add", score, g.op("Mul", known, g.constant(np.array([[1 / 8]]))))
    score = g.op(
        "Sub",
        g.op(
            "Sub",
            score,
            raw.encoded("text", TextInput(name="text_0", column="note", terms=(TERMS,))),
        ),
        g.constant(np.array([[2.0]])),
    )
    bright = g.op("Sigmoid", score)
    both = g.concat([g.op("Sub", g.constant(np.ones((1, 1))), bright), bright])
    label = g.op(
        "Gather",
        g.constant(np.array(CLASSES, dtype=object)),
        g.op("ArgMax", both, axis=1, keepdims=1),
    )
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", both, TensorProto.DOUBLE, ["rows", 2])
    return packed(g.model())


def parts() -> BundleParts:
    """Parts that agree with each other."""
    rows = [("0", "", "a night"), ("255", "3", ""), ("90", "1.5", "noon")]
    stored = [
        {"photo": base64.b64encode(photo(int(gray))).decode(), "weight": weight, "note": note}
        for gray, weight, note in rows
    ]
    bright = np.array(
        [probability(float(g), float(w or "nan"), n.count("night")) for g, w, n in rows]
    )
    both = np.stack([1 - bright, bright], axis=1)
    expected = {"label": np.array(CLASSES, dtype=object)[both.argmax(1)], "probability": both}
    model = graph()
    cost = tiny_bundle.COST.model_copy(
        update={"file_bytes": len(model), "inputs": len(SIGNATURE.inputs)}
    )
    receipt = tiny_bundle.RECEIPT.model_copy(
        update={"name": "bright", "before": cost, "after": cost, "parity_rows": 3}
    )
    report = tiny_bundle.report(receipt)
    columns = tuple(
        report.columns[0].model_copy(update={"name": column.name, "type": column.type})
        for column in SIGNATURE.inputs
    )
    confusion = report.confusion and report.confusion.model_copy(update={"classes": CLASSES})
    importances = (report.importances[0].model_copy(update={"column": "photo"}),)
    report = report.model_copy(
        update={"columns": columns, "confusion": confusion, "importances": importances}
    )
    return BundleParts(
        model,
        SIGNATURE,
        RECIPE,
        receipt,
        tiny_bundle.parts().report_html,
        report.model_dump_json(),
        Parity(stored, expected),
    )


def make(folder: Path) -> Path:
    write_bundle(folder, parts())
    return folder
