"""A decoder's forward pass for training: the numbers of transformers' own, in a third of its operations.

Queries, keys and values are one product, as are both halves of the gated MLP; a norm, a rotation and a gate are
one node of autograd each, which keep what they read, not what they make. Parameters stay transformers' own.

Shape letters: B windows, T tokens of a window, N tokens, W width, O outputs, H heads, D numbers of a head, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.compiled_layer import LayerInputs, program

KNOWN: Final = frozenset({"llama", "mistral"})  # no biases, no norms of queries and keys
PRODUCTS: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
BY_HAND: Final = 512  # tokens of a window, up to which attention is written out
MLP_PRODUCTS: Final = ("gate_proj", "up_proj", "down_proj")


def can_read(network: Any) -> bool:
    """Whether `scores` are those of `network`, transformers' own: all its products are plain ones, and its layers
    are not computed twice.
    """
    config = network.config
    if config.model_type not in KNOWN or config.hidden_act != "silu" or config.attention_dropout:
        return False
    return _is_plain(network.lm_head) and all(_is_known(layer) for layer in network.model.layers)


def _is_known(layer: Any) -> bool:
    products = [getattr(layer.self_attn, name) for name in PRODUCTS]
    products += [getattr(layer.mlp, name) for name in MLP_PRODUCTS]
    return "forward" not in vars(layer) and all(map(_is_plain, products))


def _is_plain(product: nn.Module) -> bool:
    """A weight that is divided among processes is put together by the module that it is of (`train.sharded`)."""
    known = type(product) is nn.Linear and product.bias is None
    return known and type(product.weight) is nn.Parameter


def scores(
    network: Any,
    ids: torch.Tensor,
    places: torch.Tensor,
    seen: torch.Tensor | None,
    compiled: bool = False,
) -> torch.Tensor:
    """`ids`, `places`: int64 [B, T]; `seen`: bool [B, 1, T, T], which tokens a token reads; None: all
    before it; `compiled`: by `compiled_layer`. → [B, T, V]. Products are in bfloat16 under autocast.
    """
    device = ids.device.type
    half = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False):
        model = network.model
        h = model.embed_tokens(ids)
        dtype = torch.get_autocast_dtype(device) if half else h.dtype
        turn, mask = _turn(model, h, places, dtype), _mask(seen, h, dtype)
        one_layer = _by_program if compiled else _layer
        for layer in model.layers:
            h = one_layer(layer, h, turn, mask)
        return _normed(h, model.norm, [network.lm_head], dtype)


def _by_program(
    layer: Any, h: torch.Tensor, turn: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    own, mlp, norm = layer.self_attn, layer.mlp, layer.input_layernorm
    by_hand = _is_by_hand(turn.dtype, h.shape[1], h.device)
    inputs = LayerInputs(h, turn[:, :, :, :1], mask, norm.variance_epsilon, own.scaling, by_hand)
    products = [own.q_proj, own.k_proj, own.v_proj, own.o_proj]
    after = [layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    return program()(inputs, [one.weight for one in (norm, *products, *after)])


def _turn(model: Any, h: torch.Tensor, places: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[2, B, T, heads of queries and keys, D]: what a head's numbers are multiplied by, and its halves that are swapped,
    once for all layers.
    """
    cos, sin = model.rotary_emb(h, places)
    half = sin.shape[-1] // 2
    sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)
    heads = model.config.num_attention_heads + model.config.num_key_value_heads
    turn = torch.stack([cos, sin]).to(dtype).unsqueeze(3)
    return turn.expand(-1, -1, -1, heads, -1).contiguous()


def _mask(seen: torch.Tensor | None, h: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """What is added to the scores of attention, [1 or B, 1, T, T], once for all layers; None where torch's own knows it."""
    if seen is None:
        length = h.shape[1]
        if not _is_by_hand(dtype, length, h.device):
            return None
        seen = torch.ones(1, 1, length, length, dtype=torch.bool, device=h.device).tril_()
    zeros = torch.zeros(seen.shape, dtype=dtype, device=h.device)
    return zeros.masked_fill_(~seen, float("-inf"))


def _is_by_hand(dtype: torch.dtype, length: int, device: torch.device) -> bool:
    """Whether plain products are faster than torch's attention. Measured on an EPYC 9005, heads of 64 and 32: 256
    tokens in bfloat16 3.5 times, 512 tokens 3 times, 64 tokens 8 times; 1,024 tokens 0.8 times; float32 0.6 to 1.2
    times.
    """
    return device.type == "cpu" and dtype == torch.bfloat16 and length <= BY_HAND


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """[B, H, T, D] each; of keys and values fewer heads."""
    if mask is not None and _is_by_hand(q.dtype, q.shape[2], q.device):
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = (one.repeat_interleave(groups, 1) for one in (k, v))
        return _Attention.apply(q, k, v, mask, scale)  # type: ignore[no-untyped-call, no-any-return]
    return functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def _layer(
    layer: Any, h: torch.Tensor, turn: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """`h`: [B, T, W]; `turn`: as `_turn`."""
    own, mlp, dtype = layer.self_attn, layer.mlp, turn.dtype
    qkv = _normed(h, layer.input_layernorm, [own.q_proj, own.k_proj, own.v_proj], dtype)
    q, k, v = _Turned.apply(
        qkv.view(*qkv.shape[:-1], -1, own.head_dim), turn, own.q_proj.out_features // own.head_dim
    )  # type: ignore[no-untyped-call]
    read = _attention(q, k, v, mask, own.scaling)
    h = _Added.apply(h, read.transpose(1, 2).flatten(2), own.o_proj.weight)  # type: ignore[no-untyped-call]
    both = _normed(h, layer.post_attention_layernorm, [mlp.gate_proj, mlp.up_proj], dtype)
    return _Added.apply(h, _Gated.apply(both), mlp.down_proj.weight)  # type: ignore[no-untyped-call, no-any-return]


def _normed(
    h: torch.Tensor, norm: Any, products: Sequence[nn.Linear], dtype: torch.dtype
) -> torch.Tensor:
    weights = [one.weight for one in products]
    return _NormedProduct.apply(h, norm.weight, norm.variance_epsilon, dtype, *weights)  # type: ignore[no-untyped-call, no-any-return]


def _together(weights: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """One below the other, [ΣO, W]; no copy where they lie so in memory, as a learner's do."""
    first = weights[0]
    at, rows = first.data_ptr(), 0
    for one in weights:
        if one.is_meta or not one.is_contiguous() or one.data_ptr() != at:
            return torch.cat(list(weights)).to(dtype)
        at, rows = at + one.nbytes, rows + one.shape[0]
    return first.as_strided((rows, first.shape[1]), first.stride()).to(dtype)


class _NormedProduct(torch.autograd.Function):
    """RMSNorm(h) · Wᵀ for weights that stand one below the other."""

    @staticmethod
    def forward(
        ctx: Any, h: Any, scale: Any, epsilon: float, dtype: torch.dtype, *weights: Any
    ) -> Any:
        """`h`: [B, T, W]; `scale`: [W]; `weights`: [O, W] each → [B, T, ΣO]."""
        rows = h.flatten(0, -2)
        norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        least = torch.full_like(norm, epsilon)
        inverse = least.addcmul_(norm, norm, value=1 / rows.shape[1]).rsqrt_()
        together = _together(weights, dtype)
        x = (rows * inverse).mul_(scale).to(dtype)
        ctx.save_for_backward(rows, scale, inverse, together, x)
        ctx.sizes = [one.shape[0] for one in weights]
        return (x @ together.t()).unflatten(0, h.shape[:-1])

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        rows, scale, inverse, together, x = ctx.saved_tensors
        g = slope.flatten(0, -2)
        weights = g.t() @ x
        unit = rows * inverse
        dx = (g @ together).to(rows.dtype)
        along = dx * unit
        of_scale = along.sum(0)
        apart = torch.mv(along, scale).unsqueeze_(-1)
        dh = dx.mul_(scale).addcmul_(unit, apart, value=-1 / rows.shape[1]).mul_(inverse)
        return dh.unflatten(0, slope.shape[:-1]), of_scale, None, None, *weights.split(ctx.sizes)


class _Turned(torch.autograd.Function):
    """Queries and keys turned by the places of their tokens (Su and others, RoFormer, 2021; halves of a head are
    pairs, as in Llama), and the values.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Any, turn: Any, heads: int) -> Any:
        """`qkv`: [B, T, heads of all three, D]; `turn`: [2, B, T, heads of two, D]; `heads`: of the queries → q, k, v,
        [B, H, T, D].
        """
        ctx.save_for_backward(turn)
        both = turn.shape[3]
        ctx.sizes = [heads, both - heads, qkv.shape[2] - both]
        x = qkv[:, :, :both]
        turned = (x * turn[0]).addcmul_(_swapped(x), turn[1])
        q, k = turned.split(ctx.sizes[:2], dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), qkv[:, :, both:].transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (turn,) = ctx.saved_tensors
        found = torch.cat([one.transpose(1, 2) for one in slopes], dim=2)
        x = found[:, :, : turn.shape[3]]
        swapped = _swapped(x)
        x.mul_(turn[0]).addcmul_(swapped, turn[1], value=-1)
        return found, None, None


def _swapped(x: torch.Tensor) -> torch.Tensor:
    """The second half of each head before the first one."""
    return x.roll(x.shape[-1] // 2, -1)


class _Attention(torch.autograd.Function):
    """softmax(scale · q kᵀ + mask) v, whose weights are kept."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, mask: Any, scale: float) -> Any:
        """`q`, `k`, `v`: [B, H, T, D]; `mask`: [1 or B, 1, T, T] → [B, H, T, D]."""
        b, heads, length, _ = q.shape
        flat_q, flat_k, flat_v = (one.reshape(b * heads, length, -1) for one in (q, k, v))
        added = mask.expand(b, heads, length, length).flatten(0, 1) if len(mask) > 1 else mask[0]
        found = torch.baddbmm(added, flat_q, flat_k.transpose(1, 2), alpha=scale)
        weights = torch.softmax(found, -1)
        ctx.save_for_backward(flat_q, flat_k, flat_v, weights)
        ctx.scale = scale
        return torch.bmm(weights, flat_v).view(b, heads, length, -1)

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        q, k, v, weights = ctx.saved_tensors
        g = slope.reshape(q.shape)
        of_weights = torch.bmm(g, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_scores.mul_(ctx.scale)
        slopes = (
            torch.bmm(of_scores, k),
            torch.bmm(of_scores.transpose(1, 2), q),
            torch.bmm(weights.transpose(1, 2), g),
        )
        return *(one.view(slope.shape) for one in slopes), None, None


class _Gated(torch.autograd.Function):
    """silu(gate) · up (Shazeer, GLU variants improve transformer, 2020)."""

    @staticmethod
    def forward(ctx: Any, both: Any) -> Any:
        """`both`: [B, T, 2 M], gate and up → [B, T, M]."""
        gate, up = both.chunk(2, -1)
        open_ = functional.silu(gate)
        ctx.save_for_backward(both, open_)
        return open_ * up

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        both, open_ = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        of_gate, of_up = found.chunk(2, -1)
        torch.mul(open_, slope, out=of_up)
        torch.ops.aten.silu_backward.grad_input(slope * up, gate, grad_input=of_gate)
        return found


class _Added(torch.autograd.Function):
    """h + x · Wᵀ, in the precision of h; the product in that of x."""

    @staticmethod
    def forward(ctx: Any, h: Any, x: Any, weight: Any) -> Any:
        """`h`: [B, T, O]; `x`: [B, T, W]; `weight`: [O, W]."""
        own, rows = weight.to(x.dtype), x.flatten(0, -2)
        ctx.save_for_backward(rows, own)
        return h + (rows @ own.t()).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        rows, own = ctx.saved_tensors
        g = slope.flatten(0, -2).to(rows.dtype)
        return slope, (g @ own).unflatten(0, slope.shape[:-1]), g.t() @ rows
