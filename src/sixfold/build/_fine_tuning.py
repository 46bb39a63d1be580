"""What of a checkpoint is learned: all its weights, low-rank adapters beside its products, or a
head on it as it is.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self, cast

from pydantic import BaseModel, Field, model_validator
from torch import nn

from sixfold.build.family import TrainDefaults
from sixfold.train.adapters.adapt import Adapter, Method, adapted, without_adapters
from sixfold.train.batch_parts import AnyModule

RANK: Final = 8
ALPHA: Final = 16.0
WITHOUT_ADAPTERS: Final = ("whole", "head")


def _defaults(rate: float, epochs: int, why: str) -> TrainDefaults:
    options = {
        "optimizer": {"name": "adamw", "learning_rate": rate, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "rise": 0.1},
        "batch_size": 32,
        "epochs": epochs,
        "clip": 1.0,
    }
    return TrainDefaults(options, why)


# Whole: Devlin and others, BERT, 2019, section A.3 (2e-5 to 5e-5, 2 to 4 epochs, warm-up over a
# tenth), and Liu and others, ConvNeXt, 2022, table 5 (5e-5, 30 epochs); one epoch more than BERT's,
# as few rows get few steps. Adapters: Hu and others, LoRA, 2021, table 9 (4e-4 or 5e-4). The head
# is guessed.
_ADAPTERS: Final = _defaults(
    5e-4, 5, "low-rank adapters of a checkpoint: ten times the rate of fine-tuning it whole"
)
DEFAULTS: Final = {
    "whole": _defaults(5e-5, 5, "fine-tuning of a whole checkpoint: a small rate, few epochs"),
    "lora": _ADAPTERS,
    "rslora": _ADAPTERS,
    "dora": _ADAPTERS,
    "pissa": _ADAPTERS,
    "head": _defaults(
        1e-2, 10, "a head on a frozen checkpoint: a linear model, whose rate may be large"
    ),
}


class FineTuning(BaseModel):
    """The settings of a family that goes on from a checkpoint."""

    adapt: Literal["whole", "lora", "rslora", "dora", "pissa", "head"] = Field(
        "whole",
        description="What is learned of a checkpoint: all its weights; low-rank adapters beside its products, merged at the "
        "end (lora, rslora, dora, pissa); or a head on it as it is.",
    )
    rank: int = Field(
        RANK, ge=1, le=1024, description="Of adapters: columns of the two matrices of each product."
    )
    alpha: float = Field(
        ALPHA,
        gt=0,
        description="What adapters add is multiplied by alpha / rank (rslora: alpha / √rank).",
    )

    @model_validator(mode="after")
    def _adapters_alone_have_a_rank(self) -> Self:
        if not self.has_adapters and (self.rank, self.alpha) != (RANK, ALPHA):
            raise ValueError("rank and alpha are for adapters, such as adapt: lora")
        return self

    @property
    def has_adapters(self) -> bool:
        """Whether they are what is learned."""
        return self.adapt not in WITHOUT_ADAPTERS

    def adapted(self, encoder: AnyModule, family: str) -> AnyModule:
        """The encoder, with the same weights, what is not learned frozen and what is added. Raises
        FitError where there is no product for an adapter.
        """
        if not self.has_adapters:
            return encoder.requires_grad_(self.adapt == "whole")
        method = cast(Method, self.adapt)
        return adapted(encoder, Adapter(method=method, rank=self.rank, alpha=self.alpha), family)

    def merged(self, module: Any) -> Any:
        """The module with its adapters merged into its weights, where there are any."""
        return without_adapters(module) if self.has_adapters else module

    def learned(self, network: nn.Module, encoder: nn.Module) -> str:
        """In words, of a network that is adapted already and its encoder."""
        few = sum(one.numel() for one in network.parameters() if one.requires_grad)
        added = (
            sum(one.numel() for one in encoder.parameters() if one.requires_grad)
            if self.has_adapters
            else 0
        )
        whole = sum(one.numel() for one in encoder.parameters()) - added
        return f"{few:,} weights are learned, of a checkpoint that has {whole:,} ({self.adapt})"
