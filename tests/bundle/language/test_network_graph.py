"""The graph that is made of a GGUF file: log-probabilities and hidden states are those of transformers for every kind of
rotary embedding that the file holds, and with biases.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import language_bundles
import sentencepiece_like
from sixfold.bundle.gguf_header import check_gguf
from sixfold.bundle.language.hidden_states import HiddenStates
from sixfold.bundle.language.model import LanguageRuntime
from sixfold.bundle.language.requests import GenerationRequest, Sampling
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.served_weights import served_network
from sixfold.parts.gguf_blocks import BlockType

IDS = tuple(4 + (7 * place) % 300 for place in range(100))
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
# Name → kind, changes of its configuration, the type of its matrices.
MODELS: dict[str, tuple[str, dict[str, Any], BlockType]] = {
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3, "head_dim": 16}, "f16"),
    "llama 3.2": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}, "q8_0"),
    "older, linear": ("llama", {"rope_parameters": LINEAR}, "f16"),
    "mistral, linear": ("mistral", {"rope_parameters": LINEAR}, "q4_0"),
    "qwen2, linear": ("qwen2", {"rope_parameters": LINEAR, "tie_word_embeddings": True}, "f16"),
    "qwen3, linear": ("qwen3", {"rope_parameters": LINEAR}, "f16"),
    "smollm": ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 1}, "f16"),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}, "f16"),
    "window": ("mistral", {"sliding_window": 112}, "f16"),
}


def opened(files: dict[str, bytes], content: bytes, folder: Path) -> LanguageRuntime:
    path = folder / "model.gguf"
    path.write_bytes(content)
    header = check_gguf(path, len(content))
    return LanguageRuntime(path, header, LanguageTokens.of(files, "hf"))


def legacy(files: dict[str, bytes]) -> dict[str, bytes]:
    """The configuration as transformers 4 wrote it."""
    config = json.loads(files["config.json"])
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    scaling["type"] = scaling.pop("rope_type")
    return {**files, "config.json": json.dumps({**config, "rope_scaling": scaling}).encode()}


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    kind, changes, matrices = MODELS[name]
    files = language_bundles.checkpoint(kind, **changes)
    if name.startswith("older"):
        files = legacy(files)
    content = gguf_bytes(files, "tiny", matrices)
    runtime, network = opened(files, content, tmp_path), served_network(files, content)
    greedy = Sampling(temperature=0)
    scored = runtime.complete(GenerationRequest(IDS, 1, greedy, logprobs=True, echo=True))
    answer = runtime.complete(GenerationRequest(IDS[:40], 16, greedy)).ids
    hidden = runtime.hidden_states.last(IDS)
    runtime.close()
    with torch.no_grad():
        found = network(torch.tensor([IDS]), output_hidden_states=True)
        logits = found.logits[0]
        expected = logits.log_softmax(-1)[range(99), list(IDS[1:])]
        after = network(torch.tensor([[*IDS[:40], *answer]])).logits[0][39:-1]
    assert scored.logprobs[1:100] == pytest.approx(expected.tolist(), abs=5e-4)
    assert hidden == pytest.approx(found.hidden_states[-1][0].numpy(), abs=2e-4)
    near = after.max(-1).values - after[range(16), list(answer)]
    assert float(near.max()) < 1e-3  # the most probable ones
    assert list(answer) == after.argmax(-1).tolist() or float(near.max()) > 0


@pytest.mark.parametrize("scaling", [LLAMA3, LINEAR], ids=["llama3", "linear"])
def test_the_scaling_is_what_makes_them_equal(scaling: dict[str, Any], tmp_path: Path) -> None:
    """With the speeds of a model that is not scaled the hidden states are far from these."""
    files = language_bundles.checkpoint(rope_parameters=scaling)
    config = json.loads(files["config.json"])
    plain = {"rope_type": "default", "rope_theta": scaling["rope_theta"]}
    other = {
        **files,
        "config.json": json.dumps({**config, "rope_parameters": plain}).encode(),
    }
    found = []
    for each in (files, other):
        path = tmp_path / "model.gguf"
        path.write_bytes(gguf_bytes(each, "tiny"))
        found.append(HiddenStates(path, check_gguf(path, path.stat().st_size)).last(IDS))
    assert abs(found[0] - found[1]).max() > 0.1


@pytest.mark.parametrize("old", [True, False], ids=["Prepend", "Metaspace"])
def test_a_bundle_with_a_tokenizer_of_sentencepieces_kind(old: bool, tmp_path: Path) -> None:
    """It is proved; an answer follows a JSON Schema by the bytes of its tokens."""
    files = sentencepiece_like.files("mistral", old, sliding_window=112)
    language_bundles.bundle_of(tmp_path / "bundle", files)
    runtime = opened(files, (tmp_path / "bundle" / "model.gguf").read_bytes(), tmp_path)
    tokens = runtime.tokens
    schema = json.dumps({"type": "object", "properties": {}, "additionalProperties": False})
    prompt = tuple(tokens.prompt("The list"))
    found = runtime.complete(GenerationRequest(prompt, 40, end=tokens.end, json_schema=schema))
    runtime.close()
    assert json.loads(tokens.decode(found.ids)) == {}


@pytest.mark.parametrize("name", ["llama 3.1", "mistral, linear"])
def test_a_bundle_is_written_and_proved(name: str, tmp_path: Path) -> None:
    kind, changes, _ = MODELS[name]
    language_bundles.bundle(tmp_path / "bundle", kind, **changes)
