"""What of a checkpoint a GGUF file can hold, and how it is called there: asked before anything is trained, and when
the file is written. What its readers would compute otherwise than transformers is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

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
        if rotary.get("rope_type", "default") != "default":
            raise _refused("rope_parameters.rope_type", "default", repr(rotary["rope_type"]))
        if self.config.get("hidden_act", "silu") != "silu":
            raise _refused("hidden_act", "silu", repr(self.config["hidden_act"]))

    def rotary(self) -> dict[str, Any]:
        """Of the rotary embedding: transformers 5 has `rope_parameters`, 4 had two other keys."""
        found = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        theta = found.get("rope_theta") or self.config.get("rope_theta") or 10_000.0
        kind = found.get("rope_type") or found.get("type") or "default"
        return {**found, "rope_theta": float(theta), "rope_type": kind}

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
    """Of a tokenizer.json: byte-level BPE, which the runtime of a bundle opens (OpenVINO GenAI 2026.4
    opens no other). Raises DataError.
    """
    model = described.get("model")
    model = model if isinstance(model, dict) else {}
    if model.get("type") != "BPE" or model.get("byte_fallback", False):
        found = "SentencePiece's" if model.get("byte_fallback") else repr(model.get("type"))
        raise DataError("tokenizer.json: model.type", "byte-level BPE", found, REMEDY)


def _refused(where: str, expected: str, found: object) -> DataError:
    return DataError(f"config.json: {where}", expected, str(found), REMEDY)
