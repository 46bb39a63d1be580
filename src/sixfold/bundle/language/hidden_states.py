"""The last hidden states of a language model, of which embeddings are the mean: its forward pass on NumPy, from the
weights of the GGUF file. The engine that generates gives tokens alone.

Shape letters: T tokens, D width, H heads, K heads of keys and values, C width of a head, F width of the inner layer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.gguf_header import ALIGNMENT, GgufHeader, GgufTensor

Single = npt.NDArray[np.float32]
Stored = npt.NDArray[np.uint8]

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8  # types of tensors
GROUP: Final = 32  # numbers that share a scale
PAIRED: Final = "llama"  # whose heads are rotated in pairs of neighbors; others in halves


class HiddenStates:
    """Opened when it is first asked; then its weights are held in single precision. Calls may come
    from several threads at once.
    """

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._path, self._header = path, header
        self._weights: dict[str, Single] = {}
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return self._header.number("embedding_length")

    def mean(self, ids: Sequence[int]) -> Single:
        """[D] the mean over the tokens of a text, of length 1."""
        found = self.last(ids).mean(axis=0)
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-12), dtype=np.float32)

    def last(self, ids: Sequence[int]) -> Single:
        """[T, D] after the last norm."""
        weights = self._opened()
        x_TD = weights["token_embd.weight"][list(ids)]
        rotation = self._rotation(len(ids))
        for layer in range(self._header.number("block_count")):
            own = {
                name.removeprefix(f"blk.{layer}."): array
                for name, array in weights.items()
                if name.startswith(f"blk.{layer}.")
            }
            x_TD = x_TD + self._attention(self._norm(x_TD, own["attn_norm.weight"]), own, rotation)
            h_TD = self._norm(x_TD, own["ffn_norm.weight"])
            gate_TF = _linear(h_TD, own, "ffn_gate")
            inner_TF = gate_TF / (1 + np.exp(-gate_TF)) * _linear(h_TD, own, "ffn_up")
            x_TD = x_TD + _linear(inner_TF, own, "ffn_down")
        return self._norm(x_TD, weights["output_norm.weight"])

    def _attention(self, x_TD: Single, own: Mapping[str, Single], rotation: Rotation) -> Single:
        kv_heads = self._header.number("attention.head_count_kv")
        head = self._header.number("attention.key_length")
        q_THC, k_TKC, v_TKC = (
            _linear(x_TD, own, name).reshape(len(x_TD), -1, head)
            for name in ("attn_q", "attn_k", "attn_v")
        )
        if "attn_q_norm.weight" in own:
            q_THC = self._norm(q_THC, own["attn_q_norm.weight"])
            k_TKC = self._norm(k_TKC, own["attn_k_norm.weight"])
        q_THC, k_TKC = rotation.applied(q_THC), rotation.applied(k_TKC)
        shared = q_THC.shape[1] // kv_heads  # heads of queries that share keys and values
        k_HCT = np.repeat(k_TKC, shared, axis=1).transpose(1, 2, 0)
        v_HTC = np.repeat(v_TKC, shared, axis=1).transpose(1, 0, 2)
        scores_HTT = q_THC.transpose(1, 0, 2) @ k_HCT / np.float32(np.sqrt(head))
        later = np.triu(np.ones(scores_HTT.shape[1:], dtype=bool), 1)
        scores_HTT[:, later] = -np.inf
        scores_HTT = np.exp(scores_HTT - scores_HTT.max(axis=-1, keepdims=True))
        scores_HTT /= scores_HTT.sum(axis=-1, keepdims=True)
        mixed = (scores_HTT @ v_HTC).transpose(1, 0, 2).reshape(len(x_TD), -1)
        return _linear(mixed, own, "attn_output")

    def _norm(self, x: Single, weight: Single) -> Single:
        """Of the last axis, by its mean square."""
        epsilon = float(
            self._header.facts[f"{self._architecture}.attention.layer_norm_rms_epsilon"]
        )
        size = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(epsilon))
        return np.asarray(x / size * weight, dtype=np.float32)

    def _rotation(self, count: int) -> Rotation:
        head = self._header.number("attention.key_length")
        base = float(self._header.facts[f"{self._architecture}.rope.freq_base"])
        speeds = base ** (-np.arange(0, head, 2) / head)
        angles = np.outer(np.arange(count), speeds)[:, None]
        return Rotation(angles, paired=self._architecture == PAIRED)

    @property
    def _architecture(self) -> str:
        return str(self._header.facts["general.architecture"])

    def _opened(self) -> dict[str, Single]:
        with self._lock:
            if not self._weights:
                content = np.memmap(self._path, dtype=np.uint8, mode="r")
                start = len(content) - _data_bytes(self._header)
                for tensor in self._header.tensors.values():
                    if tensor.name != "output.weight":
                        self._weights[tensor.name] = _decoded(content, start, tensor)
            return self._weights


class Rotation:
    """The rotary embedding of the first tokens. `angles`: [T, 1, C / 2]."""

    def __init__(self, angles: npt.NDArray[np.float64], paired: bool) -> None:
        self._cos, self._sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        self._paired = paired

    def applied(self, x_THC: Single) -> Single:
        """Each pair of numbers of a head turned by the angle of its token."""
        half = x_THC.shape[-1] // 2
        first = x_THC[..., ::2] if self._paired else x_THC[..., :half]
        second = x_THC[..., 1::2] if self._paired else x_THC[..., half:]
        turned = (first * self._cos - second * self._sin, first * self._sin + second * self._cos)
        if self._paired:
            return np.stack(turned, axis=-1).reshape(x_THC.shape)
        return np.concatenate(turned, axis=-1)


def _linear(x: Single, own: Mapping[str, Single], name: str) -> Single:
    found = x @ own[f"{name}.weight"].T
    bias = own.get(f"{name}.bias")
    return found if bias is None else found + bias


def _data_bytes(header: GgufHeader) -> int:
    """Of all tensors, each filled up: the end of the file."""
    return sum(
        -(-tensor.size_bytes() // ALIGNMENT) * ALIGNMENT for tensor in header.tensors.values()
    )


def _decoded(content: Stored, start: int, tensor: GgufTensor) -> Single:
    """A matrix as [rows, columns], a vector as it is."""
    place = start + tensor.offset
    stored = np.ascontiguousarray(content[place : place + tensor.size_bytes()])
    shape = tensor.shape[::-1]
    if tensor.kind in (F32, F16):
        kind = np.float32 if tensor.kind == F32 else np.float16
        return stored.view(kind).astype(np.float32).reshape(shape)
    blocks = stored.reshape(-1, 2 + (GROUP if tensor.kind == Q8_0 else GROUP // 2))
    scales = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    codes = np.ascontiguousarray(blocks[:, 2:])
    if tensor.kind == Q8_0:
        integers = codes.view(np.int8).astype(np.float32)
    else:  # the low halves of the bytes first, then the high ones; each 8 above its integer
        integers = np.concatenate([codes & 15, codes >> 4], axis=1).astype(np.float32) - 8
    return (integers * scales).reshape(shape)
