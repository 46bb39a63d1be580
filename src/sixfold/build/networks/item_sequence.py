"""Items in the order of time → layers of attention that see what came before → how likely each next one is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sixfold.bundle.recommend.sequence_scorer import MASKED, PAD
from sixfold.train.network import Scheme
from sixfold.train.starting import norm_parameters

PLACES: Final = 0.02  # standard deviation of the first vectors of places


@dataclass(frozen=True)
class SequenceShape:
    """`items` that are known; sequences of at most `length`."""

    items: int
    length: int
    width: int
    heads: int
    layers: int
    dropout: float = 0.0


class ItemSequence(nn.Module):
    """The transformer of Kang and McAuley (2018), norms first, with the cross-entropy of each next item over
    negatives that are drawn, as many as stand for all items (Klenitskiy and Vasilev, 2023).

    `forward` takes int64 [B, 2 · length + negatives]: the items before each place (the code `items` is the
    start), those that come there (PAD: none), and negatives; and gives the loss of each place, [B, length].
    """

    def __init__(self, shape: SequenceShape) -> None:
        super().__init__()
        self.shape = shape
        self.vectors = nn.Parameter(torch.zeros(shape.items + 1, shape.width))
        self.places = nn.Parameter(torch.zeros(shape.length, shape.width))
        self.dropout = nn.Dropout(shape.dropout)
        self.layers = nn.ModuleList(SequenceLayer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Scores start with a variance of about 1; norms keep their own start."""
        with torch.no_grad():
            self.vectors.normal_(std=self.shape.width**-0.5, generator=generator)
            self.places.normal_(std=PLACES, generator=generator)
        return norm_parameters(self) | {"vectors", "places"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As above."""
        length = self.shape.length
        before, wanted, negatives = x[:, :length], x[:, length : 2 * length], x[:, 2 * length :]
        states = self.states(before)
        right = self.vectors[wanted.clamp(min=0)]
        positive = (states * right).sum(dim=2)
        others = states @ self.vectors[negatives].transpose(1, 2)
        others = others + math.log(max(1, self.shape.items - 1) / negatives.shape[1])
        same = negatives[:, None, :] == wanted[:, :, None]
        others = torch.where(same, torch.full_like(others, MASKED), others)
        every = torch.cat([positive[..., None], others], dim=2)
        return torch.logsumexp(every, dim=2) - positive

    def states(self, before: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] → [B, L, width]"""
        there = before != PAD
        x = self.dropout(self.vectors[before.clamp(min=0)] + self.places)
        length = before.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        allowed = (past & there[:, None, :]).to(x.dtype)
        mask = ((1.0 - allowed) * MASKED)[:, None]
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)  # type: ignore[no-any-return]

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """What it learned, by the names of the bundle; of layers stacked, [layers, in, out]."""
        own = {name: value.detach().numpy() for name, value in self.named_parameters()}
        found: dict[str, Any] = {
            "item_factors": own["vectors"][:-1],
            "sequence_start": own["vectors"][-1],
            "sequence_positions": own["places"],
            "sequence_final_norm": own["norm.weight"],
            "sequence_final_shift": own["norm.bias"],
        }
        for name, parameter in LAYER.items():
            each = [own[f"layers.{at}.{parameter}"] for at in range(self.shape.layers)]
            found[f"sequence_{name}"] = np.stack([one.T for one in each])
        return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """In place: what `arrays` gave."""
        own = dict(self.named_parameters())
        with torch.no_grad():
            items, start = arrays["item_factors"], arrays["sequence_start"]
            own["vectors"].copy_(torch.from_numpy(np.concatenate([items, start[None]])))
            own["places"].copy_(torch.from_numpy(arrays["sequence_positions"].copy()))
            own["norm.weight"].copy_(torch.from_numpy(arrays["sequence_final_norm"].copy()))
            own["norm.bias"].copy_(torch.from_numpy(arrays["sequence_final_shift"].copy()))
            for name, parameter in LAYER.items():
                for at in range(self.shape.layers):
                    array = np.ascontiguousarray(arrays[f"sequence_{name}"][at].T)
                    own[f"layers.{at}.{parameter}"].copy_(torch.from_numpy(array))


LAYER: Final = {  # array of a layer → its parameter
    "norm_1": "before_attention.weight",
    "shift_1": "before_attention.bias",
    "attention_in": "query_key_value.weight",
    "attention_in_bias": "query_key_value.bias",
    "attention_out": "joined.weight",
    "attention_out_bias": "joined.bias",
    "norm_2": "before_product.weight",
    "shift_2": "before_product.bias",
    "wide": "wide.weight",
    "wide_bias": "wide.bias",
    "narrow": "narrow.weight",
    "narrow_bias": "narrow.bias",
}


class SequenceLayer(nn.Module):
    """Attention to what came before, then two products with a GELU between them, each added to what came in."""

    def __init__(self, shape: SequenceShape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.before_attention, self.before_product = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, L, width], and what is added to the scores of attention."""
        x = x + self.dropout(self._attended(self.before_attention(x), mask))
        h = functional.gelu(self.wide(self.before_product(x)), approximate="tanh")
        return x + self.dropout(self.narrow(h))  # type: ignore[no-any-return]

    def _attended(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        length, width = x.shape[1], x.shape[2]
        query, key, value = (
            part.reshape(-1, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=2)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads) + mask
        attended = (scores.softmax(dim=3) @ value).transpose(1, 2).reshape(-1, length, width)
        return self.joined(attended)  # type: ignore[no-any-return]
