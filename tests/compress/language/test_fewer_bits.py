"""A whole model in fewer bits: which matrices, which types, and the weights as served."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from sixfold.compress.language.calibration import distance, scores
from sixfold.compress.language.fewer_bits import (
    FewerBits,
    Method,
    as_served,
    dequantized,
    matrices,
    quantized,
)
from tiny_decoders import KINDS, decoder, windows

gguf = pytest.importorskip("gguf")
METHODS: tuple[Method, ...] = ("int8", "int4", "gptq")


@pytest.mark.parametrize("method", METHODS)
def test_types(method: Method) -> None:
    tensors = quantized(decoder(), FewerBits(method), windows())
    types = Counter(tensor.type for tensor in tensors)
    assert types == ({"q8_0": 23} if method == "int8" else {"q4_0": 21, "q8_0": 2})


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearer_the_more_bits(kind: str) -> None:
    module = decoder(kind)
    before = {name: weight.copy() for name, weight in matrices(module).items()}
    apart = {}
    for method in METHODS:
        served = as_served(module, quantized(module, FewerBits(method), windows()))
        apart[method] = distance(served, module, windows()).divergence
    assert 0 < apart["int8"] < 0.05 * apart["int4"]
    assert apart["gptq"] < apart["int4"]
    assert all(np.array_equal(weight, before[name]) for name, weight in matrices(module).items())


def test_weights_as_served_are_those_of_the_public_reader() -> None:
    tensors = quantized(decoder(), FewerBits("gptq"), windows())
    weights = dequantized(tensors)
    for tensor in tensors:
        read = gguf.dequantize(tensor.data, gguf.GGMLQuantizationType[tensor.type.upper()])
        assert np.array_equal(weights[tensor.name], read)


def test_tied_vectors_come_once() -> None:
    module = decoder(tie_word_embeddings=True)
    tensors = quantized(module, FewerBits("int4"), windows())
    names = [tensor.name for tensor in tensors]
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names
    served = as_served(module, tensors)
    words = dequantized(tensors)["model.embed_tokens.weight"]
    assert np.array_equal(served.get_submodule("lm_head").weight.detach().numpy(), words)


def test_distance_of_a_model_from_itself() -> None:
    module = decoder()
    found = distance(module, module, windows())
    with torch.inference_mode():
        tokens = windows()
        logits = scores(module, tokens)[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
    assert found.divergence == 0
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    assert found.tokens == 8 * 23
