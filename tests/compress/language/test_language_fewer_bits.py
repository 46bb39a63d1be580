"""A whole model in fewer bits: which matrices, which types, and the weights as served."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from sixfold.compress.language.calibration import distance
from sixfold.compress.language.fewer_bits import FewerBits, Method, quantized, served_bytes
from sixfold.parts import state
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.token_windows import IGNORED
from tiny_decoders import KINDS, decoder, windows

gguf = pytest.importorskip("gguf")
METHODS: tuple[Method, ...] = ("int8", "int4", "gptq")


@pytest.mark.parametrize("method", METHODS)
def test_types(method: Method) -> None:
    blocks = quantized(decoder(), FewerBits(method), windows()).blocks
    types = Counter(tensor.type for tensor in blocks)
    assert types == ({"q8_0": 23} if method == "int8" else {"q4_0": 21, "q8_0": 2})


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearer_the_more_bits(kind: str) -> None:
    model = decoder(kind)
    before = {name: weight.copy() for name, weight in model.arrays.items()}
    apart = {}
    for method in METHODS:
        served = quantized(model, FewerBits(method), windows())
        apart[method] = distance(served.network(), model.network(), windows()).divergence
    assert 0 < apart["int8"] < 0.05 * apart["int4"]
    assert apart["gptq"] < apart["int4"]
    assert all(np.array_equal(weight, before[name]) for name, weight in model.arrays.items())


def test_weights_are_those_of_the_public_reader() -> None:
    model = quantized(decoder(), FewerBits("gptq"), windows())
    for tensor in model.blocks:
        read = gguf.dequantize(tensor.data, gguf.GGMLQuantizationType[tensor.type.upper()])
        assert np.array_equal(model.arrays[tensor.name], read)


def test_rows_of_no_whole_blocks_are_half_precision() -> None:
    model = quantized(decoder(hidden_size=48, head_dim=12), FewerBits("int4"), windows(2))
    types = Counter(tensor.type for tensor in model.blocks)
    assert types == {"q4_0": 3, "f16": 20}
    some = model.arrays["lm_head.weight"]
    assert np.array_equal(some, some.astype(np.float16).astype(np.float32))


def test_tied_vectors_come_once() -> None:
    model = quantized(decoder(tie_word_embeddings=True), FewerBits("int4"), windows())
    names = [tensor.name for tensor in model.blocks]
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


def test_survives_files(tmp_path: Path) -> None:
    model = quantized(decoder(), FewerBits("gptq"), windows())
    state.save(model, tmp_path)
    again = state.load(tmp_path, LanguageModel)
    assert [tensor.name for tensor in again.blocks] == [tensor.name for tensor in model.blocks]
    pairs = zip(again.blocks, model.blocks, strict=True)
    assert all(np.array_equal(one.data, other.data) for one, other in pairs)


def test_bytes_as_served() -> None:
    model = decoder()
    sizes = {array.size for array in model.arrays.values() if array.ndim == 2}
    assert sizes
    matrices = sum(array.size for array in model.arrays.values() if array.ndim == 2)
    vectors = 4 * sum(array.size for array in model.arrays.values() if array.ndim == 1)
    assert served_bytes(model) == 2 * matrices + vectors
    int8 = quantized(model, FewerBits("int8"), windows())
    assert served_bytes(int8) == matrices * 34 // 32 + vectors
    int4 = quantized(model, FewerBits("int4"), windows())
    tokens = 2 * 64 * 260
    assert served_bytes(int4) == (matrices - tokens) * 18 // 32 + tokens * 34 // 32 + vectors


def test_distance_of_a_model_from_itself() -> None:
    network, batch = decoder().network(), windows()
    found = distance(network, network, batch)
    with torch.inference_mode():
        logits = network(batch.x).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, batch.y.flatten(), ignore_index=IGNORED)
    assert found.divergence == 0
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    assert found.tokens == int((batch.y != IGNORED).sum())
