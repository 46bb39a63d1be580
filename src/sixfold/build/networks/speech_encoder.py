"""Spectrograms → convolutions → layers of attention → how probable each character is in every frame."""

# Shape letters: B recordings, M bands, T frames of a spectrogram, S frames of the network, W width, V symbols.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from sixfold.bundle.transcription.paths import BLANK
from sixfold.parts.state import State
from sixfold.train.network import Scheme
from sixfold.train.starting import norm_parameters

PLACES: Final = 0.02  # standard deviation of the first vectors of places
KERNEL: Final = 5  # frames that a convolution looks at


@dataclass(frozen=True)
class SpeechShape(State):
    """`bands` and `frames` of a spectrogram; `symbols`: blank and characters. `step`: frames of the
    spectrogram for one of the network.
    """

    bands: int
    frames: int
    symbols: int
    width: int
    convolutions: int
    layers: int
    heads: int
    step: int
    dropout: float = 0.0

    @property
    def steps(self) -> int:
        """Frames of the network, S."""
        return (self.frames - 1) // self.step + 1


class SpeechEncoder(nn.Module):
    """`forward` takes float [B, M, T] spectrograms and gives [B, S, V] scores. `mean`, `deviation`: of the
    values of the training spectrograms, learned without a gradient. `blank`: where the bias of the blank
    starts, over those of the other symbols.
    """

    def __init__(
        self, shape: SpeechShape, mean: float = 0.0, deviation: float = 1.0, blank: float = 0.0
    ) -> None:
        super().__init__()
        self.blank = blank
        self.mean: torch.Tensor
        self.factor: torch.Tensor
        self.shape = shape
        self.register_buffer("mean", torch.tensor([mean], dtype=torch.float32))
        self.register_buffer("factor", torch.tensor([1.0 / deviation], dtype=torch.float32))
        kernel = KERNEL if shape.step < 4 else 2 * shape.step + 1
        self.stem = nn.Conv1d(shape.bands, shape.width, kernel, shape.step, kernel // 2)
        self.convolutions = nn.ModuleList(
            SpeechConvolution(shape) for _ in range(shape.convolutions)
        )
        self.layers = nn.ModuleList(SpeechAttention(shape) for _ in range(shape.layers))
        if shape.layers:
            self.places = nn.Parameter(torch.zeros(shape.steps, shape.width))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.symbols)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Norms keep their own start; the blank is the most probable symbol; vectors of places start
        small.
        """
        filled = norm_parameters(self) | {"head.bias"}
        fill_biases(self.head, self.blank, biases, generator)
        if not self.shape.layers:
            return filled
        with torch.no_grad():
            self.places.normal_(std=PLACES, generator=generator)
        return filled | {"places"}

    def forward(self, x_BMT: torch.Tensor) -> torch.Tensor:
        """As above."""
        x = functional.gelu(self.stem((x_BMT - self.mean) * self.factor), approximate="tanh")
        x = x.transpose(1, 2)
        for block in self.convolutions:
            x = block(x)
        if self.shape.layers:
            x = x + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def fill_biases(head: nn.Linear, blank: float, biases: Scheme, generator: torch.Generator) -> None:
    """Those of a layer that scores symbols: by `initialize`, and `blank` more for the blank."""
    biases.fill(head.bias, generator)
    with torch.no_grad():
        head.bias[BLANK] += blank


class SpeechConvolution(nn.Module):
    """x + f(x): a norm, a convolution over time, and a product."""

    def __init__(self, shape: SpeechShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.over_time = nn.Conv1d(shape.width, shape.width, KERNEL, padding=KERNEL // 2)
        self.product = nn.Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_BSW: torch.Tensor) -> torch.Tensor:
        """[B, S, W] → [B, S, W]"""
        h = self.over_time(self.norm(x_BSW).transpose(1, 2)).transpose(1, 2)
        h = self.product(functional.gelu(h, approximate="tanh"))
        return x_BSW + self.dropout(h)  # type: ignore[no-any-return]


class SpeechAttention(nn.Module):
    """Attention to all frames, then two products with a GELU between them, each added to what came in (Vaswani
    and others, 2017; norms first).
    """

    def __init__(self, shape: SpeechShape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.before_attention, self.before_product = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_BSW: torch.Tensor) -> torch.Tensor:
        """[B, S, W] → [B, S, W]"""
        x = x_BSW + self.dropout(self._attended(self.before_attention(x_BSW)))
        h = functional.gelu(self.wide(self.before_product(x)), approximate="tanh")
        return x + self.dropout(self.narrow(h))  # type: ignore[no-any-return]

    def _attended(self, x: torch.Tensor) -> torch.Tensor:
        length, width = x.shape[1], x.shape[2]
        query, key, value = (
            part.reshape(-1, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=2)
        )
        scores = query @ key.transpose(2, 3) * (1 / math.sqrt(width // self.heads))
        attended = (scores.softmax(dim=3) @ value).transpose(1, 2).reshape(-1, length, width)
        return self.joined(attended)  # type: ignore[no-any-return]
