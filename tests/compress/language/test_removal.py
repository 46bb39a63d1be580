"""Layers, heads and channels removed: a standard checkpoint that answers as the original where
nothing of worth went.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sixfold.compress.language.calibration import distance
from sixfold.compress.language.importance import least_layers, least_units, unit_readers
from sixfold.compress.language.removal import KeptLayers, KeptUnits, with_layers, with_units
from sixfold.compress.language.structure import LAYERS, READERS, DecoderShape, UnitKind
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import IntArray
from tiny_decoders import KINDS, decoder, windows

UNITS: tuple[UnitKind, ...] = ("heads", "channels")


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.network()(windows().x)


def in_transformers(model: LanguageModel, folder: Path) -> Any:
    """Written, and read by plain transformers."""
    from transformers import AutoModelForCausalLM

    for name, content in model.files().items():
        (folder / name).write_bytes(content)
    found, notes = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not notes["unexpected_keys"]
    assert not notes["mismatched_keys"]
    assert not notes["missing_keys"]
    return found.eval()


def same_in_transformers(model: LanguageModel, folder: Path) -> None:
    tokens = windows().x[:, 0, :12]  # the first text of each window
    with torch.inference_mode():
        found = in_transformers(model, folder)(input_ids=tokens).logits
        assert torch.allclose(found, model.network()(windows().x[:, :, :12]), atol=1e-5)


def changed(model: LanguageModel, arrays: dict[str, np.ndarray]) -> LanguageModel:
    return replace(model, arrays={**model.arrays, **arrays})


def silenced(model: LanguageModel, kind: UnitKind, units: IntArray) -> LanguageModel:
    """What these units of every layer give is read with weights of zero."""
    shape, arrays = DecoderShape.of(model.fields), {}
    for layer in range(shape.layers):
        name = f"{LAYERS}{layer}.{READERS[kind]}.weight"
        arrays[name] = model.arrays[name].copy()
        arrays[name][:, shape.parts(kind)[-1].indices(units)] = 0
    return changed(model, arrays)


def silenced_layer(model: LanguageModel, layer: int) -> LanguageModel:
    names = [f"{LAYERS}{layer}.{name}.weight" for name in READERS.values()]
    return changed(model, {name: np.zeros_like(model.arrays[name]) for name in names})


@pytest.mark.parametrize(("kind", "units"), list(product(KINDS, UNITS)))
def test_units_that_give_nothing_go_unnoticed(kind: str, units: UnitKind, tmp_path: Path) -> None:
    shape = DecoderShape.of(decoder(kind).fields)
    half, silent = shape.units(units) // 2, np.arange(shape.units(units))[::2]
    model = silenced(decoder(kind), units, silent)
    kept = least_units(model, units, windows(), half)
    assert all(set(silent.tolist()).isdisjoint(some.tolist()) for some in kept.units)
    smaller = with_units(model, kept)
    assert torch.allclose(logits(smaller), logits(model), atol=2e-5)
    assert shape.fields(units, half).items() <= smaller.fields.items()
    same_in_transformers(smaller, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_adds_nothing_goes_first(kind: str, tmp_path: Path) -> None:
    model = silenced_layer(decoder(kind), 1)
    kept = least_layers(model, windows(), 2)
    assert kept.layers == [0, 2]
    smaller = with_layers(model, kept)
    assert torch.equal(logits(smaller), logits(model))
    same_in_transformers(smaller, tmp_path)


def test_layers_go_one_after_the_other() -> None:
    """What the second one costs depends on the first."""
    model = decoder(num_hidden_layers=4)
    kept = least_layers(model, windows(), 2).layers
    three = least_layers(model, windows(), 3).layers
    assert set(kept) < set(three)
    first = [
        distance(
            with_layers(model, KeptLayers([n for n in range(4) if n != layer])).network(),
            model.network(),
            windows(),
        ).divergence
        for layer in range(4)
    ]
    assert {int(np.argmin(first))} == set(range(4)) - set(three)


def test_layers_of_several_kinds_of_attention_stay_what_they_are() -> None:
    types = ["full_attention", "sliding_attention", "full_attention"]
    model = decoder("qwen3", use_sliding_window=True, sliding_window=8, layer_types=types)
    model = silenced_layer(model, 0)
    kept = least_layers(model, windows(), 2)
    assert kept.layers == [1, 2]
    smaller = with_layers(model, kept)
    assert smaller.fields["layer_types"] == types[1:]
    assert torch.equal(logits(smaller), logits(model))


def test_heads_that_share_one_of_keys_and_values() -> None:
    model = decoder(num_key_value_heads=1)
    assert DecoderShape.of(model.fields).units("heads") == 4
    model = silenced(model, "heads", np.array([0, 3]))
    smaller = with_units(model, KeptUnits("heads", [np.array([1, 2])] * 3))
    assert torch.allclose(logits(smaller), logits(model), atol=1e-5)
    fields = smaller.fields
    assert (fields["num_attention_heads"], fields["num_key_value_heads"]) == (2, 1)
    assert fields["head_dim"] == 16


@pytest.mark.parametrize("units", UNITS)
def test_biases_and_tied_vectors_go_along(units: UnitKind, tmp_path: Path) -> None:
    model = decoder(attention_bias=True, mlp_bias=True, tie_word_embeddings=True)
    every = DecoderShape.of(model.fields).units(units)
    model = silenced(model, units, np.arange(every // 2))
    smaller = with_units(model, KeptUnits(units, [np.arange(every // 2, every)] * 3))
    assert torch.allclose(logits(smaller), logits(model), atol=1e-5)
    assert "lm_head.weight" not in smaller.arrays
    same_in_transformers(smaller, tmp_path)


@pytest.mark.parametrize("units", UNITS)
def test_what_is_left_makes_up_for_what_goes(units: UnitKind) -> None:
    """Where units give the same as others, those that stay can say it all; nothing is lost."""
    model = decoder(num_key_value_heads=4)
    shape, arrays = DecoderShape.of(model.fields), {}
    half = shape.units(units) // 2
    for layer, part in product(range(shape.layers), shape.parts(units)[:-1]):
        name = f"{LAYERS}{layer}.{part.matrix}.weight"
        arrays[name] = model.arrays[name].copy()
        arrays[name][half * part.width :] = arrays[name][: half * part.width]
    model = changed(model, arrays)
    columns = shape.parts(units)[-1].indices(np.arange(half))
    with torch.inference_mode():
        known = unit_readers(model.network(), units, windows())
        readers = [reader.without(columns).numpy() for reader in known]
    first = [np.arange(half)] * 3
    apart = [
        distance(
            with_units(model, KeptUnits(units, first, made)).network(), model.network(), windows()
        ).divergence
        for made in (readers, ())
    ]
    assert apart[0] < 1e-6 < 1e-3 < apart[1]


def test_only_numbers_that_a_standard_configuration_takes() -> None:
    shape = DecoderShape(2, 64, heads=8, kv_heads=4, head_width=16, channels=128)
    assert [n for n in range(6) if shape.fits("heads", n)] == [1, 2, 4]  # 6 heads do not divide 64
    assert [n for n in range(129) if shape.fits("channels", n)] == [32, 64, 96, 128]
    assert (shape.share("heads", 0.5), shape.share("channels", 0.3)) == (2, 96)
    odd = DecoderShape(2, 64, heads=1, kv_heads=1, head_width=16, channels=30)
    assert (odd.share("heads", 0.5), odd.share("channels", 0.5)) == (1, 15)
