"""A small bundle that takes a recording: a graph written by hand, and its twin in NumPy."""

from __future__ import annotations

import base64
from pathlib import Path

import bright_images
import numpy as np
import tiny_bundle

import tiny_sounds
from sixfold.bundle.audio import recorded
from sixfold.bundle.parity import Parity
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.recipe.audio import AudioInput
from sixfold.recipe.signature import Input, Output, Signature

SAMPLES = 800
CLASSES = ("quiet", "loud")
RECIPE = "version: 1\nname: loud\ndata: {source: shots.csv, target: loudness, missing: ['', NA]}\n"
SIGNATURE = Signature(
    task="classification",
    target=("loudness",),
    classes=CLASSES,
    inputs=(Input(name="sound", type="audio"),),
    outputs=(
        Output(name="label", columns=("loudness",)),
        Output(name="probability", columns=CLASSES),
    ),
    missing=("", "NA"),
)
WANTED = AudioInput(name="audio_0", column="sound", rate=8_000, samples=SAMPLES)


def sound(loudness: float, seconds: float = 0.1, rate: int = 8_000) -> bytes:
    """A WAV file of a tone."""
    return tiny_sounds.wav(loudness * tiny_sounds.tone(440, seconds, rate), rate)


def probability(content: bytes) -> float:
    """Of `loud`: the twin of the graph."""
    power = np.mean((recorded(content, "a", WANTED) / 32768.0) ** 2)
    return float(1 / (1 + np.exp(-(400 * power - 4))))


def graph() -> bytes:
    g = Graph()
    samples = RawInputs(g, [], set()).encoded("audio", WANTED)
    weights = np.full((SAMPLES, 1), 400 / (SAMPLES * 32768.0**2))
    score = g.product(g.op("Mul", samples, samples), weights)
    loud = g.op("Sigmoid", g.op("Sub", score, g.constant(np.array([[4.0]]))))
    both = g.concat([g.op("Sub", g.constant(np.ones((1, 1))), loud), loud])
    names = g.constant(np.array(CLASSES, dtype=object))
    label = g.op("Gather", names, g.op("ArgMax", both, axis=1, keepdims=1))
    g.output("label", label, TensorProto.STRING, ["rows", 1])
    g.output("probability", both, TensorProto.DOUBLE, ["rows", 2])
    return packed(g.model())


def parts() -> BundleParts:
    """Parts that agree with each other."""
    contents = [sound(loudness) for loudness in (0.1, 0.5, 1.0)]
    stored = [{"sound": base64.b64encode(content).decode()} for content in contents]
    loud = np.array(list(map(probability, contents)))
    both = np.stack([1 - loud, loud], axis=1)
    expected = {"label": np.array(CLASSES, dtype=object)[both.argmax(1)], "probability": both}
    model, others = graph(), bright_images.parts()
    cost = tiny_bundle.COST.model_copy(update={"file_bytes": len(model), "inputs": 1})
    receipt = tiny_bundle.RECEIPT.model_copy(
        update={"name": "loud", "before": cost, "after": cost, "parity_rows": 3}
    )
    report = tiny_bundle.report(receipt)
    column = report.columns[0].model_copy(update={"name": "sound", "type": "audio"})
    confusion = report.confusion and report.confusion.model_copy(update={"classes": CLASSES})
    importances = (report.importances[0].model_copy(update={"column": "sound"}),)
    told = {"columns": (column,), "confusion": confusion, "importances": importances}
    return BundleParts(
        model,
        SIGNATURE,
        RECIPE,
        receipt,
        others.report_html,
        report.model_copy(update=told).model_dump_json(),
        Parity(stored, expected),
    )


def make(folder: Path) -> Path:
    write_bundle(folder, parts())
    return folder
