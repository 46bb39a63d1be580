"""Blocks of GGUF: rounded as the package `gguf` rounds them, bit for bit, and read back."""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.parts.gguf_blocks import (
    BlockType,
    FourBits,
    TensorData,
    decoded,
    encoded,
    four_bits,
)

gguf = pytest.importorskip("gguf")
KINDS: tuple[BlockType, ...] = ("q8_0", "q4_0")


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(64, 160)).astype(np.float32)
    halves = (rng.integers(-16, 17, (32, 64)) / 2).astype(np.float32)  # many exact ties
    zeros = plain.copy()
    zeros[:, 32:64] = 0
    tiny = (plain * 1e-6).astype(np.float32)
    return {"plain": plain, "halves": halves, "zeros": zeros, "tiny": tiny, "one row": plain[:1]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", weights())
def test_rounding_is_that_of_gguf(kind: BlockType, case: str) -> None:
    weight = weights()[case]
    theirs = gguf.quantize(weight, gguf.GGMLQuantizationType[kind.upper()])
    tensor = encoded("w", weight, kind)
    assert np.array_equal(tensor.data, theirs)
    assert tensor.shape == weight.shape
    read = gguf.dequantize(theirs, gguf.GGMLQuantizationType[kind.upper()])
    assert np.array_equal(decoded(tensor), read)


def test_rows_of_no_whole_blocks_are_half_precision() -> None:
    weight = np.linspace(-1, 1, 3 * 40, dtype=np.float32).reshape(3, 40)
    tensor = encoded("w", weight, "q4_0")
    assert (tensor.type, tensor.shape, tensor.data.dtype) == ("f16", (3, 40), np.uint8)
    assert np.array_equal(decoded(tensor), weight.astype(np.float16).astype(np.float32))


def test_many_rows_are_rounded_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = weights()["plain"]
    whole = [encoded("w", weight, kind).data for kind in KINDS]
    monkeypatch.setattr("sixfold.parts.gguf_blocks.AT_ONCE", 7 * 160)
    for kind, data in zip(KINDS, whole, strict=True):
        assert np.array_equal(encoded("w", weight, kind).data, data)


def test_codes_and_scales_are_the_block() -> None:
    tensor = encoded("w", weights()["plain"], "q4_0")
    four = four_bits(tensor)
    assert four.codes.shape == (64, 160)
    assert four.scales.shape == (64, 5)
    assert np.array_equal(four.packed(), tensor.data)
    assert np.array_equal(four.values(), decoded(tensor))


def test_rows_of_codes_may_be_permuted_as_the_weights_are() -> None:
    """GGUF's llama has the rows of q and k in another order: blocks lie within rows."""
    weight = weights()["plain"]
    order = np.random.default_rng(1).permutation(len(weight))
    for kind in KINDS:
        tensor = encoded("w", weight, kind)
        moved = TensorData("w", kind, tensor.data[order])
        assert np.array_equal(decoded(moved), decoded(tensor)[order])
        assert np.array_equal(moved.data, encoded("w", weight[order], kind).data)


def test_any_codes_survive() -> None:
    rng = np.random.default_rng(2)
    four = FourBits(
        rng.integers(0, 16, (5, 64)).astype(np.uint8), rng.normal(size=(5, 2)).astype(np.float16)
    )
    again = four_bits(TensorData("w", "q4_0", four.packed()))
    assert np.array_equal(again.codes, four.codes)
    assert np.array_equal(again.scales, four.scales)
