"""A small transformer over the tokens of a text: Vaswani and others, Attention is all you need,
2017; the norms before each block (Xiong and others, On layer normalization in the transformer
architecture, 2020), which needs no warm-up.

Shape letters: B texts, L tokens, D width, H heads, K outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.state import State
from sixfold.train.network import Scheme
from sixfold.train.starting import norm_parameters

VECTOR_START = 0.02  # standard deviation
MASKED = -1e9  # added to the score of a padded token: its share is 0 in single precision


@dataclass(frozen=True)
class EncoderShape(State):
    """`tokens`: different ones, 0 among them, which is padding; `length`: of a text at most;
    `width`: a multiple of `heads`.
    """

    tokens: int
    length: int
    outputs: int
    width: int
    heads: int
    layers: int
    dropout: float = 0.0


class TextTransformer(nn.Module):
    """Vectors of tokens and of their places → layers of attention → the mean over the tokens →
    outputs.
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.vectors = nn.Embedding(shape.tokens, shape.width, padding_idx=0)
        self.places = nn.Parameter(torch.zeros(shape.length, shape.width))
        self.dropout = nn.Dropout(shape.dropout)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.outputs)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Vectors and places as BERT starts them; that of the padding is 0 and stays so. Norms keep
        their own start.
        """
        with torch.no_grad():
            for parameter in (self.vectors.weight, self.places):
                parameter.normal_(std=VECTOR_START, generator=generator)
            self.vectors.weight[0] = 0.0
        return norm_parameters(self) | {"vectors.weight", "places"}

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L], L at most `length` → [B, K]."""
        here_BL = (tokens_BL != 0).to(self.places.dtype)
        x_BLD = self.dropout(self.vectors(tokens_BL) + self.places[: tokens_BL.shape[1]])
        bias = ((1.0 - here_BL) * MASKED)[:, None, None, :]
        for layer in self.layers:
            x_BLD = layer(x_BLD, bias)
        return self.head(mean_over_tokens(self.norm(x_BLD), here_BL))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """Attention, then two products with a GELU between them, each added to what came in."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before_attention, self.before_product = (
            nn.LayerNorm(shape.width),
            nn.LayerNorm(shape.width),
        )
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.joined = nn.Linear(shape.width, shape.width)
        self.wide, self.narrow = (
            nn.Linear(shape.width, 4 * shape.width),
            nn.Linear(4 * shape.width, shape.width),
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_BLD: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        x_BLD = x_BLD + self.dropout(self._attended(self.before_attention(x_BLD), bias))
        h = functional.gelu(self.wide(self.before_product(x_BLD)), approximate="tanh")
        return x_BLD + self.dropout(self.narrow(h))  # type: ignore[no-any-return]

    def _attended(self, x_BLD: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Written out, so that it is exported as plain products."""
        length, width = x_BLD.shape[1], x_BLD.shape[2]
        shape = (-1, length, self.heads, width // self.heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2)
            for part in self.query_key_value(x_BLD).chunk(3, dim=2)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads) + bias
        attended = (scores.softmax(dim=3) @ value).transpose(1, 2).reshape(-1, length, width)
        return self.joined(attended)  # type: ignore[no-any-return]


def mean_over_tokens(x_BLD: torch.Tensor, here_BL: torch.Tensor) -> torch.Tensor:
    """[B, D]; of a text without tokens 0."""
    total = (x_BLD * here_BL.unsqueeze(2)).sum(dim=1)
    return total / here_BL.sum(dim=1, keepdim=True).clamp_min(1.0)
