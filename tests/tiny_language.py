"""Texts and checkpoints of language models for tests: small enough to be made in each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from sixfold.parts.language_network import causal_network
from sixfold.parts.stored_tokens import StoredTokens, plain_rows, store
from sixfold.parts.text_tokenizer import TextTokenizer, learned

WORDS = ["the", "a", "red", "small", "old", "cat", "dog", "house", "sees", "likes", "and", "beside"]
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "initializer_range": 0.2,
    "head_dim": 8,
}
KINDS = ("llama", "mistral", "qwen2", "qwen3")


def sentences(count: int, seed: int = 0, words: int = 12) -> list[str]:
    """Texts of a few words, one different from the other."""
    rng = np.random.default_rng(seed)
    return [
        " ".join(rng.choice(WORDS, rng.integers(words // 2, words + 1))) + f". {n}"
        for n in range(count)
    ]


def tokenizer(vocabulary: int = 320, count: int = 200) -> TextTokenizer:
    """Learned from such texts."""
    return learned(sentences(count, seed=7), vocabulary)


def stored(texts: list[str], own: TextTokenizer) -> StoredTokens:
    """Their tokens."""
    return store(texts, own, plain_rows(own))


def config(kind: str, own: TextTokenizer, **fields: Any) -> dict[str, Any]:
    """Of a network of a kind."""
    return {"model_type": kind, "vocab_size": own.vocabulary, **SHAPE, **fields}


def write_checkpoint(
    folder: Path, kind: str = "llama", own: TextTokenizer | None = None, **fields: Any
) -> Path:
    """As transformers saves it, with random weights."""
    own = own or tokenizer()
    torch.manual_seed(0)
    network = causal_network(config(kind, own, **fields))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    network.save_pretrained(folder, safe_serialization=True)
    (folder / "tokenizer.json").write_text(own.model)
    (folder / "tokenizer_config.json").write_text(own.config)
    return folder


def change_config(folder: Path, **fields: Any) -> None:
    """Of a checkpoint that is there."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def reference_loss(folder: Path, ids: list[list[int]]) -> tuple[float, int]:
    """transformers' own: the sum of the losses of all texts' tokens, each text by itself."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total, count = 0.0, 0
    for text in ids:
        row = torch.tensor([text])
        with torch.no_grad():
            loss = model(input_ids=row, labels=row).loss
        total += float(loss) * (len(text) - 1)
        count += len(text) - 1
    return total, count
