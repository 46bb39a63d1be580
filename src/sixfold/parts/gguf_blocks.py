"""Weights as a GGUF file holds them: 32 neighboring numbers of a row share one scale in half
precision, and each is an integer of 8 (`q8_0`) or 4 bits (`q4_0`).

The layouts are those of ggml: a block of `q8_0` is 2 bytes of scale and 32 signed bytes; one of
`q4_0` is 2 bytes of scale and 16 bytes, whose low halves hold the first 16 numbers and whose high
halves the last 16, each plus 8. Rounding to the nearest is, bit for bit, that of the package `gguf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sixfold.parts.state import State

BlockType = Literal["f16", "q8_0", "q4_0"]
Bytes = npt.NDArray[np.uint8]
Single = npt.NDArray[np.float32]

GROUP: Final = 32  # numbers that share a scale
OFFSET: Final = 8  # what a code of q4_0 is above its integer, which is in -8 to 7
BLOCK_BYTES: Final = {"q8_0": 2 + GROUP, "q4_0": 2 + GROUP // 2}
AT_ONCE: Final = 1 << 22  # numbers that are rounded at once: products in double take 32 MiB


@dataclass(frozen=True)
class TensorData(State):
    """One matrix as it stands in the file. `name`: that of the checkpoint's tensor; `data`: uint8
    [rows, bytes of a row], rows and columns in the checkpoint's order.
    """

    name: str
    type: BlockType
    data: Bytes

    @property
    def shape(self) -> tuple[int, int]:
        """[rows, columns] of the matrix."""
        rows, width = self.data.shape
        if self.type == "f16":
            return rows, width // 2
        return rows, width // BLOCK_BYTES[self.type] * GROUP


@dataclass(frozen=True)
class FourBits:
    """A matrix in integers of 4 bits. `codes`: uint8 [rows, columns], 0 to 15, each 8 above its
    integer; `scales`: float16 [rows, columns / 32].
    """

    codes: Bytes
    scales: npt.NDArray[np.float16]

    def packed(self) -> Bytes:
        """The blocks of `q4_0`: uint8 [rows, bytes of a row]."""
        rows, columns = self.codes.shape
        halves = self.codes.reshape(rows, columns // GROUP, 2, GROUP // 2)
        pairs = halves[:, :, 0] | (halves[:, :, 1] << np.uint8(4))
        scales = np.ascontiguousarray(self.scales)[..., None].view(np.uint8)
        return np.concatenate([scales, pairs], axis=2).reshape(rows, -1)

    def values(self) -> Single:
        """[rows, columns] (code - 8) · scale, exact in single precision."""
        rows, columns = self.codes.shape
        integers = self.codes.reshape(rows, -1, GROUP).astype(np.float32) - np.float32(OFFSET)
        return (integers * self.scales[..., None].astype(np.float32)).reshape(rows, columns)


def fits(columns: int, kind: BlockType) -> bool:
    """Whether rows of `columns` numbers are whole blocks."""
    return kind == "f16" or columns % GROUP == 0


def encoded(name: str, weight: Single, kind: BlockType) -> TensorData:
    """The matrix `weight` [rows, columns] as the file holds it, rounded to the nearest.

    Rows that are no whole blocks become `f16`, the one type that takes any number of columns.
    """
    if not fits(weight.shape[1], kind):
        kind = "f16"
    parts = [_rounded(part, kind) for part in _slices(weight)]
    return TensorData(name, kind, np.concatenate(parts))


def decoded(tensor: TensorData) -> Single:
    """[rows, columns] the numbers that the file stands for, in single precision."""
    if tensor.type == "f16":
        return np.ascontiguousarray(tensor.data).view(np.float16).astype(np.float32)
    if tensor.type == "q4_0":
        return four_bits(tensor).values()
    rows, columns = tensor.shape
    blocks = tensor.data.reshape(rows, -1, BLOCK_BYTES["q8_0"])
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    integers = np.ascontiguousarray(blocks[..., 2:]).view(np.int8).astype(np.float32)
    return (integers * scales).reshape(rows, columns)


def four_bits(tensor: TensorData) -> FourBits:
    """Codes and scales of a tensor of the type `q4_0`."""
    rows, columns = tensor.shape
    blocks = tensor.data.reshape(rows, -1, BLOCK_BYTES["q4_0"])
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0]
    pairs = blocks[..., 2:]
    codes = np.concatenate([pairs & np.uint8(15), pairs >> np.uint8(4)], axis=2)
    return FourBits(codes.reshape(rows, columns), scales)


def _slices(weight: Single) -> Iterator[Single]:
    """Some rows after the other; one empty slice of a matrix without rows."""
    step = max(1, AT_ONCE // max(1, weight.shape[1]))
    for start in range(0, max(1, len(weight)), step):
        yield np.ascontiguousarray(weight[start : start + step], dtype=np.float32)


def _rounded(weight: Single, kind: BlockType) -> Bytes:
    if kind == "f16":
        return weight.astype(np.float16).view(np.uint8)
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // GROUP, GROUP)
    if kind == "q4_0":
        return _to_four_bits(blocks).packed()
    scales = np.abs(blocks).max(axis=2, keepdims=True) / np.float32(127)
    integers = _half_away_from_zero(blocks * _inverse(scales)).astype(np.int8)
    halves = scales.astype(np.float16).view(np.uint8)
    return np.concatenate([halves, integers.view(np.uint8)], axis=2).reshape(rows, -1)


def _to_four_bits(blocks: Single) -> FourBits:
    """`blocks` [rows, blocks, 32]: the number that is farthest from zero becomes -8 exactly."""
    rows = len(blocks)
    farthest = np.abs(blocks).argmax(axis=2, keepdims=True)
    scales = np.take_along_axis(blocks, farthest, axis=2) / np.float32(-OFFSET)
    # In double, as `gguf` computes it: a half that is rounded in single goes the other way.
    above = blocks.astype(np.float64) * _inverse(scales).astype(np.float64) + (OFFSET + 0.5)
    codes = np.trunc(above).astype(np.float32).astype(np.uint8).clip(0, 15)
    return FourBits(codes.reshape(rows, -1), scales[..., 0].astype(np.float16))


def _inverse(scales: Single) -> Single:
    with np.errstate(divide="ignore"):
        return np.where(scales == 0, np.float32(0), np.float32(1) / scales)


def _half_away_from_zero(values: Single) -> Single:
    size = np.abs(values)
    whole = np.floor(size)
    return np.asarray(np.sign(values) * (whole + np.floor(2 * (size - whole))), dtype=np.float32)
