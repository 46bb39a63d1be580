"""A checkpoint's encoder of texts with a head of its own.

Mean pooling over the tokens: Reimers and Gurevych, Sentence-BERT, 2019.

Shape letters: B texts, L tokens, D width, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import nn

from sixfold.build.networks.text_encoder import MASKED, mean_over_tokens
from sixfold.parts.checkpoint import CheckpointShape
from sixfold.parts.state import State
from sixfold.train.adapters.adapt import learns_nothing, start_adapters
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
        """The place of the padding in the checkpoint's own order of tokens; in ours it is the first
        one.
        """
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
    """Tokens → the encoder of a checkpoint → the mean over the tokens of its last layer → dropout →
    a linear head.
    """

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
        """The head is filled by `initialize`; adapters as in their paper; what the checkpoint
        brought stays.
        """
        start_adapters(self, generator)
        return frozenset(
            name for name, _ in self.named_parameters() if not name.startswith("head.")
        )

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays as it is in evaluation: without dropout."""
        super().train(mode)
        if learns_nothing(self.encoder):
            self.encoder.eval()
        return self

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L], 0 behind a text's end → [B, K]."""
        here_BL = (tokens_BL != 0).to(self.head.weight.dtype)
        bias = ((1.0 - here_BL) * MASKED)[:, None, None, :]  # added as it is; a [B, L] is converted
        places = self.places[:, : tokens_BL.shape[1]]  # type: ignore[index]
        kinds = (
            {}
            if self.shape.encoder.kind in WITHOUT_KINDS
            else {"token_type_ids": torch.zeros_like(places)}
        )
        states = self.encoder(
            input_ids=tokens_BL, attention_mask=bias, position_ids=places, **kinds
        ).last_hidden_state
        return self.head(self.dropout(mean_over_tokens(states, here_BL)))  # type: ignore[no-any-return]


def padding_first(encoder: nn.Module, padding: int) -> nn.Module:
    """The encoder with the vector of its padding as the first one, in exchange; changed in place,
    as it was just read.
    """
    table: Any = encoder.get_input_embeddings()  # type: ignore[operator]
    order = torch.arange(len(table.weight))
    order[0], order[padding] = padding, 0
    with torch.no_grad():
        table.weight.copy_(table.weight[order])
    return encoder
