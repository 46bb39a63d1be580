"""Layers, heads and channels removed: a standard checkpoint that answers as the original where
nothing of worth went.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sixfold.compress.language.calibration import distance, scores
from sixfold.compress.language.importance import least_layers, least_units
from sixfold.compress.language.removal import KeptLayers, KeptUnits, with_layers, with_units
from sixfold.compress.language.structure import (
    READERS,
    DecoderShape,
    Kind,
    configuration,
    layers_of,
    linear,
    reading_columns,
)
from tiny_decoders import KINDS, decoder, windows

UNITS: tuple[Kind, ...] = ("heads", "channels")


def logits(module: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return scores(module, windows())


def again(module: nn.Module, folder: Path) -> nn.Module:
    """Written and read by plain transformers."""
    from transformers import AutoModelForCausalLM

    saved: Any = module
    saved.save_pretrained(folder)
    found, notes = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not notes["missing_keys"]
    assert not notes["unexpected_keys"]
    assert not notes["mismatched_keys"]
    read: nn.Module = found.eval()
    return read


def silence(module: nn.Module, kind: Kind, units: torch.Tensor) -> None:
    """What these units of every layer give is read with weights of zero."""
    columns = reading_columns(DecoderShape.of(module), kind, units)
    for layer in layers_of(module):
        with torch.no_grad():
            linear(layer, READERS[kind]).weight[:, columns] = 0


def silence_layer(module: nn.Module, number: int) -> None:
    layer = layers_of(module)[number]
    for name in READERS.values():
        with torch.no_grad():
            nn.init.zeros_(linear(layer, name).weight)


@pytest.mark.parametrize(("kind", "units"), list(product(KINDS, UNITS)))
def test_units_that_give_nothing_go_unnoticed(kind: str, units: Kind, tmp_path: Path) -> None:
    module = decoder(kind)
    shape = DecoderShape.of(module)
    half = shape.units(units) // 2
    silent = torch.arange(shape.units(units))[::2]
    silence(module, units, silent)
    before = logits(module)
    kept = least_units(module, units, windows(), half)
    smaller = with_units(module, kept)
    assert all(set(silent.tolist()).isdisjoint(some.tolist()) for some in kept.units)
    assert torch.allclose(logits(smaller), before, atol=2e-5)
    assert torch.equal(logits(module), before)
    loaded = again(smaller, tmp_path)
    assert torch.equal(logits(loaded), logits(smaller))
    assert shape.fields(units, half).items() <= configuration(loaded).items()
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_adds_nothing_goes_first(kind: str, tmp_path: Path) -> None:
    module = decoder(kind)
    silence_layer(module, 1)
    before = logits(module)
    kept = least_layers(module, windows(), 2)
    assert kept.layers == [0, 2]
    smaller = with_layers(module, kept)
    assert torch.equal(logits(smaller), before)
    assert torch.equal(logits(again(smaller, tmp_path)), before)


def test_layers_of_several_kinds_of_attention_stay_what_they_are() -> None:
    types = ["full_attention", "sliding_attention", "full_attention"]
    module = decoder("qwen3", use_sliding_window=True, sliding_window=8, layer_types=types)
    silence_layer(module, 0)
    smaller = with_layers(module, KeptLayers([1, 2]))
    assert configuration(smaller)["layer_types"] == types[1:]
    assert torch.equal(logits(smaller), logits(module))


def test_heads_that_share_one_of_keys_and_values() -> None:
    module = decoder(num_key_value_heads=1)
    assert DecoderShape.of(module).units("heads") == 4
    silence(module, "heads", torch.tensor([0, 3]))
    smaller = with_units(module, KeptUnits("heads", [torch.tensor([1, 2])] * 3))
    assert torch.allclose(logits(smaller), logits(module), atol=1e-5)
    fields = configuration(smaller)
    assert (fields["num_attention_heads"], fields["num_key_value_heads"]) == (2, 1)
    assert fields["head_dim"] == 16


def test_biases_and_tied_words_go_along() -> None:
    module = decoder(attention_bias=True, mlp_bias=True, tie_word_embeddings=True)
    for units in UNITS:
        silence(module, units, torch.tensor([0]))
        every = DecoderShape.of(module).units(units)
        kept = KeptUnits(units, [torch.arange(1, every)] * 3)
        assert torch.allclose(logits(with_units(module, kept)), logits(module), atol=1e-5)
    named = dict(with_units(module, kept).named_parameters(remove_duplicate=True))
    assert "lm_head.weight" not in named


@pytest.mark.parametrize("units", UNITS)
def test_what_is_left_makes_up_for_what_goes(units: Kind) -> None:
    """Where units give the same as others, those that stay can say it all; nothing of it is lost."""
    module = decoder(num_key_value_heads=4)
    shape = DecoderShape.of(module)
    half = shape.units(units) // 2
    for layer in layers_of(module):
        for part in shape.parts(units)[:-1]:
            with torch.no_grad():
                weight = linear(layer, part.linear).weight
                weight[half * part.width :] = weight[: half * part.width]
    kept = least_units(module, units, windows(), half)
    kept = KeptUnits(units, [torch.arange(half)] * 3, made_up(module, units, half))
    near = distance(with_units(module, kept), module, windows()).divergence
    plain = distance(with_units(module, KeptUnits(units, kept.units)), module, windows()).divergence
    assert near < 1e-6 < plain


def made_up(module: nn.Module, units: Kind, half: int) -> list[torch.Tensor]:
    from sixfold.compress.language.importance import unit_readers

    columns = reading_columns(DecoderShape.of(module), units, torch.arange(half))
    return [reader.without(columns) for reader in unit_readers(module, units, windows())]


def test_only_numbers_that_a_standard_configuration_takes() -> None:
    shape = DecoderShape(2, 64, heads=8, kv_heads=4, head_width=16, channels=128)
    assert [n for n in range(6) if shape.fits("heads", n)] == [1, 2, 4]  # 6 heads do not divide 64
    assert [n for n in range(129) if shape.fits("channels", n)] == [32, 64, 96, 128]
    assert (shape.share("heads", 0.5), shape.share("channels", 0.3)) == (2, 96)
    odd = DecoderShape(2, 64, heads=1, kv_heads=1, head_width=16, channels=30)
    assert (odd.share("heads", 0.5), odd.share("channels", 0.5)) == (1, 15)
