"""Whisper checkpoints with random weights, as transformers saves them with what lies beside them: small enough
for tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

RATE = 16_000
BYTES = sorted(ByteLevel.alphabet())
MERGES = [("Ġ", "a"), ("Ġ", "e"), ("a", "e")]
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|notimestamps|>",
    "<|0.00|>",
]
PIECES = [*BYTES, *(one + other for one, other in MERGES)]
NUMBERS = {name: number for number, name in enumerate([*PIECES, *SPECIAL])}
END, START = NUMBERS["<|endoftext|>"], NUMBERS["<|startoftranscript|>"]
SIZES: dict[str, Any] = {
    "vocab_size": len(NUMBERS),
    "num_mel_bins": 80,
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 20,
    "max_source_positions": 50,
    "max_target_positions": 24,
    "init_std": 0.3,
    "pad_token_id": END,
    "bos_token_id": END,
    "eos_token_id": END,
    "decoder_start_token_id": START,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
GENERATED: dict[str, Any] = {
    "suppress_tokens": [NUMBERS["("], NUMBERS[")"]],
    "begin_suppress_tokens": [NUMBERS["Ġ"], END],
    "is_multilingual": True,
    "lang_to_id": {name: NUMBERS[name] for name in ("<|en|>", "<|de|>")},
    "task_to_id": {name: NUMBERS[f"<|{name}|>"] for name in ("translate", "transcribe")},
    "no_timestamps_token_id": NUMBERS["<|notimestamps|>"],
}


def extractor(bands: int = 80, seconds: int = 1) -> WhisperFeatureExtractor:
    """As is published, of a second."""
    return WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds)


def tokenizer() -> Tokenizer:
    """Bytes, three pairs, and what stands for no text."""
    numbers = {name: NUMBERS[name] for name in PIECES}
    made = Tokenizer(BPE(numbers, MERGES))
    made.pre_tokenizer, made.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made


def write(
    folder: Path,
    seed: int = 0,
    *,
    parts: bool = False,
    told: dict[str, Any] | None = None,
    **sizes: Any,
) -> WhisperForConditionalGeneration:
    """Save a checkpoint; returns transformers' model. `parts`: its tokenizer as vocab.json and merges.txt;
    `told`: what generation_config.json says.
    """
    config = WhisperConfig(**{**SIZES, **sizes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # those of the start are all alike
                torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.1)
    found = {**GENERATED, **(told or {})}
    given = {
        name: SIZES[name] for name in ("eos_token_id", "pad_token_id", "decoder_start_token_id")
    }
    model.generation_config = GenerationConfig(**given, **found)
    model.save_pretrained(folder)
    extractor(config.num_mel_bins, config.max_source_positions // 50).save_pretrained(folder)
    if parts:
        pieces = {name: NUMBERS[name] for name in PIECES}
        (folder / "vocab.json").write_text(json.dumps(pieces))
        lines = ["#version: 0.2", *(f"{one} {other}" for one, other in MERGES)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
        special = {name: NUMBERS[name] for name in SPECIAL}
        (folder / "added_tokens.json").write_text(json.dumps(special))
    else:
        tokenizer().save(str(folder / "tokenizer.json"))
    return model.eval()
