"""Two towers: one network for users, one for items (Yi and others, 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sixfold.build._tower_rows import TowerRows
from sixfold.build.family import FitCost, TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.build.networks.two_towers import TowerFacts, TowerShape, TwoTowers
from sixfold.bundle.recommend.histories import Float32
from sixfold.bundle.recommend.scorers import decoded
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import Interactions, interactions_of
from sixfold.parts.recommender import Recommender, recommender_of
from sixfold.parts.table import Task
from sixfold.train.module import ExampleReader

DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "batch_size": 1024,
        "epochs": 10,
    },
    "two towers learn in some thousand steps at this rate",
)
TEXT_FEATURES: Final = 256  # n-grams of a text: they are held for all items at once
COPIES: Final = 6  # of the vectors of items in training: weights, gradients, what Adam remembers


class Settings(ModuleFamily):
    """A user is what they did and what is known of them (`data.users`), an item is itself and what is known of it
    (`data.items`): users and items that are new are answered by their features.

    Each item is compared with others of the batch, corrected by how often they are there, by the loop of all networks.
    """

    needs: ClassVar[Needs] = Needs(
        interactions=True,
        side_features=True,
        precision="float32",
        text_features=TEXT_FEATURES,
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    width: int = Field(64, ge=2, le=4096, description="Numbers of each user and of each item.")
    hidden: int = Field(128, ge=2, le=8192, description="Units of the hidden layer of a tower.")
    length: int = Field(
        50, ge=1, le=2048, description="Items of a user, drawn from all of them, that a step reads."
    )
    negatives: int = Field(
        512, ge=1, le=16_384, description="Items of the batch that each one is compared with."
    )
    temperature: float = Field(0.1, gt=0, description="Cosines are divided by it.")
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="How often a step goes by features alone, where there are any: new users and items have nothing else.",
    )

    @property
    def train_defaults(self) -> TrainDefaults:
        """Adam."""
        return DEFAULTS

    def module(self, fit: Fit) -> nn.Module:
        """For the users and items that there are."""
        x = interactions_of(fit)
        return TwoTowers(self._shape(), facts_of(x))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state, whose items have vectors of their own. Raises TypeError for another state."""
        if not isinstance(fitted, Recommender) or fitted.kind != "towers":
            raise TypeError(f"{type(fitted).__name__} has no two towers")
        counts = fitted.user_counts.astype(np.float64)
        shares = (counts / max(1.0, counts.sum())).astype(np.float32)
        none = np.zeros((len(counts), 0), dtype=np.float32)
        network = TwoTowers(self._shape(), TowerFacts(fitted.arrays["user_features"], none, shares))
        network.load(dict(decoded(fitted.arrays)))
        return network

    def examples(self, fit: Fit) -> ExampleReader:
        """Every interaction, and what else its user did."""
        return TowerRows.of(interactions_of(fit).histories(), self.length, self.negatives)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """Its arrays, and what users did. Raises TypeError for another network."""
        if not isinstance(module, TwoTowers):
            raise TypeError(f"{type(module).__name__} is no TwoTowers")
        arrays: dict[str, Any] = dict(module.arrays())
        return recommender_of(interactions_of(fit), "towers", arrays)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each row as the network gives it."""
        return outputs

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """With the vectors of as many items as rows have at most, and features of them and of users."""
        found, first = super().cost(few, rows), interactions_of(few[0])
        share = rows / max(1, len(first))
        items = min(float(rows), first.item_count * share) - first.item_count
        more = int(4 * 2 * self.width * max(0.0, items))
        known = [
            one.nbytes for one in (first.user_features, first.item_features) if one is not None
        ]
        read = int(sum(known) * max(1.0, share))
        return found._replace(
            fit_bytes=found.fit_bytes + COPIES * more + 3 * read + 128 * rows,
            model_bytes=found.model_bytes + more + read + 16 * rows,
        )

    def _shape(self) -> TowerShape:
        return TowerShape(
            self.length, self.width, self.hidden, self.negatives, self.temperature, self.dropout
        )


def facts_of(x: Interactions) -> TowerFacts:
    """What is known of the users and items of training rows."""
    counts = np.bincount(x.histories().items, minlength=x.item_count).astype(np.float64)
    shares = (counts / max(1.0, counts.sum())).astype(np.float32)
    users = _or_none(x.user_features, x.user_count + 1)
    return TowerFacts(users, _or_none(x.item_features, x.item_count), shares)


def _or_none(features: Float32 | None, rows: int) -> Float32:
    return np.zeros((rows, 0), dtype=np.float32) if features is None else features
