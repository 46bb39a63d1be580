"""Shapes of language models: what is counted is what a network has."""

from __future__ import annotations

import json

import pytest

from sixfold.build._language_shape import SIZES, shape_of_config
from sixfold.parts.language_network import causal_network


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("kind", "head"), [("llama", None), ("llama", 24), ("mistral", None)])
def test_parameters_of_a_checkpoint(kind: str, head: int | None, tied: bool) -> None:
    fields = {
        "model_type": kind,
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": tied,
        **({} if head is None else {"head_dim": head}),
    }
    counted = shape_of_config(json.dumps(fields), 32).parameters(300)
    assert counted == sum(one.numel() for one in causal_network(fields).parameters())


def test_sizes_are_what_they_are_said_to_be() -> None:
    said = {"nano": 1, "micro": 6, "small": 28, "medium": 90, "base": 310, "large": 1_100}
    vocabularies = {"nano": 1_024, "micro": 4_096, "small": 8_192}
    for name, millions in said.items():
        found = SIZES[name].parameters(vocabularies.get(name, 16_384)) / 1e6
        assert found == pytest.approx(millions, rel=0.15), name
