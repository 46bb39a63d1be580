"""Tiny language models with random weights, one of each architecture, and windows of random texts."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import numpy as np
import torch

from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, TextTokenizer, learned
from sixfold.parts.token_windows import IDS, IGNORED, PLACES, TEXTS, WindowBatch

KINDS: Final = ("llama", "mistral", "qwen2", "qwen3")
CONTEXT: Final = 24


@cache
def tokenizer() -> TextTokenizer:
    """Single bytes."""
    return learned(["any text"], LEAST_VOCABULARY)


def decoder(kind: str = "llama", **fields: Any) -> LanguageModel:
    """3 layers of width 64, 4 query heads for 2 of keys and values, 64 channels."""
    config = json.dumps(
        {
            "model_type": kind,
            "vocab_size": LEAST_VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 64,
            "tie_word_embeddings": False,
            **fields,
        }
    )
    draws = np.random.default_rng(0)
    arrays = {
        name: (draws.normal(size=array.shape) * 0.1 + (array.ndim == 1)).astype(np.float32)
        for name, array in PackedNetwork(config).arrays().items()
    }
    return LanguageModel(config, arrays, tokenizer(), CONTEXT)


def windows(count: int = 12, context: int = CONTEXT) -> WindowBatch:
    """Random tokens; a window has two texts, and a rest of which nothing is learned."""
    draws = np.random.default_rng(1)
    x = np.zeros((count, 3, context), dtype=np.int64)
    x[:, IDS] = draws.integers(0, LEAST_VOCABULARY, (count, context))
    first = context // 2
    x[:, PLACES] = [*range(first), *range(context - first)]
    x[:, TEXTS] = [0] * first + [1] * (context - first)
    y = np.roll(x[:, IDS], -1, axis=1)
    y[:, [first - 1, -2, -1]] = IGNORED
    return WindowBatch(torch.from_numpy(x), torch.from_numpy(y))
