"""Residual perceptron: h ← h + W₂ a(W₁ norm(h) + b₁) + b₂, block after block.

Gorishniy, Rubachev, Khrulkov and Babenko, Revisiting deep learning models for tabular data, 2021
("ResNet"). The norm is over a row's units (Ba, Kiros and Hinton, Layer normalization, 2016), not
over the batch as there: statistics of batches are buffers that change, and replicas that train as
one, with batches of unequal size, have none.

Shape letters: R rows, D width, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from sixfold.build._entrance import FeatureEmbedding, linear
from sixfold.build._fitted_network import FittedNetwork, LayerParts
from sixfold.build._stacked_network import StackedNetwork
from sixfold.build._tabular import (
    TabularModule,
    TabularNetwork,
    TabularSettings,
    kept,
    losses_of,
    notes,
    resumed,
    sized,
    tabular,
)
from sixfold.parts.fit import Fitted, Shape
from sixfold.train.network import Scheme

# Bounds of the width, and blocks: guessed, then seen to do on Adult, digits and diabetes
# (docs/explanation/tabular-networks.md).
SIZES = {"small": (32, 64, 1), "medium": (64, 128, 2), "large": (128, 256, 4)}
TINY = 1e-5  # added to the variance, as in torch


def residual_scores(
    parts: LayerParts, h: torch.Tensor, kept: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """The forward pass: what entered, […, R, D of the entrance], → […, R, K]; any axes may lead,
    those of each of `parts`.

    `kept`: what the units in every block are multiplied by, […, R, D], for dropout.
    """

    def product(h: torch.Tensor, name: str) -> torch.Tensor:
        return linear(h, parts[f"{name}_weight"], parts[f"{name}_bias"])

    def norm(h: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(h, parts[f"{name}_gain"], parts[f"{name}_shift"])

    h = product(h, "first")
    for n in range(block_count(parts)):
        z = product(norm(h, f"block{n}"), f"block{n}_in").relu()
        z = z * kept[n] if kept else z
        h = h + product(z, f"block{n}_out")
    return product(norm(h, "head").relu(), "head")


def layer_norm(h: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Each row of […, R, D] to mean 0 and variance 1 over its units, then times `gain` plus
    `shift`, […, D].
    """
    if gain.ndim == 1:
        return functional.layer_norm(h, gain.shape, gain, shift, TINY)
    normed = functional.layer_norm(
        h, gain.shape[-1:], eps=TINY
    )  # which takes no gain for each replica
    return torch.addcmul(shift.unsqueeze(-2), normed, gain.unsqueeze(-2))


def block_count(names: Iterable[str]) -> int:
    """Residual blocks of a network whose parameters have these names."""
    return sum(name.endswith("_gain") for name in names) - 1


@dataclass(frozen=True)
class ResidualNetwork(TabularNetwork):
    """A trained residual perceptron; `arrays` as `shapes` names them."""

    @property
    def blocks(self) -> int:
        """Residual blocks."""
        return block_count(self.arrays)

    def layers(self) -> list[tuple[str, tuple[int, int], int]]:
        """Name, shape (in, out) and number of parameters of every part."""
        sizes = {name: array.size for name, array in self.arrays.items()}
        width, inputs = self.arrays["first_weight"].shape
        entering = sum(sizes[name] for name in self.entrance.shapes())
        features = len(self.entrance.numbers) + len(self.entrance.codes)
        found = [("embeddings", (features, inputs), entering)] if entering else []
        found.append(("first", (inputs, width), sizes["first_weight"] + sizes["first_bias"]))
        for n in range(self.blocks):
            own = sum(size for name, size in sizes.items() if name.startswith(f"block{n}_"))
            found.append((f"block {n + 1} (norm, relu)", (width, width), own))
        head = sum(size for name, size in sizes.items() if name.startswith("head_"))
        return [*found, ("output (norm, relu)", (width, len(self.arrays["head_bias"])), head)]

    def scores(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[R, F] → [R, K]."""
        return residual_scores(parts, self.entrance.enter(parts, x))


class Residual(TabularModule):
    """The network while it is trained."""

    def __init__(
        self,
        entrance: FeatureEmbedding,
        shapes: dict[str, tuple[int, ...]],
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__(entrance, shapes, dropout, scale)
        self.blocks = block_count(shapes)
        self.width = shapes["first_bias"][0]

    @property
    def held_numbers(self) -> int:
        """About, for one row of a batch."""
        return self.entrance.held + self.width * (7 * self.blocks + 4)

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Gains at 1; what enters as its own papers say."""
        parts = dict(self.named_parameters())
        gains = {name for name in parts if name.endswith("_gain")}
        for name in gains:
            parts[name].data.fill_(1.0)
        return frozenset(gains) | self.entrance.start(parts, self.scale, generator)

    def noise_shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        """Dropout draws a number for every hidden unit of every block."""
        return ((rows, self.width),) * self.blocks if self.dropout else ()

    def run(
        self, parts: LayerParts, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """[…, R, F] → […, R, K]."""
        return residual_scores(parts, self.entrance.enter(parts, x), self.kept(noise, x))


class Settings(TabularSettings):
    """Residual perceptron with vectors for categories: cross-entropy for classes, mean squared
    error for values.

    Widths that are left out come from `size`. See `initialize` for how it starts and `train` for
    how it is trained.
    """

    blocks: int | None = Field(
        None, ge=0, le=100, description="Residual blocks of two layers. Left out: from `size`."
    )
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of a block's hidden units left out in each training step, in [0, 1).",
    )

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Units of every hidden layer."""
        width, blocks = sized(self, self.entrance(shape).outputs, SIZES)
        return (width,) * (1 + 2 * blocks)

    def derived(self, shape: Shape) -> str:
        """What was chosen, and why."""
        return notes(self, shape, self.entrance(shape).outputs, SIZES)

    def module(self, shape: Shape) -> Residual:
        """A network whose parameters `initialize` still has to fill."""
        entrance = self.entrance(shape)
        width, blocks = sized(self, entrance.outputs, SIZES)
        shapes: dict[str, tuple[int, ...]] = {
            "first_weight": (width, entrance.outputs),
            "first_bias": (width,),
        }
        for n in range(blocks):
            shapes |= {f"block{n}_gain": (width,), f"block{n}_shift": (width,)}
            for layer in ("in", "out"):
                shapes |= {
                    f"block{n}_{layer}_weight": (width, width),
                    f"block{n}_{layer}_bias": (width,),
                }
        shapes |= {"head_gain": (width,), "head_shift": (width,)}
        shapes |= {"head_weight": (shape.outputs, width), "head_bias": (shape.outputs,)}
        return Residual(entrance, shapes, self.dropout, self.frequency_scale)

    def program(
        self, module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor
    ) -> StackedNetwork:
        """Many replicas as one graph of autograd."""
        network = tabular(module)
        return StackedNetwork(
            network, network.run, losses_of(self, network), (theta, gradient), network.held_numbers
        )

    def fitted(self, module: nn.Module, shape: Shape) -> FittedNetwork:
        """The trained network as arrays."""
        return ResidualNetwork(**kept(tabular(module), shape))

    def resume(self, fitted: Fitted) -> TabularModule:
        """The network a state came from."""
        if not isinstance(fitted, ResidualNetwork):
            raise TypeError(f"{type(fitted).__name__} is no ResidualNetwork")
        shapes = {
            name: array.shape
            for name, array in fitted.arrays.items()
            if name not in fitted.entrance.shapes()
        }
        return resumed(
            Residual(fitted.entrance, shapes, self.dropout, self.frequency_scale), fitted
        )
