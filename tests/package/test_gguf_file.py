"""GGUF files: the public reader opens them, and what it dequantizes gives the logits of the checkpoint, for every
architecture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from transformers import AutoModelForCausalLM

import language_bundles
from sixfold.bundle.gguf_header import check_gguf
from sixfold.core.errors import BundleError, DataError
from sixfold.package.gguf_file import gguf_bytes, halves, interleaved
from sixfold.package.served_weights import served_network
from sixfold.parts.gguf_blocks import encoded
from sixfold.parts.gguf_shape import GgufShape

IDS = torch.arange(4, 44)[None]
KINDS = list(language_bundles.CONFIGS)


def logits(folder: Path, rounded: bool) -> torch.Tensor:
    """Of the checkpoint, `rounded`: its matrices in half precision."""
    model = AutoModelForCausalLM.from_pretrained(folder).float().eval()
    with torch.no_grad():
        for value in model.parameters():
            if rounded and value.ndim == 2:
                value.copy_(value.half().float())
        return model(IDS).logits[0]


@pytest.mark.parametrize("tied", [False, True], ids=["apart", "tied"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_files_weights_give_the_checkpoints_logits(
    kind: str, tied: bool, tmp_path: Path
) -> None:
    files = language_bundles.checkpoint(kind, tie_word_embeddings=tied)
    content = gguf_bytes(files, "tiny")
    folder = language_bundles.write(tmp_path / "hf", files)
    with torch.no_grad():
        found = served_network(files, content)(IDS).logits[0]
    assert float((found - logits(folder, rounded=True)).abs().max()) < 1e-4
    assert float((found - logits(folder, rounded=False)).abs().max()) < 0.1
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    header = check_gguf(path, len(content))
    assert ("output.weight" in header.tensors) is not tied
    assert header.facts["general.architecture"] == ("llama" if kind == "mistral" else kind)
    assert gguf_bytes(files, "tiny") == content  # byte by byte


def test_tokens_merges_and_template_stand_in_the_file(tmp_path: Path) -> None:
    files = language_bundles.checkpoint()
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(files, "tiny"))
    reader = gguf.GGUFReader(path)
    value = {key: field.contents() for key, field in reader.fields.items()}
    described = json.loads(files["tokenizer.json"])
    by_id = sorted(described["model"]["vocab"], key=described["model"]["vocab"].get)
    assert value["tokenizer.ggml.tokens"] == by_id
    assert value["tokenizer.ggml.merges"] == [" ".join(x) for x in described["model"]["merges"]]
    assert value["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]
    assert (value["tokenizer.ggml.model"], value["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert value["tokenizer.ggml.eos_token_id"] == 0
    assert value["tokenizer.chat_template"].startswith("{%- if tools %}")
    assert value["llama.context_length"] == language_bundles.CONTEXT


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_quantized_matrices(kind: Any) -> None:
    files = language_bundles.checkpoint()
    exact, rounded = served_network(files, gguf_bytes(files, "t")), gguf_bytes(files, "t", kind)
    assert len(rounded) < len(gguf_bytes(files, "t"))
    weights = load(files["model.safetensors"])
    name = "model.layers.0.self_attn.q_proj.weight"
    given = [
        encoded(each, value.numpy(), kind) for each, value in weights.items() if value.ndim == 2
    ]
    assert gguf_bytes(files, "t", "f16", given) == rounded
    with torch.no_grad():
        near = served_network(files, rounded)
        spread = float((dict(near.named_parameters())[name] - weights[name]).abs().max())
        assert 0 < spread < (0.3 if kind == "q4_0" else 0.02)
        assert float((near(IDS).logits - exact(IDS).logits).abs().max()) > 0


def test_rows_of_a_head_are_interleaved_and_back() -> None:
    rows = np.arange(16.0).reshape(16, 1)
    assert interleaved(rows, 2)[:8, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert np.array_equal(halves(interleaved(rows, 2), 2), rows)


REFUSED = {
    "architecture": ({"model_type": "gpt2"}, "model_type.*one of llama, mistral, qwen2, qwen3"),
    "yarn": (
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
        "rope_type: expected one of default, linear, llama3; found 'yarn'",
    ),
    "dynamic, older": (
        {"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
        "rope_type: expected one of default, linear, llama3; found 'dynamic'",
    ),
    "of no llama": (
        {"model_type": "qwen2", "rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
        "rope_type: expected one of default, linear; found 'llama3'",
    ),
    "factor": (
        {"rope_parameters": {"rope_type": "linear", "factor": 0}},
        r"rope_parameters\.factor: expected a number above 0; found 0",
    ),
    "numbers": (
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
        r"rope_parameters\.low_freq_factor: expected a number above 0; found None",
    ),
    "order": (
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 4.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
        r"high_freq_factor: expected more than low_freq_factor, 4\.0; found 4\.0",
    ),
    "part": (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        r"partial_rotary_factor: expected 1; found 0\.5",
    ),
    "activation": ({"hidden_act": "gelu"}, "hidden_act"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_readers_would_compute_otherwise_is_refused(name: str) -> None:
    changes, text = REFUSED[name]
    config = {**language_bundles.config().to_dict(), **changes}
    with pytest.raises(DataError, match=text):
        GgufShape.of(config)


def test_a_window_is_the_context() -> None:
    """Within it a sliding window hides nothing; a longer text is refused by the server."""
    config = {**language_bundles.config("mistral").to_dict(), "sliding_window": 48}
    assert GgufShape.of(config).context == 48
    assert GgufShape.of({**config, "sliding_window": None}).context == language_bundles.CONTEXT
    unused = {**language_bundles.config("qwen2").to_dict(), "sliding_window": 48}
    assert GgufShape.of({**unused, "use_sliding_window": False}).context == 128


SCALINGS = {
    "llama3": {
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_theta": 500_000.0,
    },
    "linear": {"factor": 4.0, "rope_theta": 10_000.0},
}


@pytest.mark.parametrize("name", SCALINGS)
def test_a_scaled_rotary_embedding_stands_in_the_file(name: str, tmp_path: Path) -> None:
    """As llama.cpp reads it; the speeds are those of transformers, of a head as large as Llama's."""
    scaling = {"rope_type": name, **SCALINGS[name]}
    files = language_bundles.checkpoint(rope_parameters=scaling, head_dim=128)
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(files, "tiny"))
    reader = gguf.GGUFReader(path)
    value = {key: field.contents() for key, field in reader.fields.items()}
    stored = {each.name: each.data for each in reader.tensors}
    base = value["llama.rope.freq_base"]
    speeds = 1 / base ** (np.arange(0, 128, 2) / 128)
    if name == "linear":
        assert value["llama.rope.scaling.type"] == "linear"
        speeds = speeds / value["llama.rope.scaling.factor"]
    else:
        assert "llama.rope.scaling.type" not in value
        assert {float(x) for x in stored["rope_freqs.weight"]} > {1.0, 32.0}
        speeds = speeds / stored["rope_freqs.weight"]
    expected = served_network(files, path.read_bytes()).model.rotary_emb.inv_freq
    assert speeds == pytest.approx(expected.numpy(), rel=1e-6)


def test_tensors_that_are_missing_or_foreign_are_refused() -> None:
    files = language_bundles.checkpoint()
    weights = load(files["model.safetensors"])
    more = {**weights, "model.layers.9.mlp.up_proj.weight": torch.zeros(2, 2)}
    with pytest.raises(BundleError, match=r"found model\.layers\.9\.mlp"):
        gguf_bytes({**files, "model.safetensors": save(more)}, "tiny")
    weights.pop("model.norm.weight")
    with pytest.raises(BundleError, match=r"expected the tensor model\.norm\.weight"):
        gguf_bytes({**files, "model.safetensors": save(weights)}, "tiny")


def test_numbers_beyond_half_precision_are_refused() -> None:
    files = language_bundles.checkpoint()
    weights = load(files["model.safetensors"])
    weights["lm_head.weight"][3, 3] = 1e6
    with pytest.raises(BundleError, match=r"lm_head\.weight: expected numbers within ±65504"):
        gguf_bytes({**files, "model.safetensors": save(weights)}, "tiny")


def test_other_tokenizers_are_refused() -> None:
    files = language_bundles.checkpoint()
    described = json.loads(files["tokenizer.json"])
    described["model"]["type"] = "Unigram"
    with pytest.raises(DataError, match="expected BPE; found 'Unigram'"):
        gguf_bytes({**files, "tokenizer.json": json.dumps(described).encode()}, "tiny")
    described["model"]["type"] = "BPE"
    described["pre_tokenizer"] = {"type": "Whitespace"}
    with pytest.raises(DataError, match="expected ByteLevel, or a model with byte_fallback"):
        gguf_bytes({**files, "tokenizer.json": json.dumps(described).encode()}, "tiny")
    config = {**json.loads(files["config.json"]), "vocab_size": 300}
    with pytest.raises(BundleError, match="at most the model's vocab_size of 300"):
        gguf_bytes({**files, "config.json": json.dumps(config).encode()}, "tiny")
