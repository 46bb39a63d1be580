"""A checkpoint of BERT's kind with random weights, as transformers would save it: small enough for
tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH, HEADS, LAYERS, INNER, PLACES = 16, 2, 2, 32, 32
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "free",
    "##dom",
    "great",
    "awful",
    *LETTERS,
    *(f"##{one}" for one in LETTERS),
]
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": len(PIECES),
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": PLACES,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {piece: place for place, piece in enumerate(PIECES)},
    },
}


def write(
    folder: Path, seed: int = 0, unit_norm: bool = True, pooling: str = "mean_tokens"
) -> Path:
    """The folder, filled."""
    rng, arrays = (
        np.random.default_rng(seed),
        dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]](),
    )

    def matrix(name: str, *shape: int) -> None:
        arrays[name] = rng.normal(size=shape, scale=0.3).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int) -> None:
        matrix(f"{name}.weight", outputs, inputs)
        matrix(f"{name}.bias", outputs)

    def norm(name: str) -> None:
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = (
            np.ones(WIDTH, np.float32),
            np.zeros(WIDTH, np.float32),
        )

    for name, rows in (("word", len(PIECES)), ("position", PLACES), ("token_type", 2)):
        matrix(f"embeddings.{name}_embeddings.weight", rows, WIDTH)
    norm("embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", WIDTH, WIDTH)
        linear(f"{layer}.attention.output.dense", WIDTH, WIDTH)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", WIDTH, INNER)
        linear(f"{layer}.output.dense", INNER, WIDTH)
        norm(f"{layer}.output.LayerNorm")
    (folder / "1_Pooling").mkdir(parents=True)
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    kinds = ["Transformer", "Pooling", *(["Normalize"] if unit_norm else [])]
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    return folder
