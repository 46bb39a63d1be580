"""The tensors of a GGUF file as constants of a graph of OpenVINO: half precision as it stands, blocks of 8 and 4 bits as
integers with their scales, the rows of a llama's query and key in the order of transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as ops

from sixfold.bundle.gguf_header import ALIGNMENT, GgufHeader

Single = npt.NDArray[np.float32]
N = TypeVar("N", bound=np.generic)

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8  # types of tensors
GROUP: Final = 32  # numbers that share a scale
SCALE_BYTES: Final = 2
PAIRED: Final = "llama"  # whose file has the two halves of the rows of a head interleaved


class GgufWeights:
    """Of one file. Constants may look at its pages, so it lives as long as they are needed."""

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._header = header
        self._content = np.memmap(path, dtype=np.uint8, mode="c")
        tensors = header.tensors.values()
        sizes = sum(-(-each.size_bytes() // ALIGNMENT) * ALIGNMENT for each in tensors)
        self._start = len(self._content) - sizes
        self._kept: list[npt.NDArray[Any]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._header.tensors

    def vector(self, name: str) -> Single:
        """The numbers of a norm, of biases or of factors."""
        return self._ordered(name, self._stored(name).view(np.float32))

    def matrix(self, name: str) -> Any:
        """A node, float32 [rows, columns]."""
        tensor = self._header.tensors[name]
        columns, rows = tensor.shape
        stored = self._stored(name)
        if tensor.kind in (F32, F16):
            kind = np.float32 if tensor.kind == F32 else np.float16
            values = self._ordered(name, stored.view(kind).reshape(rows, columns))
            self._kept.append(values)
            return ops.convert(ops.constant(values, shared_memory=True), openvino.Type.f32)
        blocks = self._ordered(name, stored.reshape(rows, columns // GROUP, -1))
        scales = np.ascontiguousarray(blocks[..., :SCALE_BYTES]).view(np.float16)
        integers = _integers(np.ascontiguousarray(blocks[..., SCALE_BYTES:]), tensor.kind)
        products = ops.multiply(ops.convert(integers, openvino.Type.f16), ops.constant(scales))
        shape = ops.constant(np.array([rows, columns], dtype=np.int64))
        return ops.convert(ops.reshape(products, shape, False), openvino.Type.f32)

    def _stored(self, name: str) -> npt.NDArray[np.uint8]:
        tensor = self._header.tensors[name]
        place = self._start + tensor.offset
        return self._content[place : place + tensor.size_bytes()]

    def _ordered(self, name: str, rows: npt.NDArray[N]) -> npt.NDArray[N]:
        """Query and key of a llama: the first halves of the pairs of a head, then the second ones."""
        heads = None
        if self._header.facts["general.architecture"] == PAIRED:
            if ".attn_q." in name:
                heads = self._header.number("attention.head_count")
            elif ".attn_k." in name:
                heads = self._header.number("attention.head_count_kv")
        if heads is None:
            return rows
        pairs = rows.reshape(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
        return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows.shape))


def _integers(codes: npt.NDArray[np.uint8], kind: int) -> Any:
    """A node of signed integers [rows, groups, 32]. `codes`: [rows, groups, bytes]; of 4 bits the low
    halves are the first 16 numbers, the high ones the last, each 8 above its integer.
    """
    if kind == Q8_0:
        return ops.constant(codes.view(np.int8))
    numbers = np.concatenate([codes & 15, codes >> 4], axis=-1) ^ 8
    tensor = openvino.Tensor(openvino.Type.i4, openvino.Shape(numbers.shape))
    pairs = numbers[..., ::2] | numbers[..., 1::2] << 4
    tensor.data.view(np.uint8).reshape(-1)[:] = pairs.reshape(-1)
    return openvino.op.Constant(tensor)
