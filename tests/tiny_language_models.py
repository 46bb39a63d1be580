"""Causal language models of transformers with random weights, small enough for a test."""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY: Final = 64
MODELS: Final[dict[str, tuple[Any, Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def tiny(kind: str = "llama", seed: int = 0, **fields: Any) -> Any:
    """Width 32, 2 layers, 4 heads of which 2 hold keys and values."""
    config, model = MODELS[kind]
    plain = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,  # so that layers matter
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 1,
    }
    torch.manual_seed(seed)
    made = model(config(**{**plain, **fields}, attn_implementation="sdpa")).eval()
    with torch.no_grad():
        for one in made.parameters():
            if one.ndim == 1:  # of norms, and biases
                one.add_(torch.randn_like(one) * 0.1)
    return made


def some_ids(rows: int = 2, length: int = 12, seed: int = 0) -> torch.Tensor:
    """Tokens, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, VOCABULARY, (rows, length), generator=generator)
