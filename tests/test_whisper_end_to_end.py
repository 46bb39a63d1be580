"""From a table of recordings and a local Whisper checkpoint to texts over HTTP, from a bundle without torch; what
is refused on the way, and of what it leaves.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import sixfold
import tiny_sounds
import tiny_whisper
from sixfold import pipeline
from sixfold.bundle.explain.told import is_explained
from sixfold.bundle.verify import verify
from sixfold.cli import group
from sixfold.core.errors import DataError
from sixfold.data.sources.sounds import sung
from sixfold.recipe import load
from sixfold.serve.app import create

TEXTS = [("ae", "ea", "a", "e")[number % 4] for number in range(32)]
ASKS = """
import json, sys
import sixfold
answers = sixfold.load(sys.argv[1]).predict([{"clip": file} for file in sys.argv[2:]])
assert not {"torch", "transformers", "tokenizers", "sklearn"} & set(sys.modules)
print(json.dumps(list(answers.columns()["text"])))
"""


def recipe(folder: Path, texts: list[str] = TEXTS, **build: Any) -> Path:
    """And its table of recordings, at half the rate of the checkpoint."""
    lines = ["clip,said"]
    for number, text in enumerate(texts):
        path = folder / f"{number}.wav"
        path.write_bytes(tiny_sounds.wav(0.8 * sung(TEXTS[number % len(TEXTS)], number)))
        lines.append(f"{path.name},{text}")
    (folder / "said.csv").write_text("\n".join(lines) + "\n")
    still = dict.fromkeys(("shift", "speed", "time_mask", "band_mask"), 0)
    asked = {"family": "whisper", "checkpoint": str(folder / "checkpoint"), "language": "en"}
    file = folder / "recipe.yaml"
    file.write_text(
        "name: heard\ntask: transcription\ndata: {source: said.csv, target: said}\n"
        f"build: {json.dumps({**asked, **still, **build})}\n"
        "train: {epochs: 60, batch_size: 8, optimizer: {name: adamw, learning_rate: 0.005}}\n"
        "evaluate: {folds: 2}\nbudget: {memory: 4GiB}\n"
        "compress: {keep: {word_error_rate: 1.0}, quantize: {activations: static}}\n"
    )
    return file


def transcribed(bundle: sixfold.Bundle, content: bytes, **fields: str) -> Any:
    """By the server's own route."""

    async def call() -> Any:
        transport = httpx.ASGITransport(create(bundle, bundle.recipe.serve))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            form, file = {"model": "heard", **fields}, {"file": ("said.wav", content)}
            return await client.post("/v1/audio/transcriptions", data=form, files=file)

    return asyncio.run(call())


@pytest.mark.slow
def test_recordings_are_learned_from_a_checkpoint_and_written_down_without_it(
    tmp_path: Path,
) -> None:
    tiny_whisper.write(tmp_path / "checkpoint")
    bundle = sixfold.load(pipeline.run(load.load(recipe(tmp_path)), tmp_path / "run").bundle)
    (step,) = bundle.receipt.steps
    assert not step.accepted and "in a loop, which has no int8" in step.why
    assert any("parity" in sentence for sentence in verify(bundle.path))
    (tmp_path / "checkpoint").rename(tmp_path / "away")  # it travels in the bundle
    asked = [str(tmp_path / f"{number}.wav") for number in range(6)]
    command = [sys.executable, "-c", ASKS, str(bundle.path), *asked]
    texts = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert texts == list(bundle.predict([{"clip": file} for file in asked]).columns()["text"])
    assert any(texts)
    for file, text in zip(asked, texts, strict=True):
        content = Path(file).read_bytes()
        assert transcribed(bundle, content).json() == {"text": text}
    told = transcribed(bundle, content, response_format="verbose_json").json()
    assert told["text"] == text and told["duration"] > 0 and "words" not in told
    asks = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    refused = transcribed(bundle, content, **asks)
    assert refused.status_code == 400
    assert "this model writes tokens, which have no times" in refused.json()["error"]["message"]
    assert not is_explained(bundle.explainer)  # the page offers nothing
    row = json.dumps({"clip": asked[0]})
    explained = CliRunner().invoke(group, ["explain", str(bundle.path), row])
    assert explained.exit_code != 0
    assert "one that writes tokens (whisper)" in f"{explained.output}{explained.exception}"


@pytest.mark.parametrize(
    ("texts", "build", "message"),
    [
        (["b" * 30] * 12, {}, r"texts of at most 19 tokens, .*found 31: 'bbb"),
        pytest.param(
            TEXTS[:12],
            {"language": "fr"},
            r"build\.language, one of de, en; found 'fr'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_refused_before_it_is_trained(
    texts: list[str], build: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny_whisper.write(tmp_path / "checkpoint")
    with pytest.raises(DataError, match=message):
        pipeline.run(load.load(recipe(tmp_path, texts, **build)), tmp_path / "run")
