"""Checkpoints of every architecture: losses as transformers has them, files that transformers loads; what is
wrong with a folder is told by the name of its file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sixfold.core.errors import DataError
from sixfold.parts import state
from sixfold.parts.language_checkpoint import read_language
from sixfold.parts.language_model import LanguageModel
from tiny_language import (
    KINDS,
    change_config,
    reference_loss,
    sentences,
    stored,
    tokenizer,
    write_checkpoint,
)

OWN = tokenizer()
TEXTS = sentences(12, seed=3)


def model_of(folder: Path, context: int = 64) -> LanguageModel:
    found = read_language(folder)
    return LanguageModel(found.config, found.network().arrays(), found.tokenizer, context)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_transformers_and_the_files_load(kind: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", kind, OWN)
    model = model_of(folder)
    sums = model.predict(stored(TEXTS, OWN))
    ids = [[0, *text, 0] for text in OWN.encode(TEXTS)]
    total, count = reference_loss(folder, ids)
    assert sums[:, 0].sum() == pytest.approx(total, rel=1e-5)
    assert sums[:, 1].sum() == count
    assert sums[:, 2].sum() == sum(len(text.encode()) for text in TEXTS)
    again = tmp_path / "b"
    again.mkdir()
    for name, content in model.files().items():
        (again / name).write_bytes(content)
    first, second = load_file(folder / "model.safetensors"), load_file(again / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    loaded: Any = AutoModelForCausalLM.from_pretrained(again)
    row = torch.tensor([ids[0]])
    with torch.no_grad():
        assert torch.equal(
            loaded(row).logits, AutoModelForCausalLM.from_pretrained(folder)(row).logits
        )
    assert AutoTokenizer.from_pretrained(again)(TEXTS[0]).input_ids == ids[0][1:-1]


def test_a_text_is_scored_as_alone_whatever_shares_its_window(tmp_path: Path) -> None:
    model = model_of(write_checkpoint(tmp_path, own=OWN))
    together = model.predict(stored(TEXTS, OWN))
    alone = np.concatenate([model.predict(stored([text], OWN)) for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_a_long_text_is_scored_whole(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, own=OWN, max_position_embeddings=512)
    long = [" ".join(sentences(16, seed=5))]
    whole = model_of(folder, 512).predict(stored(long, OWN))
    spans = model_of(folder, 48).predict(stored(long, OWN))
    assert whole[0, 1] == spans[0, 1] > 96
    assert spans[0, 0] == pytest.approx(whole[0, 0], rel=0.2)


def test_half_precision_shards_and_ties_are_read(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", own=OWN, tie_word_embeddings=False)
    expected = {
        name: one.to(torch.bfloat16)
        for name, one in load_file(folder / "model.safetensors").items()
    }
    assert "lm_head.weight" in expected
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "b", max_shard_size="20KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "b" / name).write_text((folder / name).read_text())
    assert len(list((tmp_path / "b").glob("model-*.safetensors"))) > 1
    arrays = read_language(tmp_path / "b").network().arrays()
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[n], expected[n].float().numpy()) for n in arrays)


def test_a_model_is_a_state(tmp_path: Path) -> None:
    model = model_of(write_checkpoint(tmp_path / "a", own=OWN))
    (tmp_path / "s").mkdir()
    state.save(model, tmp_path / "s")
    again = state.load(tmp_path / "s", LanguageModel)
    assert again.files() == model.files()
    assert again.context == model.context


def refused(folder: Path, text: str) -> None:
    with pytest.raises(DataError) as problem:
        read_language(folder).network()
    assert text in str(problem.value)
    assert str(folder) in problem.value.where


def test_what_is_wrong_with_a_folder_is_told(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such folder")
    folder = write_checkpoint(tmp_path / "a", own=OWN)
    change_config(folder, vocab_size=OWN.vocabulary - 9)
    refused(
        folder,
        f"ids below vocab_size, {OWN.vocabulary - 9:,}, of config.json; found {OWN.vocabulary:,} ids",
    )
    change_config(folder, vocab_size=OWN.vocabulary + 8)
    refused(folder, "the shape (328, 32), as of config.json; found (320, 32)")
    change_config(folder, vocab_size=OWN.vocabulary, num_hidden_layers=3)
    refused(folder, "weights of every layer in config.json; found none for model.layers.2.")
    change_config(folder, num_hidden_layers=2, model_type="gpt2")
    refused(folder, "a model_type of llama, mistral, qwen2, qwen3; found 'gpt2'")
    change_config(folder, model_type="llama", quantization_config={"bits": 4})
    refused(folder, "no quantization_config; found one")
    change_config(folder, quantization_config=None, hidden_size=1 << 40)
    refused(folder, "hidden_size of at most 10,000,000")
    change_config(folder, hidden_size=32, num_attention_heads="four")
    refused(folder, "a configuration that transformers knows")


@pytest.mark.parametrize("name", ["llama3", "linear"])
def test_losses_with_a_scaled_rotary_embedding(name: str, tmp_path: Path) -> None:
    numbers = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling = {"rope_type": name, "rope_theta": 1e4, "factor": 8.0}
    if name == "llama3":
        scaling |= {**numbers, "original_max_position_embeddings": 32}
    folder = write_checkpoint(tmp_path / "a", own=OWN, rope_parameters=scaling)
    sums = model_of(folder).predict(stored(TEXTS, OWN))
    total, _ = reference_loss(folder, [[0, *text, 0] for text in OWN.encode(TEXTS)])
    assert sums[:, 0].sum() == pytest.approx(total, rel=1e-5)
    change_config(folder, rope_parameters={"rope_type": "default", "rope_theta": 1e4})
    plain = model_of(folder).predict(stored(TEXTS, OWN))
    assert abs(plain[:, 0] / sums[:, 0] - 1).max() > 1e-4  # ten times what equals


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, own=OWN)
    file = folder / "model.safetensors"
    content = file.read_bytes()
    arrays = {name: one.clone() for name, one in load_file(file).items()}
    file.write_bytes(content[: len(content) // 2])
    refused(folder, "a whole safetensors file")
    arrays["model.norm.weight"][3] = float("nan")
    save_file(arrays, file)
    refused(folder, "model.norm.weight: expected finite numbers")
    file.rename(folder / "pytorch_model.bin")
    refused(folder, "no model.safetensors, but pytorch_model.bin")
