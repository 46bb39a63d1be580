"""Adapters of language models beside those of peft: the same outputs, the same gradients, the same
merged weights.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from sixfold.train.adapters.adapt import Adapter, Method, adapted, merged
from tiny_language_models import MODELS, some_ids, tiny

# peft 0.21 asks transformers 5.24 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
PEFT: dict[Method, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"},
}


def loss_of(model: Any) -> torch.Tensor:
    ids = some_ids()
    logits = model(input_ids=ids).logits
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def adapted_model(method: Method, kind: str, base: Any = "float32") -> Any:
    model = tiny(kind)
    model.requires_grad_(False)
    model.model = adapted(model.model, Adapter(method=method, rank=4, base=base), "language")
    with torch.no_grad():
        for number, (name, one) in enumerate(model.named_parameters()):
            if name.endswith(".up"):
                one.add_(
                    torch.randn(one.shape, generator=torch.Generator().manual_seed(number)) * 0.1
                )
    return model


def peft_model(method: Method, kind: str, ours: Any) -> Any:
    """peft's, with the adapters of `ours`."""
    options = {"r": 4, "lora_alpha": 16.0, "target_modules": "all-linear", **PEFT[method]}
    theirs = get_peft_model(tiny(kind), LoraConfig(**options))
    with torch.no_grad():
        for name, adapter in adapters(ours).items():
            other = theirs.get_submodule(f"base_model.model.{name}")
            other.lora_A["default"].weight.copy_(adapter.down)
            other.lora_B["default"].weight.copy_(adapter.up)
    return theirs


def adapters(model: Any) -> dict[str, Any]:
    """By the name of their product in the model as it was."""
    return {
        name.removesuffix(".low_rank"): part
        for name, part in model.named_modules()
        if type(part).__name__ == "LowRank"
    }


@pytest.mark.parametrize("method", PEFT)
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_outputs_and_gradients_are_those_of_peft(method: Method, kind: str) -> None:
    ours = adapted_model(method, kind)
    theirs = peft_model(method, kind, ours)
    mine, other = loss_of(ours), loss_of(theirs)
    mine.backward()  # type: ignore[no-untyped-call]
    other.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
    assert len(adapters(ours)) == 2 * 7
    for name, adapter in adapters(ours).items():
        part = theirs.get_submodule(f"base_model.model.{name}")
        for own, yours in ((adapter.down, part.lora_A), (adapter.up, part.lora_B)):
            torch.testing.assert_close(own.grad, yours["default"].weight.grad, rtol=1e-4, atol=1e-6)
    learned = {name for name, one in ours.named_parameters() if one.requires_grad}
    assert len(learned) == 14 * (3 if method == "dora" else 2)


def test_pissa_starts_where_that_of_peft_does() -> None:
    ours = tiny()
    ours.model = adapted(ours.model, Adapter(method="pissa", rank=4), "language")
    options = LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights="pissa")
    theirs = get_peft_model(tiny(), options)
    for name, adapter in adapters(ours).items():
        part = theirs.get_submodule(f"base_model.model.{name}")
        product = part.lora_B["default"].weight @ part.lora_A["default"].weight
        torch.testing.assert_close(adapter.up @ adapter.down, product, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            adapter.linear.weight, part.base_layer.weight, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", MODELS)
def test_merged_the_logits_stay(kind: str) -> None:
    ours = adapted_model("lora", kind, "int4")
    ids = some_ids()
    with torch.no_grad():
        before = ours(input_ids=ids).logits
        plain: Any = merged(ours, lambda model: model(input_ids=ids).logits, "int4")
        torch.testing.assert_close(plain(input_ids=ids).logits, before, rtol=0, atol=1e-4)
    assert set(plain.state_dict()) == set(tiny(kind).state_dict())
