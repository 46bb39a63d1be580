"""The head of a GGUF file, read by the letter before a library written in C++ sees it: counts, sizes, names, types and
places of tensors, and whether their shapes are those of the model that the head describes.

Format: version 3, little-endian (ggml's `gguf.md`). Strings and counts are bounded before anything is kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from sixfold.core.errors import BundleError

AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."
MAGIC: Final = b"GGUF"
VERSION: Final = 3
ALIGNMENT: Final = 32  # of tensors; what Sixfold writes, and the format's default
MOST_FACTS: Final = 200
MOST_TENSORS: Final = 20_000  # 12 a layer: of 1,600 layers
MOST_ITEMS: Final = 1_000_000  # of a list: the tokens of a vocabulary, its merges
LONGEST_NAME: Final = 128  # bytes
LONGEST_TEXT: Final = 1 << 20  # bytes: a chat template
MOST_HEAD: Final = 256 << 20  # bytes of the whole head; a vocabulary of 256,000 takes 8 MB
SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}
SCALARS_8: Final = {10: "Q", 11: "q", 12: "d"}
FORMATS: Final = {**SCALARS, **SCALARS_8}
TEXT, LIST = 8, 9
# Tensor types that Sixfold writes: type → (numbers of a block, bytes of a block).
BLOCKS: Final = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34)}  # f32, f16, q4_0, q8_0
ARCHITECTURES: Final = ("llama", "qwen2", "qwen3")
FACTORS: Final = "rope_freqs.weight"  # of the rotary embedding of a Llama 3.1, which may be there


@dataclass(frozen=True)
class GgufTensor:
    """One entry. `shape`: the fastest dimension first, as the file has it; `offset`: from the start
    of the data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    def size_bytes(self) -> int:
        """Raises KeyError for a type that Sixfold does not write."""
        numbers, size = BLOCKS[self.kind]
        return math.prod(self.shape) // numbers * size


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the weights. `facts`: scalars and texts; of a list, its length."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    def number(self, key: str) -> int:
        """A fact of this architecture: `block_count`, `embedding_length`. Raises KeyError."""
        return int(self.facts[f"{self.facts['general.architecture']}.{key}"])


def check_gguf(path: Path, size: int) -> GgufHeader:
    """The head of the file `path`, of `size` bytes. Raises BundleError for anything that Sixfold
    does not write.
    """
    with path.open("rb") as file:
        reader = _HeadReader(file, path)
        found = reader.header()
        start = -(-reader.place // ALIGNMENT) * ALIGNMENT
    _check_places(found, start, size, path)
    _check_shapes(found, path)
    return found


class _HeadReader:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self.place = 0

    def header(self) -> GgufHeader:
        magic, version = self._take(4), self._number("I")
        if magic != MAGIC or version != VERSION:
            found = f"{magic!r}, version {version}"
            raise self.refused("a GGUF file of version 3", found)
        tensors, facts = self._number("Q"), self._number("Q")
        if tensors > MOST_TENSORS or facts > MOST_FACTS:
            most = f"at most {MOST_TENSORS:,} tensors and {MOST_FACTS} facts"
            raise self.refused(most, f"{tensors:,} and {facts:,}")
        known = dict(self._fact() for _ in range(facts))
        if len(known) != facts:
            raise self.refused("facts with names of their own", "a name twice")
        entries = {each.name: each for each in (self._tensor() for _ in range(tensors))}
        if len(entries) != tensors:
            raise self.refused("tensors with names of their own", "a name twice")
        return GgufHeader(known, entries)

    def refused(self, expected: str, found: str) -> BundleError:
        return BundleError(f"{self._path}, byte {self.place}", expected, found, AGAIN)

    def _take(self, count: int) -> bytes:
        content = self._file.read(count)
        self.place += count
        if len(content) != count or self.place > MOST_HEAD:
            raise self.refused("a whole head", "its end before it, or more than a head may have")
        return content

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]

    def _text(self, longest: int) -> str:
        length = self._number("Q")
        if length > longest:
            raise self.refused(f"a text of at most {longest:,} bytes", f"{length:,}")
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise self.refused("UTF-8", "other bytes") from None

    def _fact(self) -> tuple[str, Any]:
        return self._text(LONGEST_NAME), self._value(self._number("I"))

    def _value(self, kind: int) -> Any:
        if kind in FORMATS:
            return self._number(FORMATS[kind])
        if kind == TEXT:
            return self._text(LONGEST_TEXT)
        if kind != LIST:
            raise self.refused("a value of GGUF", f"the type {kind}")
        inner, count = self._number("I"), self._number("Q")
        if count > MOST_ITEMS or (inner not in FORMATS and inner != TEXT):
            raise self.refused(f"a list of at most {MOST_ITEMS:,} values", f"{count:,} of {inner}")
        if inner == TEXT:
            for _ in range(count):
                self._text(LONGEST_TEXT)
        else:
            self._take(count * struct.calcsize(f"<{FORMATS[inner]}"))
        return count

    def _tensor(self) -> GgufTensor:
        name, dimensions = self._text(LONGEST_NAME), self._number("I")
        if dimensions not in (1, 2):
            raise self.refused("a vector or a matrix", f"{dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        kind, offset = self._number("I"), self._number("Q")
        if kind not in BLOCKS or not all(0 < each < 1 << 31 for each in shape):
            raise self.refused("f32, f16, q8_0 or q4_0 in 1 to 2³¹ numbers", f"{kind}, {shape}")
        if dimensions == 1 and BLOCKS[kind] != BLOCKS[0]:
            raise self.refused("a vector in single precision", f"the type {kind}")
        if shape[0] % BLOCKS[kind][0]:
            raise self.refused(f"rows of whole blocks of {BLOCKS[kind][0]}", f"{shape[0]}")
        return GgufTensor(name, shape, kind, offset)


def _check_places(header: GgufHeader, start: int, size: int, path: Path) -> None:
    """One tensor after the other, and nothing behind the last one."""
    place = 0
    for tensor in header.tensors.values():
        if tensor.offset != place:
            expected = f"{tensor.name} at {place:,}"
            raise BundleError(str(path), expected, f"{tensor.offset:,}", AGAIN)
        place = -(-(place + tensor.size_bytes()) // ALIGNMENT) * ALIGNMENT
    if start + place != size:
        raise BundleError(str(path), f"{start + place:,} bytes", f"{size:,} bytes", AGAIN)


def _check_shapes(header: GgufHeader, path: Path) -> None:
    """The tensors are those of the model that the facts describe."""
    try:
        expected = _shapes(header)
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise BundleError(str(path), "the facts of a language model", str(error), AGAIN) from None
    for name, shape in expected.items():
        found = header.tensors.get(name)
        if found is not None and found.shape != shape:
            raise BundleError(str(path), f"{name} of shape {shape}", f"{found.shape}", AGAIN)
    foreign = next((name for name in header.tensors if name not in expected), None)
    if foreign is not None:
        raise BundleError(str(path), "tensors of a language model", f"'{foreign[:60]}'", AGAIN)
    missing = next((name for name in expected if _needed(name, header)), None)
    if missing is not None:
        raise BundleError(str(path), f"the tensor {missing}", "none of this name", AGAIN)


def _needed(name: str, header: GgufHeader) -> bool:
    optional = (
        name in ("output.weight", FACTORS) or name.endswith(".bias") or "_norm.weight" in name
    )
    always = name.endswith(("attn_norm.weight", "ffn_norm.weight", "output_norm.weight"))
    return name not in header.tensors and (always or not optional)


def _scale(header: GgufHeader) -> float:
    """By what places are divided."""
    name = f"{header.facts['general.architecture']}.rope.scaling.factor"
    return float(header.facts.get(name, 1.0))


def _shapes(header: GgufHeader) -> dict[str, tuple[int, ...]]:
    architecture = header.facts["general.architecture"]
    if architecture not in ARCHITECTURES:
        raise ValueError(f"the architecture {architecture!r}")
    if header.facts.get("general.alignment", ALIGNMENT) != ALIGNMENT:
        raise ValueError("another alignment")
    layers, width = header.number("block_count"), header.number("embedding_length")
    inner, heads = header.number("feed_forward_length"), header.number("attention.head_count")
    kv_heads, head = header.number("attention.head_count_kv"), header.number("attention.key_length")
    vocabulary = int(header.facts["tokenizer.ggml.tokens"])
    scaling = header.facts.get(f"{architecture}.rope.scaling.type", "linear")
    if scaling != "linear" or not _scale(header) > 0:
        raise ValueError(f"a rotary embedding that is scaled as {scaling!r}")
    if heads % kv_heads or layers > MOST_TENSORS or header.number("context_length") < 1:
        raise ValueError(f"{heads} heads, {kv_heads} of them for keys, {layers} layers")
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (width, vocabulary),
        "output.weight": (width, vocabulary),
        "output_norm.weight": (width,),
    }
    own = {
        "attn_norm": (width,),
        "ffn_norm": (width,),
        "attn_q": (width, heads * head),
        "attn_k": (width, kv_heads * head),
        "attn_v": (width, kv_heads * head),
        "attn_output": (heads * head, width),
        "ffn_gate": (width, inner),
        "ffn_up": (width, inner),
        "ffn_down": (inner, width),
    }
    if architecture == "llama":
        found[FACTORS] = (head // 2,)
    if architecture == "qwen3":
        own |= {"attn_q_norm": (head,), "attn_k_norm": (head,)}
    for layer in range(layers):
        for name, shape in own.items():
            found[f"blk.{layer}.{name}.weight"] = shape
            if len(shape) == 2:
                found[f"blk.{layer}.{name}.bias"] = shape[1:]
    return found
