"""What of a checkpoint a GGUF file can hold, and how it is called there: asked before anything is trained, and when
the file is written. What its readers would compute otherwise than transformers is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError
from sixfold.recipe.model_context import context_of

# Architectures by the `model_type` of config.json: the name that GGUF has for each.
ARCHITECTURES: Final = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
INTERLEAVED: Final = "llama"  # whose query and key are rotated in pairs
NEEDED: Final = (  # every configuration that transformers saved has them
    "num_attention_heads",
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "rms_norm_eps",
)
# Of a layer: the checkpoint's name → the file's.
LAYER: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE: Final = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
FACTORS: Final = (
    "rope_freqs.weight"  # what the speeds of a `llama3` are divided by, as llama.cpp has it
)
# Kinds of a rotary embedding, with the numbers that each has besides its base; the file holds no others exactly.
SCALED: Final[Mapping[str, tuple[str, ...]]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
REMEDY: Final = "Take another checkpoint: a bundle could not serve this one exactly."


@dataclass(frozen=True)
class GgufShape:
    """The numbers of a config.json that the file holds."""

    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    config: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> GgufShape:
        """Raises DataError for what the file's readers would compute otherwise."""
        architecture = ARCHITECTURES.get(str(config.get("model_type")))
        if architecture is None:
            known = ", ".join(ARCHITECTURES)
            raise _refused("model_type", f"one of {known}", repr(config.get("model_type")))
        missing = next((name for name in NEEDED if name not in config), None)
        if missing is not None:
            raise _refused(missing, "the field", "none")
        heads = int(config["num_attention_heads"])
        found = cls(
            architecture=architecture,
            layers=int(config["num_hidden_layers"]),
            width=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_width=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            config=config,
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises DataError."""
        rotary = self.rotary()
        kind = rotary["rope_type"]
        # llama.cpp reads the factors of a `llama3` for its llama alone.
        known = [each for each in SCALED if each != "llama3" or self.architecture == INTERLEAVED]
        if kind not in known:
            raise _refused("rope_parameters.rope_type", f"one of {', '.join(known)}", repr(kind))
        for name in SCALED[kind]:
            value = rotary.get(name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise _refused(f"rope_parameters.{name}", "a number above 0", repr(value))
        if kind == "llama3" and rotary["low_freq_factor"] >= rotary["high_freq_factor"]:
            expected = f"more than low_freq_factor, {rotary['low_freq_factor']}"
            found = rotary["high_freq_factor"]
            raise _refused("rope_parameters.high_freq_factor", expected, found)
        part = rotary.get("partial_rotary_factor") or self.config.get("partial_rotary_factor")
        if part not in (None, 1):
            raise _refused("partial_rotary_factor", "1", part)
        if self.config.get("hidden_act", "silu") != "silu":
            raise _refused("hidden_act", "silu", repr(self.config["hidden_act"]))

    def rotary(self) -> dict[str, Any]:
        """Of the rotary embedding: transformers 5 has `rope_parameters`, 4 had two other keys."""
        found = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        theta = found.get("rope_theta") or self.config.get("rope_theta") or 10_000.0
        kind = found.get("rope_type") or found.get("type") or "default"
        return {**found, "rope_theta": float(theta), "rope_type": kind}

    def factors(self) -> npt.NDArray[np.float32] | None:
        """[half a head] by what the speeds of the rotary embedding of a `llama3` are divided; None for any
        other: 1 for fast pairs, `factor` for slow ones, in between both in parts (Grattafiori and others,
        The Llama 3 herd of models, 2024; transformers' `rope_type: llama3`).
        """
        rotary = self.rotary()
        if rotary["rope_type"] != "llama3":
            return None
        factor, low, high, old = (float(rotary[name]) for name in SCALED["llama3"])
        speeds = rotary["rope_theta"] ** -(np.arange(0, self.head_width, 2) / self.head_width)
        turns = old * speeds / (2 * math.pi)  # of a pair over the context before it was lengthened
        share = np.clip((turns - low) / (high - low), 0.0, 1.0)
        return np.asarray(1 / ((1 - share) / factor + share), dtype=np.float32)

    @property
    def context(self) -> int:
        """The most tokens that a text may have."""
        return context_of(self.config)

    def possible_names(self) -> dict[str, str]:
        """Of every tensor that such a model may have: the checkpoint's name → the file's."""
        found = dict(WHOLE)
        if self.config.get("tie_word_embeddings", False):
            found.pop("lm_head.weight")
        for layer in range(self.layers):
            for checkpoint, own in LAYER.items():
                for end in ("weight", "bias"):
                    name = f"model.layers.{layer}.{checkpoint}.{end}"
                    found[name] = f"blk.{layer}.{own}.{end}"
        return found

    def needed(self) -> set[str]:
        """Names without which no text can be computed."""
        always = [each for each in LAYER if not each.endswith((".q_norm", ".k_norm"))]
        each_layer = LAYER if self.architecture == "qwen3" else always
        found = {"model.embed_tokens.weight", "model.norm.weight"}
        if not self.config.get("tie_word_embeddings", False):
            found.add("lm_head.weight")
        return found | {
            f"model.layers.{layer}.{name}.weight"
            for layer in range(self.layers)
            for name in each_layer
        }

    def heads_of(self, name: str) -> int | None:
        """Heads whose rows are interleaved in the file; None: the tensor stands as it is."""
        if self.architecture != INTERLEAVED:
            return None
        if ".q_proj." in name:
            return self.heads
        return self.kv_heads if ".k_proj." in name else None


def check_tokenizer(described: Mapping[str, Any]) -> None:
    """Of a tokenizer.json: pairs of bytes, or of characters with bytes for those that it lacks, as
    SentencePiece's. Raises DataError.
    """
    model = described.get("model")
    model = model if isinstance(model, dict) else {}
    if model.get("type") != "BPE":
        raise DataError("tokenizer.json: model.type", "BPE", repr(model.get("type")), REMEDY)
    if not is_byte_level(described) and not model.get("byte_fallback", False):
        expected, where = (
            "ByteLevel, or a model with byte_fallback",
            "tokenizer.json: pre_tokenizer",
        )
        raise DataError(where, expected, str(described.get("pre_tokenizer"))[:100], REMEDY)


def is_byte_level(described: Mapping[str, Any]) -> bool:
    """Whether the letters of its tokens stand for bytes, as GPT-2's."""
    found = described.get("pre_tokenizer") or {}
    parts = [found, *found.get("pretokenizers", ())]
    return any(each.get("type") == "ByteLevel" for each in parts)


def _refused(where: str, expected: str, found: object) -> DataError:
    return DataError(f"config.json: {where}", expected, str(found), REMEDY)
