"""A layer of a decoder as one program that torch's compiler makes: fewer passes over memory, no Python between them.

It needs a C++ compiler, and some seconds; one program serves all layers, whose parameters are its inputs.
Shape letters: B windows, T tokens of a window, W width, H heads, D numbers of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn import functional


class WindowKind(NamedTuple):
    """What a program is made for: windows of a pass, their tokens, and whether they hold several texts."""

    windows: int
    tokens: int
    several: bool


class LayerInputs(NamedTuple):
    """`h`: [B, T, W]; `turn`: [2, B, T, 1, D], as `decoder_pass` has it, in the precision of products; `mask`: [1 or B, 1,
    T, T]; None: torch's attention knows what is seen. `epsilon`: of the norms; `scale`: of attention.
    """

    h: torch.Tensor
    turn: torch.Tensor
    mask: torch.Tensor | None
    epsilon: float
    scale: float
    by_hand: bool


@cache
def program() -> Callable[[LayerInputs, Sequence[torch.Tensor]], torch.Tensor]:
    """`layer`, compiled when it is first called with inputs of new shapes."""
    return torch.compile(layer, dynamic=False, fullgraph=True)


def layer(inputs: LayerInputs, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """[B, T, W]. `weights`: of the first norm, q, k, v, o, the second norm, gate, up and down."""
    h, turn, mask, epsilon, scale, by_hand = inputs
    first, q, k, v, o, second, gate, up, down = weights
    dtype, size = turn.dtype, turn.shape[-1]
    x = _norm(h, first, epsilon).to(dtype)
    products = [functional.linear(x, one.to(dtype)) for one in (q, k, v)]
    heads = [one.view(*one.shape[:-1], -1, size) for one in products]
    turned = [_turned(one, turn) for one in heads[:2]]
    read = _attention([one.transpose(1, 2) for one in (*turned, heads[2])], mask, scale, by_hand)
    h = h + functional.linear(read.transpose(1, 2).flatten(2), o.to(dtype))
    x = _norm(h, second, epsilon).to(dtype)
    opened = functional.silu(functional.linear(x, gate.to(dtype)))
    return h + functional.linear(opened * functional.linear(x, up.to(dtype)), down.to(dtype))


def _norm(h: torch.Tensor, scale: torch.Tensor, epsilon: float) -> torch.Tensor:
    return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + epsilon) * scale


def _turned(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    (a, b), (cos, sin) = x.chunk(2, -1), turn
    (cos_a, cos_b), (sin_a, sin_b) = cos.chunk(2, -1), sin.chunk(2, -1)
    return torch.cat([a * cos_a + b * sin_a, b * cos_b + a * sin_b], -1)


def _attention(
    heads: Sequence[Any], mask: torch.Tensor | None, scale: float, by_hand: bool
) -> torch.Tensor:
    """`heads`: q, k, v, [B, H, T, D]; of k and v fewer heads."""
    q, k, v = heads
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    if not by_hand or mask is None:
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale
        )
    found = torch.matmul(q, k.transpose(-1, -2)) * scale + mask
    return torch.matmul(torch.softmax(found.float(), -1).to(q.dtype), v)
