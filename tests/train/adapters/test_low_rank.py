"""Low-rank adapters: the formulas of their papers, beside every product that is named and nothing
else.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sixfold.core.errors import FitError
from sixfold.train.adapters.adapt import (
    Adapter,
    Method,
    adapted,
    freeze,
    learns_nothing,
    merged,
    start_adapters,
    without_adapters,
)
from sixfold.train.adapters.low_rank import Decomposed, LowRank


def drawn(module: nn.Module) -> nn.Module:
    """With numbers in what starts at 0."""
    with torch.no_grad():
        for number, (name, one) in enumerate(module.named_parameters()):
            if name.endswith(".up"):
                one.normal_(std=0.1, generator=torch.Generator().manual_seed(number))
            if name.endswith(".magnitude"):
                one.mul_(1.1)
    return module


def two_products() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 6), nn.Tanh(), nn.Linear(6, 3, bias=False))


def test_an_adapter_is_the_formula_of_its_paper() -> None:
    adapter = LowRank(nn.Linear(5, 3), rank=2, scale=4.0)
    adapter.start(torch.Generator().manual_seed(0))
    nn.init.normal_(adapter.up)
    x = torch.randn(4, 5)
    weight = adapter.linear.weight + 4.0 * adapter.up @ adapter.down
    expected = x @ weight.T + adapter.linear.bias
    torch.testing.assert_close(adapter(x), expected)
    torch.testing.assert_close(adapter.merged()(x), expected)


def test_the_scale_is_alpha_by_rank_and_of_rslora_by_its_root() -> None:
    assert Adapter(rank=16, alpha=8.0).scale == 0.5
    assert Adapter(method="rslora", rank=16, alpha=8.0).scale == 2.0


def test_dora_is_a_length_for_each_row_of_the_sum() -> None:
    adapter = Decomposed(LowRank(nn.Linear(5, 3), rank=2, scale=4.0))
    adapter.start(torch.Generator().manual_seed(0))
    nn.init.normal_(adapter.low_rank.up)
    nn.init.uniform_(adapter.magnitude, 1, 2)
    x = torch.randn(4, 5)
    total = adapter.linear.weight + 4.0 * adapter.low_rank.up @ adapter.low_rank.down
    rows = adapter.magnitude[:, None] * total / total.norm(dim=1, keepdim=True)
    expected = x @ rows.T + adapter.linear.bias
    torch.testing.assert_close(adapter(x), expected)
    torch.testing.assert_close(adapter.merged()(x), expected)


def test_pissa_takes_the_largest_singular_values_out_of_the_weights() -> None:
    linear = nn.Linear(7, 5)
    whole = linear.weight.detach().clone()
    adapter = LowRank.of_principal(linear, rank=2, scale=4.0)
    torch.testing.assert_close(adapter.merged().weight, whole)
    torch.testing.assert_close(linear.weight, whole, rtol=0, atol=0)
    left = torch.linalg.svdvals(adapter.linear.weight)
    torch.testing.assert_close(left[:3], torch.linalg.svdvals(whole)[2:])
    adapter.start(torch.Generator().manual_seed(0))  # draws nothing
    torch.testing.assert_close(adapter.merged().weight, whole)
    deep = LowRank.of_principal(nn.Linear(3, 2), rank=4, scale=1.0)  # above the product's own rank
    assert deep.linear.weight.abs().max() < 1e-6


def test_dropout_is_of_the_adapter_alone_and_of_training() -> None:
    torch.manual_seed(0)
    adapter = LowRank(nn.Linear(5, 3), rank=2, scale=1.0, dropout=0.5)
    adapter.start(torch.Generator().manual_seed(0))
    x = torch.randn(64, 5)
    torch.testing.assert_close(adapter.train()(x), adapter.linear(x), rtol=0, atol=0)
    nn.init.normal_(adapter.up)
    assert not torch.equal(adapter(x), adapter(x))
    torch.testing.assert_close(adapter.eval()(x), adapter(x), rtol=0, atol=0)


def test_they_stand_beside_every_product_wherever_it_is() -> None:
    inner = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Conv1d(3, 3, 1)})
    module = nn.ModuleList([nn.Linear(2, 3), nn.Sequential(nn.LayerNorm(3), inner)])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    made = adapted(module, Adapter(rank=2, alpha=1.0), "test")
    learned = {name for name, one in made.named_parameters() if one.requires_grad}
    assert learned == {f"{name}.{part}" for name in ("0", "1.1.a") for part in ("down", "up")}
    assert all(one.requires_grad for one in module.parameters())  # the module itself is as it was
    assert made.get_submodule("0.linear").weight.data_ptr() == module[0].weight.data_ptr()  # type: ignore[union-attr, operator]
    start_adapters(made, torch.Generator().manual_seed(1))
    assert not learns_nothing(made)
    plain = without_adapters(made)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert all(one.requires_grad for one in plain.parameters())
    assert learns_nothing(plain.requires_grad_(False))


def test_targets_are_patterns_of_names() -> None:
    made = adapted(two_products(), Adapter(targets="7|2"), "test")
    assert {name for name, one in made.named_parameters() if one.requires_grad} == {
        "2.down",
        "2.up",
    }
    with pytest.raises(
        FitError,
        match=r"^build, test: expected products beside which adapters can stand, named '\*.q_proj'; found none",
    ):
        adapted(two_products(), Adapter(targets="*.q_proj"), "test")


METHODS: tuple[Method, ...] = ("lora", "rslora", "dora", "pissa")


@pytest.mark.parametrize("base", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("method", METHODS)
def test_merged_it_says_the_same(method: Method, base: Any) -> None:
    x = torch.randn(8, 40, generator=torch.Generator().manual_seed(3))
    made = adapted(two_products(), Adapter(method=method, rank=4, base=base, targets="0"), "test")
    if base == "float32":
        torch.testing.assert_close(made(x), two_products()(x), rtol=1e-5, atol=1e-6)
    drawn(made)
    plain = merged(made, lambda module: module(x), base)
    assert [type(part) for part in plain] == [nn.Linear, nn.Tanh, nn.Linear]  # type: ignore[arg-type]
    torch.testing.assert_close(plain(x), made(x), rtol=0, atol=3e-2 if base == "bfloat16" else 1e-5)
    with torch.no_grad():
        assert not torch.allclose(plain(x), two_products()(x), atol=1e-3)


def test_a_merge_that_changes_the_outputs_is_refused() -> None:
    made = drawn(adapted(two_products(), Adapter(), "test"))
    x = torch.randn(8, 40)
    with torch.no_grad():
        made.get_submodule("0").up.mul_(1e30)  # type: ignore[union-attr, operator]
    with pytest.raises(
        FitError, match=r"expected outputs that differ by at most .* found (nan|inf)"
    ):
        merged(made, lambda module: module(x) - module(x) * 1e30 * 1e30)


def test_freezing_by_pattern() -> None:
    made = freeze(two_products(), "0.*")
    assert [name for name, one in made.named_parameters() if one.requires_grad] == ["2.weight"]
    with pytest.raises(FitError, match="'x', which names none of them"):
        freeze(two_products(), "x")
    with pytest.raises(FitError, match="which names all of them"):
        freeze(two_products(), "0.*|2.*")
