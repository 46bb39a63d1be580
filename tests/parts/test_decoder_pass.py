"""The pass for training gives transformers' own numbers and gradients, whatever the shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sixfold.parts import decoder_pass
from sixfold.parts.compiled_layer import LayerInputs, WindowKind, layer
from sixfold.parts.language_network import PackedNetwork, token_losses

VOCABULARY = 40


def network(
    model: str = "llama", heads: int = 4, kv_heads: int = 2, **others: Any
) -> PackedNetwork:
    fields = {
        "model_type": model,
        "vocab_size": VOCABULARY,
        "hidden_size": 8 * heads,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 8,
        "max_position_embeddings": 64,
    }
    made = PackedNetwork(json.dumps({**fields, **others}))
    generator = torch.Generator().manual_seed(1)
    for one in made.parameters():
        nn.init.normal_(one, std=0.3, generator=generator)
    return made


def windows(count: int, length: int, texts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets: `texts` of about equal length in each window."""
    generator = torch.Generator().manual_seed(count + length)
    ids = torch.randint(0, VOCABULARY, (count, length + 1), generator=generator)
    numbers = torch.arange(length) * texts // length
    firsts = torch.stack([(numbers == one).nonzero()[0, 0] for one in numbers])
    places = torch.arange(length) - firsts
    rows = [ids[:, :-1], places.expand(count, -1), numbers.expand(count, -1)]
    return torch.stack(rows, dim=1), ids[:, 1:]


def gradients(
    made: PackedNetwork, x: torch.Tensor, y: torch.Tensor, train: bool, half: bool = False
) -> tuple[float, list[torch.Tensor]]:
    made.train(train).zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        scores = made(x)
    loss = token_losses(scores, y).mean()
    loss.backward()
    return float(loss.detach()), [
        one.grad.clone() for one in made.parameters() if one.grad is not None
    ]


@settings(max_examples=12, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
    tied=st.booleans(),
    count=st.integers(1, 3),
    length=st.integers(1, 20),
    texts=st.integers(1, 3),
    model=st.sampled_from(["llama", "mistral"]),
)
def test_losses_and_gradients_are_those_of_transformers(
    heads: tuple[int, int], tied: bool, count: int, length: int, texts: int, model: str
) -> None:
    made = network(model, *heads, tie_word_embeddings=tied)
    x, y = windows(count, length, min(texts, length))
    theirs, others = gradients(made, x, y, train=False)
    assert made.kind is None
    ours, own = gradients(made, x, y, train=True)
    assert made.kind is not None
    assert ours == pytest.approx(theirs, abs=1e-5)
    for one, other in zip(own, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [16, decoder_pass.BY_HAND + 1])
@pytest.mark.parametrize("texts", [1, 2])
def test_in_bfloat16_it_is_as_close_as_autocast(length: int, texts: int) -> None:
    made = network(max_position_embeddings=1024)
    x, y = windows(2, length, texts)
    _, exact = gradients(made, x, y, train=False)
    _, theirs = gradients(made, x, y, train=False, half=True)
    _, own = gradients(made, x, y, train=True, half=True)
    assert any(not torch.equal(one, other) for one, other in zip(own, exact, strict=True))

    def far(some: list[torch.Tensor]) -> float:
        pairs = zip(some, exact, strict=True)
        return float(sum((one - other).norm() ** 2 for one, other in pairs)) ** 0.5

    assert far(own) <= 2 * far(theirs)


class Other(nn.Linear):
    """Such as an adapter's."""


@pytest.mark.parametrize(
    "why", ["qwen2 has biases", "qwen3 has norms", "an adapter", "a layer that is computed twice"]
)
def test_layers_that_it_does_not_know_stay_transformers_own(why: str) -> None:
    made = network(why.split()[0] if why.startswith("qwen") else "llama")
    first: Any = made.network.model.layers[0]
    if why == "an adapter":
        first.self_attn.q_proj = Other(32, 32, bias=False)
    if "twice" in why:
        first.forward = first.forward
    assert not decoder_pass.can_read(made.network)
    x, y = windows(1, 5, 1)
    theirs, _ = gradients(made, x, y, train=False)
    ours, _ = gradients(made, x, y, train=True)
    assert ours == theirs
    assert made.kind is None


def test_a_frozen_weight_beside_one_that_learns_has_no_gradient() -> None:
    made = network()
    attention: Any = made.network.model.layers[0].self_attn
    attention.k_proj.weight.requires_grad_(False)
    x, y = windows(1, 5, 1)
    gradients(made, x, y, train=True)
    assert attention.k_proj.weight.grad is None
    assert attention.q_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("texts", [1, 2])
def test_the_layer_that_is_compiled_is_the_same_layer(dtype: torch.dtype, texts: int) -> None:
    """Not compiled here: what the compiler is given."""
    made = network()
    x, _ = windows(2, 9, texts)
    one: Any = made.network.model.layers[0]
    h = made.network.model.embed_tokens(x[:, 0])
    turn = decoder_pass._turn(made.network.model, h, x[:, 1], dtype)
    seen = (x[:, 2, :, None] == x[:, 2, None, :]) & torch.ones(9, 9, dtype=torch.bool).tril()
    mask = decoder_pass._mask(seen[:, None] if texts > 1 else None, h, dtype)
    expected = decoder_pass._layer(one, h, turn, mask)
    names = ["input_layernorm", *(f"self_attn.{name}_proj" for name in "qkvo")]
    names += ["post_attention_layernorm", *(f"mlp.{name}_proj" for name in ("gate", "up", "down"))]
    weights = [one.get_parameter(f"{name}.weight") for name in names]
    for by_hand in (True, False):
        inputs = LayerInputs(h, turn[:, :, :, :1], mask, 1e-6, one.self_attn.scaling, by_hand)
        near = (
            {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
        )
        torch.testing.assert_close(layer(inputs, weights), expected, **near)


def test_programs_serve_windows_of_their_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def program() -> Any:
        return lambda inputs, weights: (asked.append(len(inputs.h)), layer(inputs, weights))[1]

    monkeypatch.setattr(decoder_pass, "program", program)
    made = network()
    made.compiled = WindowKind(2, 6, several=False)
    for count, length, texts in ((2, 6, 1), (1, 6, 1), (2, 5, 1), (2, 6, 2)):
        x, y = windows(count, length, texts)
        theirs, _ = gradients(made, x, y, train=False)
        assert gradients(made, x, y, train=True)[0] == pytest.approx(theirs, abs=1e-5)
    assert asked == [2, 2]  # two layers
