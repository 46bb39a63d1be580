"""A small transformer over the tokens of texts, from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import Field
from torch import nn

from sixfold.build._token_network import ScaledOutputs, TokenFamily, TokenNetwork
from sixfold.build.family import TrainDefaults
from sixfold.build.networks.text_encoder import EncoderShape, TextTransformer
from sixfold.parts.fit import FeatureGroup, Fit, Fitted

# Width, heads and layers. Guessed: as BERT's smallest (Turc and others, Well-read students learn better, 2019), and half of it.
SIZES: Final = {"nano": (64, 2, 2), "small": (128, 2, 2), "medium": (256, 4, 4), "large": (512, 8, 4)}
ROWS: Final = {"nano": 20_000, "small": 200_000}  # texts below which a size is chosen; guessed
FROM_SCRATCH: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 0.001, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "rise": 0.1},
        "epochs": 15,
        "clip": 1.0,
    },
    "a small transformer from scratch: a rate that rises and falls, and gradients that are clipped",
)


@dataclass(frozen=True)
class FittedTransformer(TokenNetwork):
    """A trained TextTransformer."""

    def network(self) -> nn.Module:
        """A network of this shape."""
        return TextTransformer(self.shape)


class Settings(TokenFamily):
    """A small transformer over the tokens of a column of text alone, trained from scratch: for what the order of words tells,
    where there are many texts.
    """

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Width, heads and layers; auto: by the number of rows."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of a layer's units left out in each training step.")

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "text_encoder"

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate."""
        return FROM_SCRATCH

    def sized(self, rows: int) -> Self:
        """The size by the rows, where it is left out."""
        return self if self.size != "auto" else self.model_copy(update={"size": derived_size(rows)})

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why."""
        size = self.sized(fit.rows).size
        width, heads, layers = SIZES[size]
        why = f"{fit.rows:,} texts" if self.size == "auto" else "as asked"
        return f"text_encoder: size {size} ({why}): width {width}, {heads} heads, {layers} layers."

    def network(self, fit: Fit, tokens: FeatureGroup) -> nn.Module:
        """A network for these tokens."""
        width, heads, layers = SIZES[self.sized(fit.rows).size]
        length = tokens.stop - tokens.start
        return TextTransformer(EncoderShape(tokens.tokens, length, fit.outputs, width, heads, layers, self.dropout))

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        network: Any = module.network if isinstance(module, ScaledOutputs) else module
        return FittedTransformer.of(module, network.shape, fit)


def derived_size(rows: int) -> Any:
    """By the number of training texts."""
    return next((size for size, most in ROWS.items() if rows < most), "medium")
