"""Low-rank adapters beside the products of a module.

LoRA: Hu and others, 2021. rsLoRA: Kalajdzievski, A rank stabilization scaling factor for
fine-tuning with LoRA, 2023. PiSSA: Meng and others, Principal singular values and singular vectors
adaptation, 2024. DoRA: Liu and others, Weight-decomposed low-rank adaptation, 2024.

Letters: I inputs of a product, O its outputs, R the rank of its adapter.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional


class Product(Protocol):
    """x ↦ W x + b, whatever form W is stored in."""

    @property
    def in_features(self) -> int:
        """I."""

    @property
    def out_features(self) -> int:
        """O."""

    @property
    def weight(self) -> torch.Tensor:
        """W, [O, I], as it is multiplied by."""

    @property
    def bias(self) -> torch.Tensor | None:
        """b, [O]."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[…, I] → […, O]."""


class LowRank(nn.Module):
    """W x + b + s B A x, of which A [R, I] and B [O, R] are learned. `scale`: s; `dropout`: share of
    x that the adapter does not see in training.

    LoRA and rsLoRA start with B = 0, so that nothing is changed yet; PiSSA with B and A that were
    taken out of W (`of_principal`).
    """

    def __init__(self, linear: Product, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear: Any = frozen(linear)  # a Product
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Parameter(torch.zeros(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.drawn = True

    @classmethod
    def of_principal(
        cls, linear: nn.Linear, rank: int, scale: float, dropout: float = 0.0
    ) -> LowRank:
        """PiSSA: B and A hold the R largest singular values of W = U S V', each half of them, and W
        what is left: B = U_R √(S_R / s), A = √(S_R / s) V_R'. Their sum is W as it was.
        """
        weight = linear.weight.detach().to(torch.float32)
        left_OK, values_K, right_KI = torch.linalg.svd(weight, full_matrices=False)
        root = (values_K[:rank] / scale).sqrt()
        up, down = left_OK[:, :rank] * root, root[:, None] * right_KI[:rank]
        made = cls(plain(linear, weight - scale * up @ down), rank, scale, dropout)
        made.drawn = False
        with torch.no_grad():  # a rank above the product's own leaves zeros behind
            made.up[:, : up.shape[1]] = up
            made.down[: down.shape[0]] = down
        return made

    def start(self, generator: torch.Generator) -> None:
        """Draw A, as torch draws a product's weights, and set B to 0; not of PiSSA, whose start
        says what W was.
        """
        if self.drawn:
            nn.init.kaiming_uniform_(self.down, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(self.up)

    def added(self, x: torch.Tensor) -> torch.Tensor:
        """What the adapter adds: […, I] → […, O], in the precision of x."""
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        return self.scale * functional.linear(functional.linear(self.dropout(x), down), up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, I] → […, O]."""
        return self.linear(x) + self.added(x)  # type: ignore[no-any-return]

    def merged(self) -> nn.Linear:
        """The same as one product."""
        return plain(self.linear, self.linear.weight + self.scale * self.up @ self.down)


class Decomposed(nn.Module):
    """DoRA: every row of W + s B A keeps its direction and has a learned length: m ‖row‖⁻¹ row · x +
    b. m [O] starts as the lengths of the rows of W.

    The lengths ‖row‖ count as constants in the gradient (section 4.3 of the paper).
    """

    def __init__(self, low_rank: LowRank) -> None:
        super().__init__()
        self.low_rank = low_rank
        self.magnitude = nn.Parameter(row_lengths(low_rank.linear.weight).detach().clone())

    @property
    def linear(self) -> Product:
        """The product that it stands beside."""
        return self.low_rank.linear  # type: ignore[no-any-return]

    def start(self, generator: torch.Generator) -> None:
        """As LoRA; the lengths are those of the rows of W."""
        self.low_rank.start(generator)
        with torch.no_grad():
            self.magnitude.copy_(row_lengths(self.linear.weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, I] → […, O]."""
        factor = (self.magnitude / self._lengths()).to(x.dtype)
        bias = self.linear.bias
        products = self.linear(x) if bias is None else self.linear(x) - bias
        scaled = factor * (products + self.low_rank.added(x))
        return scaled if bias is None else scaled + bias

    def merged(self) -> nn.Linear:
        """The same as one product."""
        sum_OI = self.low_rank.merged().weight
        return plain(self.linear, (self.magnitude / self._lengths())[:, None] * sum_OI)

    def _lengths(self) -> torch.Tensor:
        with torch.no_grad():
            return row_lengths(self.low_rank.merged().weight)


def row_lengths(weight: torch.Tensor) -> torch.Tensor:
    """[O, I] → [O], Euclidean."""
    lengths: torch.Tensor = torch.linalg.vector_norm(weight.to(torch.float32), dim=1)
    return lengths


def plain(linear: Product, weight: torch.Tensor) -> nn.Linear:
    """A product with the weights `weight` [O, I] and the bias of `linear`, frozen."""
    bias = linear.bias
    made = nn.Linear(linear.in_features, linear.out_features, bias is not None, device="meta")
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return made


def frozen(linear: Product) -> nn.Module:
    """The module, none of whose weights is learned."""
    if not isinstance(linear, nn.Module):
        raise TypeError(f"{type(linear).__name__} is no module")
    return linear.requires_grad_(False)
