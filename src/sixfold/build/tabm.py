"""TabM: M perceptrons that share their weights; each scales a layer's inputs and outputs in its own
way.

Member m's layer is s_m ⊙ (W (r_m ⊙ h)) + b_m, its last layer its own. Training takes the mean of
the members' losses, the prediction the mean of their probabilities or values. Gorishniy, Kotelnikov
and Babenko, TabM: advancing tabular deep learning with parameter-efficient ensembling, 2024; the
adapters are of Wen, Tran and Ba, BatchEnsemble, 2020.

Shape letters: R rows, M members, I inputs of a layer, D width, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import nn

from sixfold.build._entrance import FeatureEmbedding
from sixfold.build._fitted_network import AT_ONCE, FittedNetwork, LayerParts
from sixfold.build._stacked_members import StackedMembers
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

# Bounds of the width, and layers: guessed, then seen to do on Adult, digits and diabetes
# (docs/explanation/tabular-networks.md).
SIZES = {"small": (32, 64, 1), "medium": (64, 128, 2), "large": (128, 256, 3)}


def member_scores(
    parts: LayerParts, h: torch.Tensor, kept: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """The forward pass: what entered, […, R, I], → […, M, R, K]; members come before rows, so that
    heads are one batched product.

    Any axes may lead, those of each of `parts`. `kept`: what every layer's units are multiplied by,
    […, M, R, D], for dropout.
    """
    h = h.unsqueeze(-3)
    for n in range(layer_count(parts)):
        inward, outward, bias = (
            parts[f"layer{n}_{part}"].unsqueeze(-2) for part in ("in", "out", "bias")
        )
        z = shared_product(h * inward, parts[f"layer{n}_weight"])
        h = torch.addcmul(bias, z, outward).relu()
        h = h * kept[n] if kept else h
    return h @ parts["head_weight"].mT + parts["head_bias"].unsqueeze(-2)


def shared_product(h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[…, M, R, I] and a weight for all members, […, D, I] → […, M, R, D]: one product, or one a
    replica.
    """
    if weight.ndim == 2:
        return h @ weight.mT
    return (h.flatten(-3, -2) @ weight.mT).view(*h.shape[:-1], -1)


def layer_count(names: Iterable[str]) -> int:
    """Layers that members share, of a network whose parameters have these names."""
    return sum(name.endswith("_in") for name in names)


@dataclass(frozen=True)
class MemberNetwork(TabularNetwork):
    """Trained members. `arrays`: of layer n `layer{n}_weight` [D, I], shared; `_in` r [M, I],
    `_out` s and `_bias` b [M, D]; of the heads `head_weight` [M, K, D], `head_bias` [M, K].
    """

    @property
    def blocks(self) -> int:
        """Layers that the members share."""
        return layer_count(self.arrays)

    @property
    def rows_at_once(self) -> int:
        """Of 16 members 256 rows: 1024 took 2.3 times as long, as no cache holds them
        (measured).
        """
        return max(16, min(AT_ONCE, 4 * AT_ONCE // len(self.arrays["head_bias"])))

    def layers(self) -> list[tuple[str, tuple[int, int], int]]:
        """Name, shape (in, out) of one member, and number of parameters of all of them, of every
        part.
        """
        sizes = {name: array.size for name, array in self.arrays.items()}
        entering = sum(sizes[name] for name in self.entrance.shapes())
        features = len(self.entrance.numbers) + len(self.entrance.codes)
        found = [("embeddings", (features, self.entrance.outputs), entering)] if entering else []
        for n in range(self.blocks):
            width, inputs = self.arrays[f"layer{n}_weight"].shape
            own = sum(size for name, size in sizes.items() if name.startswith(f"layer{n}_"))
            found.append((f"hidden {n + 1} (relu)", (inputs, width), own))
        members, outputs, width = self.arrays["head_weight"].shape
        return [
            *found,
            (
                f"outputs of {members} members",
                (width, outputs),
                sizes["head_weight"] + sizes["head_bias"],
            ),
        ]

    def scores(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[R, F] → [M, R, K]."""
        return member_scores(parts, self.entrance.enter(parts, x))


class Members(TabularModule):
    """The network while it is trained."""

    def __init__(
        self,
        entrance: FeatureEmbedding,
        shapes: dict[str, tuple[int, ...]],
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__(entrance, shapes, dropout, scale)
        self.blocks = layer_count(shapes)
        self.members, _, self.width = shapes["head_weight"]

    @property
    def held_numbers(self) -> int:
        """About, for one row of a batch."""
        return self.entrance.held + self.members * (
            self.entrance.outputs + 5 * self.width * self.blocks
        )

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Of the first layer the inner adapters are random: signs, or N(0, 1) where what enters is
        learned too; all others start at 1. Each head is filled as a layer of its own; what looks
        like a matrix may be a bias a member.
        """
        parts = dict(self.named_parameters())
        entered = self.entrance.start(parts, self.scale, generator)
        adapters = {name for name in parts if name.endswith(("_in", "_out"))}
        for name in adapters:
            parts[name].data.fill_(1.0)
        if self.blocks and self.members > 1:
            first = parts["layer0_in"].data.normal_(generator=generator)
            if not entered:
                first.sign_()
        for head in parts["head_weight"].data:
            weights.fill(head, generator)
        shifts = {name for name in parts if name.endswith("_bias") and name != "wave_bias"}
        for name in sorted(shifts):
            biases.fill(parts[name], generator)
        return frozenset({*adapters, *shifts, "head_weight"}) | entered

    def noise_shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        """Dropout draws a number for every hidden unit of every member."""
        return ((rows, self.members, self.width),) * self.blocks if self.dropout else ()

    def run(
        self, parts: LayerParts, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """[…, R, F] → […, R, M, K]."""
        kept = [each.transpose(-3, -2) for each in self.kept(noise, x)]
        return member_scores(parts, self.entrance.enter(parts, x), kept).transpose(-3, -2)


class Settings(TabularSettings):
    """Many perceptrons in one, which share their weights, with vectors for categories: the mean of
    the members answers.

    Widths that are left out come from `size`. See `initialize` for how it starts and `train` for
    how it is trained.
    """

    members: int = Field(
        16, ge=1, le=256, description="Implicit members M; 1 is a plain perceptron."
    )
    blocks: int | None = Field(
        None, ge=0, le=100, description="Layers that the members share. Left out: from `size`."
    )

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Units of every hidden layer of a member."""
        width, blocks = sized(self, self.entrance(shape).outputs, SIZES)
        return (width,) * blocks

    def derived(self, shape: Shape) -> str:
        """What was chosen, and why."""
        return notes(self, shape, self.entrance(shape).outputs, SIZES)

    def module(self, shape: Shape) -> Members:
        """A network whose parameters `initialize` still has to fill."""
        entrance, members = self.entrance(shape), self.members
        width, blocks = sized(self, entrance.outputs, SIZES)
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = entrance.outputs
        for n in range(blocks):
            shapes |= {f"layer{n}_weight": (width, inputs), f"layer{n}_in": (members, inputs)}
            shapes |= {f"layer{n}_out": (members, width), f"layer{n}_bias": (members, width)}
            inputs = width
        shapes |= {
            "head_weight": (members, shape.outputs, inputs),
            "head_bias": (members, shape.outputs),
        }
        return Members(entrance, shapes, self.dropout, self.frequency_scale)

    def program(
        self, module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor
    ) -> StackedMembers:
        """Many replicas as one, with gradients derived by hand."""
        network = tabular(module)
        if not isinstance(network, Members):
            raise TypeError(f"{type(module).__name__} is no Members")
        plain = StackedNetwork(
            network, network.run, losses_of(self, network), (theta, gradient), network.held_numbers
        )
        return StackedMembers(plain, network.entrance, network.blocks, network.dropout)

    def fitted(self, module: nn.Module, shape: Shape) -> FittedNetwork:
        """The trained network as arrays."""
        return MemberNetwork(**kept(tabular(module), shape))

    def resume(self, fitted: Fitted) -> TabularModule:
        """The network a state came from."""
        if not isinstance(fitted, MemberNetwork):
            raise TypeError(f"{type(fitted).__name__} is no MemberNetwork")
        shapes = {
            name: array.shape
            for name, array in fitted.arrays.items()
            if name not in fitted.entrance.shapes()
        }
        return resumed(Members(fitted.entrance, shapes, self.dropout, self.frequency_scale), fitted)
