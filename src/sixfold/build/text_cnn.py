"""Convolutions over the tokens of texts (Kim 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field
from torch import nn

from sixfold.build._token_network import ScaledOutputs, TokenFamily, TokenNetwork
from sixfold.build.family import TrainDefaults
from sixfold.build.networks.text_cnn import ConvolutionShape, TextCNN
from sixfold.core.units import counted
from sixfold.parts.fit import FeatureGroup, Fit, Fitted

# Numbers a token, and filters of each width. Guessed: the largest is about Kim's (300 and 100).
SIZES: Final = {"nano": (32, 32), "small": (64, 64), "medium": (128, 128), "large": (256, 256)}
ROWS: Final = {"nano": 20_000, "small": 200_000}  # texts below which a size is chosen; guessed
DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adam", "learning_rate": 0.002},
        "schedule": {"name": "one_cycle", "rise": 0.2},
        "epochs": 12,
    },
    "small networks over tokens learn in few epochs at this rate",
)


@dataclass(frozen=True)
class FittedConvolutions(TokenNetwork):
    """A trained TextCNN."""

    def network(self) -> nn.Module:
        """A network of this shape."""
        return TextCNN(self.shape)


class Settings(TokenFamily):
    """A convolutional network over the tokens of a column of text alone: filters over a few tokens,
    of which the largest answer anywhere in the text counts. Small and fast, for what single phrases
    tell.
    """

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Numbers a token, and filters; auto: by the number of rows."
    )
    widths: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(
        (2, 3, 4), min_length=1, max_length=8, description="Tokens that a filter spans, 1 to 16."
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of the filters' answers left out in each training step."
    )

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "text_cnn"

    @property
    def train_defaults(self) -> TrainDefaults:
        """Adam with one cycle of the rate."""
        return DEFAULTS

    def sized(self, rows: int) -> Self:
        """The size by the rows, where it is left out."""
        return self if self.size != "auto" else self.model_copy(update={"size": derived_size(rows)})

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why."""
        size = self.sized(fit.rows).size
        why = counted(fit.rows, "text") if self.size == "auto" else "as asked"
        return f"text_cnn: size {size} ({why}): {SIZES[size][0]} numbers a token, {SIZES[size][1]} filters a width."

    def network(self, fit: Fit, tokens: FeatureGroup) -> nn.Module:
        """A network for these tokens."""
        vector, channels = SIZES[self.sized(fit.rows).size]
        return TextCNN(
            ConvolutionShape(
                tokens.tokens, fit.outputs, vector, channels, self.widths, self.dropout
            )
        )

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        network: Any = module.network if isinstance(module, ScaledOutputs) else module
        return FittedConvolutions.of(module, network.shape, fit)


def derived_size(rows: int) -> Any:
    """By the number of training texts."""
    return next((size for size, most in ROWS.items() if rows < most), "medium")
