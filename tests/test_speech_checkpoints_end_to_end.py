"""From a table of recordings and a local checkpoint to texts over HTTP, from a bundle without torch; what is
refused on the way.
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

import sixfold
import tiny_sounds
import tiny_speech
from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.core.errors import DataError, FitError
from sixfold.data.sources.sounds import sung
from sixfold.recipe import load
from sixfold.serve.app import create

TEXTS = [("ae", "ea", "a e", "e", "aa")[number % 5] for number in range(40)]
ASKS = """
import json, sys
import sixfold
answers = sixfold.load(sys.argv[1]).predict([{"clip": file} for file in sys.argv[2:]])
assert not {"torch", "transformers", "sklearn"} & set(sys.modules)
print(json.dumps(list(answers.columns()["text"])))
"""


def recipe(folder: Path, texts: list[str] = TEXTS) -> Path:
    """And its table of recordings, at twice the rate of the checkpoint."""
    lines = ["clip,said"]
    for number, text in enumerate(texts):
        path = folder / f"{number}.wav"
        sound = sung("".join(letter if letter in "ae " else "a" for letter in text), number)
        path.write_bytes(tiny_sounds.wav(0.8 * sound.repeat(2), 2 * tiny_speech.RATE))
        lines.append(f"{path.name},{text}")
    (folder / "said.csv").write_text("\n".join(lines) + "\n")
    still = dict.fromkeys(("shift", "speed", "time_mask"), 0)
    build = {"family": "speech_encoder", "checkpoint": str(folder / "checkpoint"), **still}
    file = folder / "recipe.yaml"
    file.write_text(
        "name: heard\ntask: transcription\ndata: {source: said.csv, target: said}\n"
        f"build: {json.dumps(build)}\n"
        "train: {epochs: 60, batch_size: 8, optimizer: {name: adamw, learning_rate: 0.005}}\n"
        "evaluate: {folds: 2}\nbudget: {memory: 4GiB}\n"
        "compress: {keep: {word_error_rate: 1.0}, quantize: {activations: static}}\n"
    )
    return file


def transcribed(bundle: sixfold.Bundle, content: bytes) -> Any:
    """By the server's own route."""

    async def call() -> Any:
        transport = httpx.ASGITransport(create(bundle, bundle.recipe.serve))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            form = {"model": "heard", "response_format": "verbose_json"}
            file = {"file": ("said.wav", content)}
            answer = await client.post("/v1/audio/transcriptions", data=form, files=file)
            return answer.raise_for_status().json()

    return asyncio.run(call())


@pytest.mark.slow
def test_recordings_are_learned_from_a_checkpoint_and_heard_without_it(tmp_path: Path) -> None:
    tiny_speech.write(tmp_path / "checkpoint", "wav2vec2_stable")
    bundle = sixfold.load(pipeline.run(load.load(recipe(tmp_path)), tmp_path / "run").bundle)
    qualities = {one.metric: one for one in bundle.receipt.quality}
    assert max(qualities["character_error_rate"].folds_before) < 0.7
    assert [step.name for step in bundle.receipt.steps] == ["quantize int8 static"]
    assert any("parity" in sentence for sentence in verify(bundle.path))
    (tmp_path / "checkpoint").rename(tmp_path / "away")  # it travels in the bundle
    asked = [str(tmp_path / f"{number}.wav") for number in range(6)]
    command = [sys.executable, "-c", ASKS, str(bundle.path), *asked]
    texts = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    heard = bundle.predict([{"clip": file} for file in asked]).columns()["text"]
    assert texts == list(heard)
    assert any(texts) and set("".join(texts)) <= set("ae ")
    for file, text in zip(asked, texts, strict=True):
        told = transcribed(bundle, Path(file).read_bytes())
        assert told["text"] == text
        assert [one["word"] for one in told["words"]] == text.split()
        assert all(0 <= one["start"] <= one["end"] <= told["duration"] for one in told["words"])


@pytest.mark.parametrize(
    ("texts", "changed", "error", "message"),
    [
        (["a", "b", "ab"] * 4, {}, FitError, "3 characters of checkpoint/vocab.json; found 'b'"),
        (TEXTS[:12], {"model_type": "wavlm"}, DataError, "model_type of hubert, wav2vec2; found"),
    ],
)
def test_what_is_refused_before_it_is_trained(
    texts: list[str], changed: dict[str, Any], error: Any, message: str, tmp_path: Path
) -> None:
    tiny_speech.write(tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    asked = load.load(recipe(tmp_path, texts))
    with pytest.raises(error, match=message):
        pipeline.run(asked, tmp_path / "run")
