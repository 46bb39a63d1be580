"""What is connected in a decoder of the Llama kind (llama, mistral, qwen2, qwen3): the rows and
columns of a layer's matrices that belong to one unit, and go when it goes.

A unit is a group of query heads with the one head of keys and values that they share, or a channel
of the gated perceptron: one output of `gate_proj` and `up_proj`, one input of `down_proj`. All layers
keep equally many, so that one number in the configuration says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import nn

from sixfold.parts.gguf_blocks import GROUP

Kind = Literal["heads", "channels"]
# What makes and what reads a layer's units; every other matrix stays as it is.
READERS: Final[Mapping[Kind, str]] = {"heads": "self_attn.o_proj", "channels": "mlp.down_proj"}
# The matrices of a layer in the order in which they are computed; those of one line read the same.
STAGES: Final = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


class UnitPart(NamedTuple):
    """Neighboring indices along `axis` of one matrix of a layer: `width` of them a unit. Axis 0 has
    a bias of the same length, where there is one.
    """

    linear: str
    axis: Literal[0, 1]
    width: int


@dataclass(frozen=True)
class DecoderShape:
    """Numbers of a model's configuration, per layer where it has layers."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    channels: int

    @classmethod
    def of(cls, module: nn.Module) -> DecoderShape:
        """Of a causal model of transformers."""
        fields = configuration(module)
        heads = int(fields["num_attention_heads"])
        width = int(fields["hidden_size"])
        return cls(
            int(fields["num_hidden_layers"]),
            width,
            heads,
            int(fields.get("num_key_value_heads") or heads),
            int(fields.get("head_dim") or width // heads),
            int(fields["intermediate_size"]),
        )

    @property
    def queries(self) -> int:
        """Query heads that share one head of keys and values."""
        return self.heads // self.kv_heads

    def units(self, kind: Kind) -> int:
        """How many of them a layer has. Of one head of keys and values, the query heads are the
        units, and it stays.
        """
        if kind == "channels":
            return self.channels
        return self.heads if self.kv_heads == 1 else self.kv_heads

    def fits(self, kind: Kind, units: int) -> bool:
        """Whether a standard configuration can have `units` of them: Llama's wants a width that is a
        multiple of the number of heads. What reads them stays in whole blocks of 32 where it is, as
        other matrices cannot have few bits.
        """
        if not 0 < units <= self.units(kind):
            return False
        each = self.parts(kind)[-1].width
        whole = self.units(kind) * each % GROUP != 0 or units * each % GROUP == 0
        heads = self.fields(kind, units).get("num_attention_heads", self.heads)
        return whole and self.width % heads == 0

    def share(self, kind: Kind, ratio: float) -> int:
        """How many units stay where the share `ratio` of them goes, in (0, 1): of the numbers that
        fit, the nearest; all where no smaller one fits.
        """
        every = self.units(kind)
        fitting = [units for units in range(1, every) if self.fits(kind, units)]
        return min(fitting, key=lambda units: abs(units - every * (1 - ratio)), default=every)

    def parts(self, kind: Kind) -> tuple[UnitPart, ...]:
        """Of unit number u: indices u · width up to (u + 1) · width of each."""
        if kind == "channels":
            made = (UnitPart("mlp.gate_proj", 0, 1), UnitPart("mlp.up_proj", 0, 1))
            return (*made, UnitPart(READERS[kind], 1, 1))
        each = self.head_width
        queries = each if self.kv_heads == 1 else each * self.queries
        shared = () if self.kv_heads == 1 else ("self_attn.k_proj", "self_attn.v_proj")
        made = (UnitPart("self_attn.q_proj", 0, queries), *(UnitPart(n, 0, each) for n in shared))
        return (*made, UnitPart(READERS[kind], 1, queries))

    def fields(self, kind: Kind, units: int) -> dict[str, int]:
        """What the configuration says of a model that has `units` of them in every layer."""
        if kind == "channels":
            return {"intermediate_size": units}
        kept = {"head_dim": self.head_width}  # no longer the width divided by the heads
        if self.kv_heads == 1:
            return {**kept, "num_attention_heads": units}
        heads = {"num_attention_heads": units * self.queries, "num_key_value_heads": units}
        return {**kept, **heads}


def configuration(module: nn.Module) -> dict[str, Any]:
    """All fields of a model's configuration, those with their defaults, too."""
    config: Any = module.config
    return dict(config.to_dict())


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The decoder's layers, first to last."""
    return list(module.get_submodule("model.layers").children())


def linear(layer: nn.Module, name: str) -> nn.Linear:
    """The matrix of that name in a layer."""
    found = layer.get_submodule(name)
    if not isinstance(found, nn.Linear):
        raise TypeError(f"{name} is a {type(found).__name__}, not a linear layer")
    return found


def reading_columns(shape: DecoderShape, kind: Kind, units: torch.Tensor) -> torch.Tensor:
    """Columns of the matrix that reads these units: int64 [units · width]."""
    width = shape.parts(kind)[-1].width
    return (units[:, None] * width + torch.arange(width)).reshape(-1)
