"""Checkpoints of transformers with random weights, as it saves them, and a tokenizer beside each:
small enough for tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)

import tiny_bert

TOKENS, WIDTH, LAYERS, HEADS, INNER, PLACES = len(tiny_bert.PIECES), 32, 2, 4, 48, 40
SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "max_position_embeddings": PLACES,
    "initializer_range": 0.2,
}
BYTES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
    "gr",
    "eat",
    "ea",
]
BYTE_PAIRS = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    },
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "vocab": {piece: place for place, piece in enumerate(BYTES)},
        "merges": ["g r", "e a", "ea t"],
    },
}
MODELS: dict[str, Any] = {
    "bert": lambda: BertModel(BertConfig(vocab_size=TOKENS, **SIZES)),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(
            vocab_size=TOKENS,
            dim=WIDTH,
            n_layers=LAYERS,
            n_heads=HEADS,
            hidden_dim=INNER,
            max_position_embeddings=PLACES,
            initializer_range=0.2,
        )
    ),
    "electra": lambda: ElectraModel(ElectraConfig(vocab_size=TOKENS, embedding_size=16, **SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(vocab_size=len(BYTES), **SIZES)),
}


def write(folder: Path, kind: str = "bert", **changed: Any) -> Path:
    """The folder, filled; `changed`: keys of its configuration."""
    torch.manual_seed(0)
    MODELS[kind]().save_pretrained(folder)
    tokenizer = BYTE_PAIRS if kind == "roberta" else tiny_bert.TOKENIZER
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return rewritten(folder, **changed)


def rewritten(folder: Path, **changed: Any) -> Path:
    """The same with other keys of its configuration."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return folder
