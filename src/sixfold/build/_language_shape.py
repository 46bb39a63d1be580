"""The shape of a language model from scratch: presets, and a config.json of the kind llama.

Parameters are counted without the table of tokens where that is tied to the last product.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from sixfold.parts.text_tokenizer import TextTokenizer

HEAD: Final = 32  # width of a head is a multiple of it where nothing is said: a block of the served file's numbers
MLP_ROUND: Final = 32  # the MLP's width is a multiple of it, for the same reason
MLP: Final = (
    8 / 3
)  # times the width: as many weights as an MLP of two products and four times the width (Shazeer, 2020)
ROPE_BASE: Final = 10_000.0  # Su and others, RoFormer, 2021
NORM_EPSILON: Final = 1e-5
UNTIED_WIDTH: Final = 1_536  # from which on the last product has weights of its own
KEPT_AT_ONCE: Final = 1 << 27  # numbers that a part keeps for its gradients, or one window: 512 MB
# Held of each token for its gradients, in numbers: of a layer so many times the width, and the MLP's.
KEPT_WIDTHS, KEPT_MLP, KEPT_SCORES = 12, 4, 3


class LanguageShape(NamedTuple):
    """`kv_heads`: heads of keys and values, each shared by heads / kv_heads others (Ainslie and others,
    GQA, 2023); `mlp`: width of the gated MLP; `context`: tokens of a window. `head_width`: 0 for the
    width divided by the heads; `tied`: whether the last product has the table of tokens for its weights,
    None for by the width.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    mlp: int
    context: int
    head_width: int = 0
    tied: bool | None = None

    def config(self, tokenizer: TextTokenizer) -> str:
        """The text of config.json."""
        fields = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": tokenizer.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.width // self.heads,
            "max_position_embeddings": self.context,
            "rms_norm_eps": NORM_EPSILON,
            "rope_theta": ROPE_BASE,
            "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "initializer_range": 0.02,
            "tie_word_embeddings": self.width < UNTIED_WIDTH,
            "bos_token_id": tokenizer.start,
            "eos_token_id": tokenizer.end,
            "pad_token_id": tokenizer.padding,
            "dtype": "float32",
        }
        return json.dumps(fields, indent=1) + "\n"

    def parameters(self, vocabulary: int) -> int:
        """All of them."""
        head = self.head_width or self.width // self.heads
        attention = self.width * head * (2 * self.heads + 2 * self.kv_heads)
        layer = attention + 3 * self.width * self.mlp + 2 * self.width
        tied = self.width < UNTIED_WIDTH if self.tied is None else self.tied
        return self.layers * layer + self.width + (1 if tied else 2) * vocabulary * self.width


def shape_of_config(config: str, context: int) -> LanguageShape:
    """Of a checkpoint's configuration, its text."""
    fields = json.loads(config)
    heads = int(fields["num_attention_heads"])
    return LanguageShape(
        int(fields["num_hidden_layers"]),
        int(fields["hidden_size"]),
        heads,
        int(fields.get("num_key_value_heads") or heads),
        int(fields["intermediate_size"]),
        context,
        int(fields.get("head_dim") or 0),
        bool(fields.get("tie_word_embeddings", False)),
    )


# About 1, 6, 28, 90, 310 and 1,100 million parameters with the vocabularies that such texts have; the
# largest is TinyLlama's (Zhang and others, 2024).
SIZES: Final = {
    "nano": LanguageShape(4, 128, 4, 2, 384, 128),
    "micro": LanguageShape(6, 256, 8, 4, 704, 256),
    "small": LanguageShape(8, 512, 8, 4, 1_408, 512),
    "medium": LanguageShape(12, 768, 12, 4, 2_048, 1_024),
    "base": LanguageShape(24, 1_024, 16, 8, 2_816, 2_048),
    "large": LanguageShape(22, 2_048, 32, 4, 5_632, 2_048),
}
# Tokens of the training texts below which a size is chosen; guessed: twenty a parameter would be best
# for the time spent (Hoffmann and others, 2022), which few have.
TOKENS: Final = {"nano": 2_000_000, "micro": 30_000_000, "small": 500_000_000}


def derived_size(tokens: int) -> str:
    """By the number of tokens in the training texts."""
    return next((size for size, most in TOKENS.items() if tokens < most), "medium")


def derived_mlp(width: int) -> int:
    """Of a width that no preset has."""
    return max(MLP_ROUND, round(MLP * width / MLP_ROUND) * MLP_ROUND)


def derived_heads(width: int) -> int:
    """Heads of HEAD or 64 numbers, as far as the width can be divided so."""
    head = 64 if width >= 512 and width % 64 == 0 else HEAD
    return width // head if width % head == 0 else 1


def kept_numbers(shape: LanguageShape, vocabulary: int) -> int:
    """Numbers that a token keeps for its gradients."""
    layer = KEPT_WIDTHS * shape.width + KEPT_MLP * shape.mlp
    return shape.layers * layer + KEPT_SCORES * vocabulary


def windows_at_once(shape: LanguageShape, vocabulary: int, length: int) -> int:
    """Windows of `length` tokens of a part that go through the network together."""
    return max(1, KEPT_AT_ONCE // (length * kept_numbers(shape, vocabulary)))
