"""A transformer over what users did, in the order of time (Kang and McAuley, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from sixfold.build._item_windows import ItemWindows
from sixfold.build.family import FitCost, FitWork, TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.build.networks.item_sequence import ItemSequence, SequenceShape
from sixfold.bundle.recommend.scorers import decoded
from sixfold.bundle.recommend.sequence_scorer import PAD
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import interactions_of
from sixfold.parts.recommender import Recommender, recommender_of
from sixfold.parts.table import Task
from sixfold.train.module import ExampleReader

DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "batch_size": 128,
        "epochs": 30,
    },
    "a small transformer over items learns in some thousand steps at this rate",
)
COPIES: Final = (
    6  # of the vectors of items in training: weights, gradients of parts, what Adam remembers
)


class Settings(ModuleFamily):
    """What a user did, in its order, says what comes next: layers of attention, trained by the loop on every next
    item. A session, and what is new of a user, is just a longer sequence.
    """

    needs: ClassVar[Needs] = Needs(interactions=True, precision="float32")
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    width: int = Field(64, ge=2, le=4096, description="Numbers of each item.")
    layers: int = Field(2, ge=1, le=32, description="Layers of attention.")
    heads: int = Field(2, ge=1, le=64, description="Of attention; they divide the width.")
    length: int = Field(50, ge=1, le=2048, description="Last items of a user that are looked at.")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of the numbers left out in each training step."
    )
    negatives: int = Field(
        256, ge=1, le=100_000, description="Items that each sequence is compared with in a step."
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"a width that {self.heads} heads divide, which {self.width} is not")
        return self

    @property
    def train_defaults(self) -> TrainDefaults:
        """Adam."""
        return DEFAULTS

    def module(self, fit: Fit) -> nn.Module:
        """For the items that there are."""
        return ItemSequence(self._shape(interactions_of(fit).item_count))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state. Raises TypeError for what is no sequential recommender."""
        if not isinstance(fitted, Recommender) or fitted.kind != "sequence":
            raise TypeError(f"{type(fitted).__name__} is no sequential recommender")
        network = ItemSequence(self._shape(len(fitted.user_counts)))
        network.load(dict(decoded(fitted.arrays)))
        return network

    def examples(self, fit: Fit) -> ExampleReader:
        """Windows of what users did."""
        x = interactions_of(fit)
        return ItemWindows.of(x.histories(), x.item_count, self.length, self.negatives)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """Its arrays, and what users did. Raises TypeError for another network."""
        if not isinstance(module, ItemSequence):
            raise TypeError(f"{type(module).__name__} is no ItemSequence")
        options = {"heads": float(self.heads)}
        arrays: dict[str, Any] = dict(module.arrays())
        return recommender_of(interactions_of(fit), "sequence", arrays, options)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each window the sum over its wanted items, [B]."""
        return torch.where(targets != PAD, outputs, torch.zeros_like(outputs)).sum(dim=1)

    def counted(self, targets: torch.Tensor) -> int:
        """Items that are wanted."""
        return int((targets != PAD).sum())

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """With the vectors of as many items as rows have at most."""
        found, first = super().cost(few, rows), interactions_of(few[0])
        items = min(rows, first.item_count * rows // max(1, len(first)))
        more = 4 * self.width * max(0, items - first.item_count)
        return found._replace(
            fit_bytes=found.fit_bytes + COPIES * more + 64 * rows,
            model_bytes=found.model_bytes + more + 16 * rows,
        )

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """Of windows: one of each user at least."""
        windows = interactions_of(few[0]).user_count + rows // self.length
        return super().expected(few, min(rows, windows))

    def _shape(self, items: int) -> SequenceShape:
        return SequenceShape(items, self.length, self.width, self.heads, self.layers, self.dropout)
