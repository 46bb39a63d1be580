"""What a user did and what is known of them → a vector; what an item is → a vector; their cosine → how likely it is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sixfold.bundle.recommend.sequence_scorer import PAD
from sixfold.bundle.recommend.tower_scorer import SMALL
from sixfold.train.network import Scheme

AT_ONCE: Final = 8_192  # items whose vectors are made at once
MASKED: Final = -1e9


@dataclass(frozen=True)
class TowerShape:
    """`length`: items of a history that a step reads; `negatives`: items of the batch that each row is compared with;
    `temperature`: cosines are divided by it; `dropout`: how often a step goes without a history, or an item's own vector.
    """

    length: int
    width: int
    hidden: int
    negatives: int
    temperature: float
    dropout: float


@dataclass(frozen=True)
class TowerFacts:
    """Of the training rows. `users`: float32 [users + 1, features], `items`: float32 [items, features], without columns
    where nothing is known; `shares`: float32 [items] of the interactions that are with each.
    """

    users: npt.NDArray[np.float32]
    items: npt.NDArray[np.float32]
    shares: npt.NDArray[np.float32]


class TwoTowers(nn.Module):
    """Softmax over the items of a batch, corrected by how often each is in one (Yi and others, 2019):

    s(x, y) = cos(u(x), v(y)) / temperature − ln p(y), where p(y) is the share of interactions that are with y.

    `forward` takes int64 [B, 2 + length + negatives]: a user, the item that is wanted, other items of the user (PAD: none), and
    items of the batch, the same ones in each row; and gives the loss of each row, [B].
    """

    user_facts: torch.Tensor
    item_facts: torch.Tensor
    correction: torch.Tensor

    def __init__(self, shape: TowerShape, facts: TowerFacts) -> None:
        super().__init__()
        self.shape = shape
        items, wide = facts.items.shape
        self.own = nn.Parameter(torch.zeros(items, shape.width))
        self.histories = nn.Parameter(torch.zeros(items, shape.width))
        self.user_wide = nn.Linear(shape.width + facts.users.shape[1], shape.hidden)
        self.user_narrow = nn.Linear(shape.hidden, shape.width)
        self.item_wide = nn.Linear(wide, shape.hidden) if wide else None
        self.item_narrow = nn.Linear(shape.hidden, shape.width) if wide else None
        self.register_buffer("user_facts", torch.from_numpy(facts.users.copy()))
        self.register_buffer("item_facts", torch.from_numpy(facts.items.copy()))
        rare = np.log(np.maximum(facts.shares, np.finfo(np.float32).tiny))
        self.register_buffer("correction", torch.from_numpy(rare.astype(np.float32)))

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """An item nobody had stays without a vector of its own: its features alone say what it is."""
        with torch.no_grad():
            for table in (self.own, self.histories):
                table.normal_(std=self.shape.width**-0.5, generator=generator)
                table[self._unseen()] = 0
        return frozenset({"own", "histories"})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As above."""
        end = 2 + self.shape.length
        users, wanted, before, others = x[:, 0], x[:, 1], x[:, 2:end], x[0, end:]
        vectors = self.user_vectors(users, self._means(before))
        right = (vectors * self.item_vectors(wanted)).sum(dim=1)
        scores = vectors @ self.item_vectors(others).T / self.shape.temperature
        scores = scores - self.correction[others]
        right = right / self.shape.temperature - self.correction[wanted]
        same = others[None, :] == wanted[:, None]
        scores = torch.where(same, torch.full_like(scores, MASKED), scores)
        return torch.logsumexp(torch.cat([right[:, None], scores], dim=1), dim=1) - right

    def user_vectors(self, users: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """[B, width] of codes and means of histories."""
        read = torch.cat([means, self.user_facts[users]], dim=1)
        hidden = functional.relu(self.user_wide(read))
        return functional.normalize(self.user_narrow(hidden), dim=1, eps=SMALL)

    def item_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """[items, width] of codes."""
        found = self.own[items]
        if self.item_wide is not None and self.item_narrow is not None:
            found = self._without_some(found)
            hidden = functional.relu(self.item_wide(self.item_facts[items]))
            found = found + self.item_narrow(hidden)
        return functional.normalize(found, dim=1, eps=SMALL)

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """What it learned, by the names of the bundle: of items the vectors that the tower makes."""
        with torch.no_grad():
            codes = torch.split(torch.arange(len(self.own)), AT_ONCE)
            items = torch.cat([self.item_vectors(some) for some in codes])
        found: dict[str, Any] = {
            "item_factors": items,
            "history_factors": self.histories.detach(),
            "user_features": self.user_facts,
            "tower_wide": self.user_wide.weight.detach().T,
            "tower_wide_bias": self.user_wide.bias.detach(),
            "tower_narrow": self.user_narrow.weight.detach().T,
            "tower_narrow_bias": self.user_narrow.bias.detach(),
        }
        return {
            name: np.array(value.numpy(), dtype=np.float32, order="C")
            for name, value in found.items()
        }

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """In place, what `arrays` gave, of a network that reads no features of items: their vectors are their own."""
        own = {
            "own": arrays["item_factors"],
            "histories": arrays["history_factors"],
            "user_wide.weight": arrays["tower_wide"].T,
            "user_wide.bias": arrays["tower_wide_bias"],
            "user_narrow.weight": arrays["tower_narrow"].T,
            "user_narrow.bias": arrays["tower_narrow_bias"],
        }
        parameters = dict(self.named_parameters())
        with torch.no_grad():
            for name, array in own.items():
                parameters[name].copy_(torch.from_numpy(np.array(array, dtype=np.float32)))

    def _means(self, before: torch.Tensor) -> torch.Tensor:
        """[B, width] of the vectors of other items; 0 where there are none."""
        there = (before != PAD).to(self.histories.dtype)[..., None]
        sums = (self.histories[before.clamp(min=0)] * there).sum(dim=1)
        means = sums / there.sum(dim=1).clamp(min=1)
        return self._without_some(means) if self.user_facts.shape[1] else means

    def _without_some(self, vectors: torch.Tensor) -> torch.Tensor:
        """Whole rows left out, in training, so that features answer alone where there is nothing else."""
        if not self.training or not self.shape.dropout:
            return vectors
        ones = torch.ones(len(vectors), 1, dtype=vectors.dtype, device=vectors.device)
        kept = functional.dropout(ones, self.shape.dropout) > 0
        return vectors * kept.to(vectors.dtype)

    def _unseen(self) -> torch.Tensor:
        return self.correction <= math.log(np.finfo(np.float32).tiny) + 1
