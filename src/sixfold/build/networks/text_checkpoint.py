"""A checkpoint's encoder of texts with a head of its own, and low-rank adapters beside its products.

Mean pooling over the tokens: Reimers and Gurevych, Sentence-BERT, 2019. Low-rank adapters: Hu and others, LoRA, 2021.

Shape letters: B texts, L tokens, D width, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from sixfold.build.networks.text_encoder import MASKED, mean_over_tokens
from sixfold.parts.checkpoint import CheckpointShape
from sixfold.parts.state import State
from sixfold.train.network import Scheme

ROBERTA: Final = "roberta"  # its places begin behind that of the padding
WITHOUT_KINDS: Final = frozenset({"distilbert"})  # of tokens: first or second text


@dataclass(frozen=True)
class TunedShape(State):
    """`digest`: of the folder that the encoder came from; `dropout`: before the head."""

    encoder: CheckpointShape
    digest: str
    outputs: int
    dropout: float

    @property
    def padding(self) -> int:
        """The place of the padding in the checkpoint's own order of tokens; in ours it is the first one."""
        return int(self.encoder.fields.get("pad_token_id") or 0)

    @property
    def first_place(self) -> int:
        """Of a text's first token among the vectors of places."""
        return self.padding + 1 if self.encoder.kind == ROBERTA else 0

    @property
    def longest(self) -> int:
        """Tokens of a text at most."""
        return int(self.encoder.fields.get("max_position_embeddings", 512)) - self.first_place


class TunedEncoder(nn.Module):
    """Tokens → the encoder of a checkpoint → the mean over the tokens of its last layer → dropout → a linear head."""

    def __init__(self, shape: TunedShape, encoder: nn.Module) -> None:
        super().__init__()
        self.shape, self.encoder = shape, encoder
        table: Any = encoder.get_input_embeddings()  # type: ignore[operator]
        table.padding_idx = 0
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.dropout, self.head = nn.Dropout(shape.dropout), nn.Linear(width, shape.outputs)
        places = torch.arange(shape.first_place, shape.first_place + shape.longest)[None]
        self.register_buffer("places", places, persistent=False)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """The head is filled by `initialize`; adapters as in their paper; what the checkpoint brought stays."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, LowRank):
                    module.start(generator)
        return frozenset(name for name, _ in self.named_parameters() if not name.startswith("head."))

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L], 0 behind a text's end → [B, K]."""
        here_BL = (tokens_BL != 0).to(self.head.weight.dtype)
        bias = ((1.0 - here_BL) * MASKED)[
            :, None, None, :
        ]  # added to scores as it is: a mask of [B, L] is converted first
        places = self.places[:, : tokens_BL.shape[1]]  # type: ignore[index]
        kinds = {} if self.shape.encoder.kind in WITHOUT_KINDS else {"token_type_ids": torch.zeros_like(places)}
        states = self.encoder(input_ids=tokens_BL, attention_mask=bias, position_ids=places, **kinds).last_hidden_state
        return self.head(self.dropout(mean_over_tokens(states, here_BL)))  # type: ignore[no-any-return]


def padding_first(encoder: nn.Module, padding: int) -> nn.Module:
    """The encoder with the vector of its padding as the first one, in exchange; changed in place, as it was just read."""
    table: Any = encoder.get_input_embeddings()  # type: ignore[operator]
    order = torch.arange(len(table.weight))
    order[0], order[padding] = padding, 0
    with torch.no_grad():
        table.weight.copy_(table.weight[order])
    return encoder


class LowRank(nn.Module):
    """W x + b + (α / r) B A x, of which A and B are learned; B is 0 at first, so that nothing is changed yet."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.down = nn.Parameter(torch.zeros(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def start(self, generator: torch.Generator) -> None:
        """Fill A."""
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5), generator=generator)
        nn.init.zeros_(self.up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, inputs] → […, outputs]."""
        return self.linear(x) + self.scale * (x @ self.down.T) @ self.up.T  # type: ignore[no-any-return]

    def merged(self) -> nn.Linear:
        """The same as one product."""
        linear = self.linear
        with torch.no_grad():
            linear.weight += self.scale * self.up @ self.down
        return linear


def with_adapters(module: nn.Module, rank: int, alpha: float) -> nn.Module:
    """The module with an adapter beside each of its products; its own weights stay as they are. In place."""
    module.requires_grad_(False)
    for parent, name, child in list(_children(module)):
        if isinstance(child, nn.Linear):
            setattr(parent, name, LowRank(child, rank, alpha))
    return module


def without_adapters(module: nn.Module) -> nn.Module:
    """The module with each adapter merged into its product: as large and as fast as before. In place."""
    for parent, name, child in list(_children(module)):
        if isinstance(child, LowRank):
            setattr(parent, name, child.merged())
    return module.requires_grad_(True)


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child
