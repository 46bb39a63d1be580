"""A small bundle that takes a recording and answers with a text: each tenth of a second is a letter by how loud
it is. The graph is written by hand.
"""

from __future__ import annotations

import base64
from pathlib import Path

import bright_images
import numpy as np
import tiny_bundle

import tiny_sounds
from sixfold.bundle.parity import Parity
from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.recipe.audio import AudioInput
from sixfold.recipe.ctc_decoder import DECODER, CtcDecoder
from sixfold.recipe.signature import Input, Output, Signature

FRAMES, STEP = 8, 800  # samples of a frame, 0.1 s
LEVELS = {"": 0.0, " ": 0.02, "a": 0.1, "b": 0.3}  # mean power
RECIPE = "version: 1\nname: letters\ntask: transcription\ndata: {source: said.csv, target: said, missing: ['', NA]}\n"
SIGNATURE = Signature(
    task="transcription",
    target=("said",),
    inputs=(Input(name="sound", type="audio"),),
    outputs=(Output(name="text", columns=("said",)),),
    missing=("", "NA"),
)
GREEDY = CtcDecoder(frames=FRAMES, alphabet=tuple("".join(LEVELS)), first_s=0.05, frame_s=0.1)


def said(letters: str) -> bytes:
    """A WAV file; `-` is silence."""
    powers = [LEVELS.get(letter, 0.0) for letter in letters]
    tone = np.sin(2 * np.pi * 500 * np.arange(STEP) / 8_000)
    return tiny_sounds.wav(np.concatenate([np.sqrt(2 * power) * tone for power in powers]))


def graph(decoder: CtcDecoder, count: int) -> bytes:
    """Of recordings of so many frames."""
    g = Graph()
    wanted = AudioInput(name="audio_0", column="sound", rate=8_000, samples=count * STEP)
    samples = RawInputs(g, [], set()).encoded("audio", wanted)
    frames = g.op("Reshape", samples, g.constant([-1, count, STEP], np.int64))
    scaled = g.op("Mul", frames, g.constant(1 / 32768.0, np.float64))
    power = g.op("ReduceMean", g.op("Mul", scaled, scaled), g.constant([2], np.int64), keepdims=1)
    off = g.op("Sub", power, g.constant(np.array([[list(LEVELS.values())]])))
    scores = g.op("Mul", g.op("Mul", off, off), g.constant(-10_000.0, np.float64))
    cells = count * len(LEVELS)
    value = g.op("Reshape", scores, g.constant([-1, cells], np.int64))
    g.output("value", value, TensorProto.DOUBLE, ["rows", cells])
    g.describe_text(DECODER, decoder.model_dump_json())
    return packed(g.model())


def parts(decoder: CtcDecoder = GREEDY, count: int = FRAMES) -> BundleParts:
    """Parts that agree with each other."""
    heard = ("abb a", "a b  a", "") if " a" in decoder.alphabet else ("abba", "a b a", "")
    texts = dict(zip(("ab-ba---", "a b aaa-", "--------"), heard, strict=True))
    stored = [{"sound": base64.b64encode(said(letters)).decode()} for letters in texts]
    expected = {"text": np.array(list(texts.values()), dtype=object)}
    model, others = graph(decoder, count), bright_images.parts()
    cost = tiny_bundle.COST.model_copy(update={"file_bytes": len(model), "inputs": 1})
    receipt = tiny_bundle.RECEIPT.model_copy(
        update={"name": "letters", "before": cost, "after": cost, "parity_rows": len(stored)}
    )
    report = tiny_bundle.report(receipt)
    column = report.columns[0].model_copy(update={"name": "sound", "type": "audio"})
    importances = (report.importances[0].model_copy(update={"column": "sound"}),)
    told = {"columns": (column,), "confusion": None, "importances": importances}
    return BundleParts(
        model,
        SIGNATURE,
        RECIPE,
        receipt,
        others.report_html,
        report.model_copy(update=told).model_dump_json(),
        Parity(stored, expected),
    )


def make(folder: Path, decoder: CtcDecoder = GREEDY, count: int = FRAMES) -> Path:
    write_bundle(folder, parts(decoder, count))
    return folder


def make_pieces(folder: Path) -> Path:
    """What is as loud as an "a" is the piece that begins a word with one."""
    return make(folder, GREEDY.model_copy(update={"alphabet": (" ", " a", "b")}))


def make_longer(folder: Path) -> Path:
    """Of forty seconds."""
    return make(folder, GREEDY.model_copy(update={"frames": 400}), 400)
