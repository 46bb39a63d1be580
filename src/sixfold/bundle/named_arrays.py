"""Named arrays and texts as one safetensors file (github.com/huggingface/safetensors: the bytes of a JSON header as 8 bytes,
the header, the numbers), written and read here so that nothing has to be installed. Texts are in `__metadata__`.

A file is read strictly: known names, types and dimensions alone, one array right behind the other, nothing besides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sixfold.core import json_limits
from sixfold.core.errors import BundleError

TYPES: Final = {
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "U32": "<u4",
    "I32": "<i4",
    "I64": "<i8",
    "F32": "<f4",
    "F64": "<f8",
}
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."
T = TypeVar("T")


class ArrayForm(NamedTuple):
    """The `types` that an array may have, and its `dimensions`."""

    types: tuple[str, ...]
    dimensions: int


class NamedArrays(NamedTuple):
    """`texts` as they were written; `arrays` by name, which may not be written to."""

    texts: dict[str, str]
    arrays: dict[str, npt.NDArray[Any]]


def pack(texts: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The content of the file; equal ones have equal bytes. The widest numbers come first, so that each lies where
    a reader can take it as it is. Raises KeyError for a type that is none of TYPES.
    """
    held = {name: (arrays[name], _type(arrays[name])) for name in sorted(arrays)}
    header: dict[str, Any] = {"__metadata__": dict(texts)}
    end, parts = 0, list[bytes]()
    for name in sorted(held, key=lambda name: -np.dtype(TYPES[held[name][1]]).itemsize):
        array, kind = held[name]
        parts.append(np.ascontiguousarray(array, dtype=TYPES[kind]).tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def read(
    content: bytes,
    forms: Mapping[str, ArrayForm],
    limits: json_limits.JsonLimits,
    checked: Callable[[NamedArrays], T],
    where: str,
    what: str,
) -> T:
    """What `checked` makes of what `pack` wrote. `limits`: of the header; `what`: the file in words. Raises BundleError
    for another file, and for one that `checked` fails on.
    """
    try:
        return checked(_read(content, forms, limits))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        found = str(error)[:100] or type(error).__name__
        raise BundleError(where, what, found, AGAIN) from None


def _read(
    content: bytes, forms: Mapping[str, ArrayForm], limits: json_limits.JsonLimits
) -> NamedArrays:
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size]
    if size > len(content) - 8:
        raise ValueError("a header longer than the file")
    if found := json_limits.violation(header, limits):
        raise ValueError(f"{found[1]} where {found[0]} are allowed")
    entries = json.loads(header)
    texts = entries.pop("__metadata__")
    arrays, end = dict[str, npt.NDArray[Any]](), 0
    data = memoryview(content)[8 + size :]
    for name, entry in sorted(entries.items(), key=lambda item: int(item[1]["data_offsets"][0])):
        form = forms[name]
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = kind in form.types and len(shape) == form.dimensions
        if not whole or min(shape) < 0 or start != end:
            raise ValueError(f"{name} of another form")
        if stop - start != math.prod(shape) * np.dtype(TYPES[kind]).itemsize or stop > len(data):
            raise ValueError(f"{name} with other bytes than its shape says")
        arrays[name] = np.frombuffer(data[start:stop], dtype=TYPES[kind]).reshape(shape)
        end = stop
    if end != len(data):
        raise ValueError("bytes behind the last array")
    return NamedArrays(texts, arrays)


def _type(array: npt.NDArray[Any]) -> str:
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    return names[array.dtype.newbyteorder("<")]
