"""Low-rank adapters: the formula of their paper, beside every product and nothing else."""

from __future__ import annotations

import torch
from torch import nn

from sixfold.build.networks.low_rank import (
    LowRank,
    learns_nothing,
    start_adapters,
    with_adapters,
    without_adapters,
)


def test_an_adapter_is_the_formula_of_its_paper() -> None:
    adapter = LowRank(nn.Linear(5, 3), rank=2, alpha=8.0)
    adapter.start(torch.Generator().manual_seed(0))
    nn.init.normal_(adapter.up)
    x = torch.randn(4, 5)
    weight = adapter.linear.weight + 8.0 / 2 * adapter.up @ adapter.down
    expected = x @ weight.T + adapter.linear.bias
    torch.testing.assert_close(adapter(x), expected)
    torch.testing.assert_close(adapter.merged()(x), expected)


def test_they_stand_beside_every_product_wherever_it_is() -> None:
    inner = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Conv1d(3, 3, 1)})
    module = nn.ModuleList([nn.Linear(2, 3), nn.Sequential(nn.LayerNorm(3), inner)])
    assert not start_adapters(module, torch.Generator())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with_adapters(module, rank=2, alpha=1.0)
    learned = {name for name, one in module.named_parameters() if one.requires_grad}
    assert learned == {f"{name}.{part}" for name in ("0", "1.1.a") for part in ("down", "up")}
    assert start_adapters(module, torch.Generator().manual_seed(0))
    assert not learns_nothing(module)
    without_adapters(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert learns_nothing(module.requires_grad_(False))
