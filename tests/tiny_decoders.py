"""Tiny causal models of transformers with random weights, one of each architecture."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from sixfold.parts.draws import own_draws

WIDTH, VOCABULARY = 64, 96
KINDS: Final = ("llama", "mistral", "qwen2", "qwen3")


def decoder(kind: str = "llama", **fields: Any) -> nn.Module:
    """In evaluation; 3 layers, 4 query heads for 2 of keys and values, 64 channels."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 64,
            "tie_word_embeddings": False,
            **fields,
        },
    )
    with own_draws():
        torch.manual_seed(0)
        module: nn.Module = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():  # biases are zero at the start: some that are not show a wrong cut
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.05)
    return module.float().eval()


def windows(count: int = 8, context: int = 24) -> torch.Tensor:
    """Random tokens, int64 [count, context]."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, VOCABULARY, (count, context), generator=generator)
