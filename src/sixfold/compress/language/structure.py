"""What is connected in a decoder of the Llama kind (llama, mistral, qwen2, qwen3): the rows and
columns of a layer's matrices that belong to one unit, and go when it goes.

A unit is a group of query heads with the one head of keys and values that they share, or a channel
of the gated MLP: one output of `gate_proj` and `up_proj`, one input of `down_proj`. All layers keep
equally many, so that one number in config.json says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
from torch import nn

from sixfold.parts.gguf_blocks import GROUP
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.table import IntArray

UnitKind = Literal["heads", "channels"]
LAYERS: Final = "model.layers."  # what the names of a layer's arrays begin with
# What reads a layer's units and adds to the stream between the layers.
READERS: Final[Mapping[UnitKind, str]] = {"heads": "self_attn.o_proj", "channels": "mlp.down_proj"}
# The matrices of a layer in the order in which they are computed; those of one line read the same.
STAGES: Final = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


class UnitPart(NamedTuple):
    """Neighboring indices along `axis` of one matrix of a layer: `width` of them a unit. To axis 0
    belongs a bias of the same length, where there is one.
    """

    matrix: str
    axis: Literal[0, 1]
    width: int

    def indices(self, units: IntArray) -> IntArray:
        """int64 [units · width]."""
        return (units[:, None] * self.width + np.arange(self.width)).reshape(-1)


class DecoderShape(NamedTuple):
    """Numbers of a config.json; heads and channels are those of one layer."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    channels: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Of the fields of a configuration."""
        heads, width = int(fields["num_attention_heads"]), int(fields["hidden_size"])
        return cls(
            int(fields["num_hidden_layers"]),
            width,
            heads,
            int(fields.get("num_key_value_heads") or heads),
            int(fields.get("head_dim") or width // heads),
            int(fields["intermediate_size"]),
        )

    def units(self, kind: UnitKind) -> int:
        """How many of them a layer has. Where all query heads share one of keys and values, they are
        the units, and that one stays.
        """
        if kind == "channels":
            return self.channels
        return self.heads if self.kv_heads == 1 else self.kv_heads

    def parts(self, kind: UnitKind) -> tuple[UnitPart, ...]:
        """Of unit number u: indices u · width up to (u + 1) · width of each; what reads it is last."""
        reader = READERS[kind]
        if kind == "channels":
            gated = UnitPart("mlp.gate_proj", 0, 1), UnitPart("mlp.up_proj", 0, 1)
            return (*gated, UnitPart(reader, 1, 1))
        each = self.head_width
        queries = each if self.kv_heads == 1 else each * (self.heads // self.kv_heads)
        shared = () if self.kv_heads == 1 else ("self_attn.k_proj", "self_attn.v_proj")
        made = (UnitPart("self_attn.q_proj", 0, queries), *(UnitPart(n, 0, each) for n in shared))
        return (*made, UnitPart(reader, 1, queries))

    def fields(self, kind: UnitKind, units: int) -> dict[str, int]:
        """What config.json says of a model that has `units` of them in every layer."""
        if kind == "channels":
            return {"intermediate_size": units}
        kept = {"head_dim": self.head_width}  # no longer the width divided by the heads
        if self.kv_heads == 1:
            return {**kept, "num_attention_heads": units}
        queries = units * (self.heads // self.kv_heads)
        return {**kept, "num_attention_heads": queries, "num_key_value_heads": units}

    def fits(self, kind: UnitKind, units: int) -> bool:
        """Whether a standard configuration can have `units` of them: Llama's wants a width that is a
        multiple of the number of heads. And what reads them stays in whole blocks of 32, where it is,
        as other matrices cannot have few bits.
        """
        if not 0 < units <= self.units(kind):
            return False
        each = self.parts(kind)[-1].width
        whole = self.units(kind) * each % GROUP != 0 or units * each % GROUP == 0
        heads = self.fields(kind, units).get("num_attention_heads", self.heads)
        return whole and self.width % heads == 0

    def share(self, kind: UnitKind, ratio: float) -> int:
        """How many units stay where the share `ratio` of them goes, in (0, 1): of the numbers that
        fit, the nearest; all where no smaller one fits.
        """
        every = self.units(kind)
        fitting = [units for units in range(1, every) if self.fits(kind, units)]
        return min(fitting, key=lambda units: abs(units - every * (1 - ratio)), default=every)


def layers_of(network: PackedNetwork) -> list[nn.Module]:
    """The decoder's layers, first to last."""
    decoder: nn.Module = network.network
    return list(decoder.get_submodule("model.layers").children())


def matrix(layer: nn.Module, name: str) -> nn.Linear:
    """The matrix of that name in a layer. Raises TypeError where it is none."""
    found = layer.get_submodule(name)
    if not isinstance(found, nn.Linear):
        raise TypeError(f"{name} is a {type(found).__name__}, not a linear layer")
    return found
