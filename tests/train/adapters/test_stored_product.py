"""Frozen products in 8 and 4 bits and in bfloat16: the values of GGUF's blocks, the gradient of
what they stand for, and the bytes that they take.
"""

from __future__ import annotations

import copy
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from sixfold.train.adapters.stored_product import STORED, HalfProduct, QuantizedProduct


def product(inputs: int = 96) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(inputs, 5)
    with torch.no_grad():
        made.weight[0, :32] = 0
    return made


@pytest.mark.parametrize(
    ("bits", "kind"),
    [("int8", gguf.GGMLQuantizationType.Q8_0), ("int4", gguf.GGMLQuantizationType.Q4_0)],
)
def test_the_weights_are_those_of_a_gguf_file(bits: Any, kind: Any) -> None:
    linear = product()
    stored = STORED[bits](linear)
    blocks = gguf.quantize(linear.weight.detach().numpy(), kind)
    expected = gguf.dequantize(blocks, kind)
    np.testing.assert_allclose(stored.weight.numpy(), expected, rtol=0, atol=0)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("inputs", [96, 50])
@pytest.mark.parametrize("base", ["int8", "int4", "bfloat16"])
def test_the_product_and_its_gradient(base: Any, inputs: int) -> None:
    stored: Any = STORED[base](product(inputs))
    x = torch.randn(4, 3, inputs, requires_grad=True)
    again = x.detach().clone().requires_grad_()
    out, plain = stored(x), nn.functional.linear(again, stored.weight, stored.bias)
    out.square().sum().backward()
    plain.square().sum().backward()
    tolerance = {"rtol": 2e-2, "atol": 8e-2} if base == "bfloat16" else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(out, plain, **tolerance)
    torch.testing.assert_close(x.grad, again.grad, **tolerance)
    assert not any(one.requires_grad for one in stored.parameters())


def test_the_bytes_and_that_nothing_changes_them() -> None:
    linear = nn.Linear(1024, 64, bias=False)
    sizes = {
        name: sum(one.nbytes for one in make(copy.deepcopy(linear)).parameters())
        / linear.weight.numel()
        for name, make in STORED.items()
    }
    assert sizes == {"float32": 4, "bfloat16": 2, "int8": 1 + 2 / 32, "int4": 0.5 + 2 / 32}
    stored: Any = QuantizedProduct.of_4_bits(linear)
    before = stored.weight.clone()
    torch.testing.assert_close(stored.to(torch.float64).weight, before, rtol=0, atol=0)
    half: Any = HalfProduct(linear)
    torch.testing.assert_close(half.to(torch.float64).weight, linear.weight.bfloat16().float())


def test_the_dequantized_weights_are_not_kept_for_the_backward_pass() -> None:
    stored: Any = QuantizedProduct.of_8_bits(nn.Linear(64, 640))
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stored(torch.randn(2, 64, requires_grad=True))
    assert max(kept) <= stored.codes.nbytes
