"""Products whose weights stay as they are and take less memory than float32: bfloat16, or 8 or 4
bits with a scale for every 32 of a row.

Rounding to the nearest code as in the blocks Q8_0 and Q4_0 of GGUF, whose values these are (ggml's
`quantize_row_q8_0_ref` and `quantize_row_q4_0_ref`). Codes are parameters that are not learned, so
that copies of a module share them, and integers, so that no change of precision touches them.

Letters: O outputs, I inputs, G groups of a row: I / 32, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self

import torch
from torch import nn
from torch.nn import functional

from sixfold.train.adapters.low_rank import Product

GROUP: Final = 32
Storage = Literal["float32", "bfloat16", "int8", "int4"]


class HalfProduct(nn.Module):
    """W x + b with W in bfloat16, multiplied in bfloat16."""

    def __init__(self, linear: Product) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bits = linear.weight.detach().to(torch.bfloat16).view(torch.int16)
        self.bits = nn.Parameter(bits, requires_grad=False)
        self.bias = _kept(linear.bias)

    @property
    def weight(self) -> torch.Tensor:
        """W, float32 [O, I]."""
        return self.bits.view(torch.bfloat16).to(torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, I] → […, O], in the precision of x."""
        product = functional.linear(x.to(torch.bfloat16), self.bits.view(torch.bfloat16))
        product = product.to(x.dtype)
        return product if self.bias is None else product + self.bias


class QuantizedProduct(nn.Module):
    """W x + b with W in `bits` bits a weight: code · scale of its group. `codes`: uint8, [O, G, 32]
    of 8 bits, [O, G, 16] of 4 (a byte holds a weight of the first half of its group and one of the
    second); `scales`: float16 bits as int16, [O, G].
    """

    def __init__(self, linear: Product, codes: torch.Tensor, scales: torch.Tensor) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.codes = nn.Parameter(codes, requires_grad=False)
        self.scales = nn.Parameter(scales.to(torch.float16).view(torch.int16), requires_grad=False)
        self.bias = _kept(linear.bias)

    @classmethod
    def of_8_bits(cls, linear: Product) -> Self:
        """scale = largest size / 127; codes −127 to 127, kept with 128 added."""
        groups = _groups(linear.weight)
        scales = groups.abs().amax(dim=2) / 127
        return cls(linear, (_rounded(groups * _inverse(scales)) + 128).to(torch.uint8), scales)

    @classmethod
    def of_4_bits(cls, linear: Product) -> Self:
        """scale = the number of largest size / −8; codes 0 to 15 are −8 to 7."""
        groups = _groups(linear.weight)
        largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))[:, :, 0]
        scales = largest / -8
        codes = (groups * _inverse(scales) + 8.5).floor().clamp(0, 15).to(torch.uint8)
        low, high = codes.chunk(2, dim=2)
        return cls(linear, low | (high << 4), scales)

    @property
    def weight(self) -> torch.Tensor:
        """W as it is multiplied by, float32 [O, I]."""
        return dequantized(self.codes, self.scales)[:, : self.in_features]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, I] → […, O]. W is made anew in the forward and in the backward pass, and never
        kept.
        """
        product: torch.Tensor = _Dequantizing.apply(x, self.codes, self.scales)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias


class _Dequantizing(torch.autograd.Function):
    """x W', W from its codes; only x has a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(codes, scales)
        ctx.inputs = x.shape[-1]
        return functional.linear(x, _in_precision(codes, scales, x))

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:
        codes, scales = ctx.saved_tensors
        weight = dequantized(codes, scales)[:, : ctx.inputs].to(slopes[0].dtype)
        return slopes[0] @ weight, None, None


def _in_precision(codes: torch.Tensor, scales: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return dequantized(codes, scales)[:, : x.shape[-1]].to(x.dtype)


def dequantized(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Codes and scales of a QuantizedProduct → float32 [O, 32 · G]."""
    if codes.shape[2] == GROUP:
        numbers = codes.to(torch.float32) - 128
    else:
        numbers = torch.cat([codes & 15, codes >> 4], dim=2).to(torch.float32) - 8
    wide = scales.view(torch.float16).to(torch.float32)
    return (numbers * wide[:, :, None]).flatten(1)


STORED: Final[Mapping[Storage, Callable[[nn.Linear], nn.Module]]] = {
    "float32": lambda linear: linear.requires_grad_(False),
    "bfloat16": HalfProduct,
    "int8": QuantizedProduct.of_8_bits,
    "int4": QuantizedProduct.of_4_bits,
}


def _groups(weight: torch.Tensor) -> torch.Tensor:
    """[O, I] → float32 [O, G, 32], zeros behind the last input."""
    weight = weight.detach().to(torch.float32)
    padded = functional.pad(weight, (0, -weight.shape[1] % GROUP))
    return padded.reshape(len(weight), -1, GROUP)


def _inverse(scales: torch.Tensor) -> torch.Tensor:
    """1 / scale, 0 for 0; [O, G] → [O, G, 1]."""
    return torch.where(scales == 0, torch.zeros_like(scales), 1 / scales)[:, :, None]


def _rounded(numbers: torch.Tensor) -> torch.Tensor:
    """Halves away from 0, as C's roundf."""
    return numbers.sign() * (numbers.abs() + 0.5).floor()


def _kept(bias: torch.Tensor | None) -> nn.Parameter | None:
    return None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
