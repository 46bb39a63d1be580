"""A convolutional network over the tokens of a text: Kim, Convolutional neural networks for
sentence classification, 2014.

Shape letters: B texts, L tokens, E width of a token's vector, C channels of a filter width, K
outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sixfold.parts.state import State
from sixfold.train.network import Scheme

VECTOR_START = 0.15  # standard deviation: that of Kim's uniform numbers from -0.25 to 0.25


@dataclass(frozen=True)
class ConvolutionShape(State):
    """`tokens`: different ones, 0 among them, which is padding; `vector`: numbers a token;
    `channels`: filters of each of `widths`, in tokens.
    """

    tokens: int
    outputs: int
    vector: int
    channels: int
    widths: tuple[int, ...]
    dropout: float = 0.0


class TextCNN(nn.Module):
    """Vectors of tokens → filters of several widths → the largest answer of each anywhere in the
    text → outputs.

    Token 0 is padding: no filter that touches only padding is looked at, so that padding changes no
    answer.
    """

    def __init__(self, shape: ConvolutionShape) -> None:
        super().__init__()
        self.shape, vector, channels = shape, shape.vector, shape.channels
        self.vectors = nn.Embedding(shape.tokens, vector, padding_idx=0)
        self.filters = nn.ModuleList(
            nn.Conv1d(vector, channels, width, padding=width - 1) for width in shape.widths
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(channels * len(shape.widths), shape.outputs)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Vectors as Kim starts those that nobody trained before, about; that of the padding is 0
        and stays so.
        """
        with torch.no_grad():
            self.vectors.weight.normal_(std=VECTOR_START, generator=generator)
            self.vectors.weight[0] = 0.0
        return frozenset({"vectors.weight"})

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] → [B, K]; a text without tokens has the features 0."""
        x_BEL = self.vectors(tokens_BL).transpose(1, 2)
        pairs = zip(self.filters, self.shape.widths, strict=True)
        found = [
            torch.relu(filtered(x_BEL)) * _touched(tokens_BL, width) for filtered, width in pairs
        ]
        h_B = torch.cat([answers.amax(dim=2) for answers in found], dim=1)
        return self.head(self.dropout(h_B))  # type: ignore[no-any-return]


def _touched(tokens_BL: torch.Tensor, width: int) -> torch.Tensor:
    """[B, 1, L + width - 1] 1 where a filter sees a token, 0 where it sees padding alone; its
    answers there are at least 0.
    """
    here = (tokens_BL != 0).to(torch.float32).unsqueeze(1)
    padded = torch.nn.functional.pad(here, (width - 1, width - 1))
    length = here.shape[2] + width - 1
    seen = padded[:, :, :length]
    for start in range(1, width):
        seen = torch.maximum(seen, padded[:, :, start : start + length])
    return seen
