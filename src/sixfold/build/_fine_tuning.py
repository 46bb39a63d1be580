"""What of a checkpoint is learned: all its weights, low-rank adapters beside its products, or a
head on it as it is.
"""

from __future__ import annotations

import copy
from typing import Any, Final, Literal, Self

import torch
from pydantic import BaseModel, Field, model_validator
from torch import nn

from sixfold.build.family import TrainDefaults
from sixfold.build.networks.low_rank import start_adapters, with_adapters, without_adapters
from sixfold.core.errors import FitError

RANK: Final = 8
ALPHA: Final = 16.0
SEED_OF_MERGED: Final = 0  # of adapters beside weights that were merged: a training that goes on


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
DEFAULTS: Final = {
    "whole": _defaults(5e-5, 5, "fine-tuning of a whole checkpoint: a small rate, few epochs"),
    "lora": _defaults(
        5e-4, 5, "low-rank adapters of a checkpoint: ten times the rate of fine-tuning it whole"
    ),
    "head": _defaults(
        1e-2, 10, "a head on a frozen checkpoint: a linear model, whose rate may be large"
    ),
}


class FineTuning(BaseModel):
    """The settings of a family that goes on from a checkpoint."""

    adapt: Literal["whole", "lora", "head"] = Field(
        "whole",
        description="What is learned of a checkpoint: all its weights; low-rank adapters beside its products, merged at the "
        "end; or a head on it as it is.",
    )
    rank: int = Field(
        RANK, ge=1, le=1024, description="Of lora: columns of the two matrices of each product."
    )
    alpha: float = Field(
        ALPHA, gt=0, description="Of lora: what adapters add is multiplied by alpha / rank."
    )

    @model_validator(mode="after")
    def _adapters_alone_have_a_rank(self) -> Self:
        if self.adapt != "lora" and (self.rank, self.alpha) != (RANK, ALPHA):
            raise ValueError("rank and alpha are for adapt: lora")
        return self

    def adapted(self, encoder: nn.Module, family: str) -> None:
        """Freeze what is not learned, and add what is; in place. Raises FitError where there is no
        product for an adapter.
        """
        encoder.requires_grad_(self.adapt == "whole")
        if self.adapt == "lora":
            with_adapters(encoder, self.rank, self.alpha)
            if not start_adapters(encoder, torch.Generator().manual_seed(SEED_OF_MERGED)):
                remedy = "Choose adapt: whole, or a checkpoint of a transformer's kind."
                raise FitError(
                    f"build, {family}", "products beside which adapters can stand", "none", remedy
                )

    def merged(self, module: Any) -> Any:
        """The module with its adapters merged into its weights; a copy, where there are any."""
        return without_adapters(copy.deepcopy(module)) if self.adapt == "lora" else module

    def learned(self, network: nn.Module, encoder: nn.Module) -> str:
        """In words, of a network that is adapted already and its encoder."""
        few = sum(one.numel() for one in network.parameters() if one.requires_grad)
        added = (
            sum(one.numel() for one in encoder.parameters() if one.requires_grad)
            if self.adapt == "lora"
            else 0
        )
        whole = sum(one.numel() for one in encoder.parameters()) - added
        return f"{few:,} weights are learned, of a checkpoint that has {whole:,} ({self.adapt})"
