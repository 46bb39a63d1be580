"""`explain.safetensors`: what attributions take besides the graph.

A safetensors file (github.com/huggingface/safetensors: the bytes of a JSON header as 8 bytes, the
header, the numbers), read here so that nothing has to be installed. Its texts are in
`__metadata__`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from sixfold.core import json_limits
from sixfold.core.errors import BundleError

Sum = Literal["", "trees", "mean of trees", "linear", "network"]
SUMS: Final = frozenset({"trees", "mean of trees", "linear"})
Link = Literal["identity", "sigmoid", "softmax", "share"]
LIMITS: Final = json_limits.JsonLimits(64 << 10, values=100)
TYPES: Final = {"U8": "u1", "U16": "<u2", "U32": "<u4", "I32": "<i4", "F64": "<f8"}
NAMES: Final = {  # array → the types that it may have, its dimensions
    "code": (("U8",), 1),
    "cover": (("U8", "U16", "U32"), 1),
    "source": (("I32",), 1),
    "weights": (("F64",), 2),
    "mean": (("F64",), 1),
    "place": (("I32",), 1),
    "bias": (("F64",), 1),
}
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."


@dataclass(frozen=True)
class Stored:
    """`kind`: of which parts the score is a sum, '' where it is none that is known, `network` where
    answers follow its `width` features smoothly; `link`: from scores to outputs, `calibrated` where
    something follows. `value`: the features in the graph; `single`: whether these are float32.

    `cover`: [leaves] training rows of the graph's leaves. `source`: int32 [features] the number of
    the raw column that a feature comes from, -1 where it is made of several. Of a linear model
    `weights` [features, scores], `bias` [scores], and `mean` [features] over the training rows. Of
    a network `source` is of the features of plain columns alone, which are at `place`; `code` is 1
    for codes of categories. `real`: so many of the stored rows, the first ones, are rows of the
    training table.
    """

    kind: Sum = ""
    link: Link = "identity"
    calibrated: bool = False
    value: str = ""
    real: int = 0
    single: bool = False
    width: int = 0
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def scores(self) -> int:
        """Of a linear model."""
        return len(self.arrays["bias"])

    @property
    def several(self) -> bool:
        """Whether a feature is made of several columns, so that it cannot be told whose it is."""
        return bool((self.arrays["source"] < 0).any())

    def packed(self) -> bytes:
        """The content of the file; equal ones have equal bytes."""
        told = {"single": str(int(self.single)), "width": str(self.width)} if self.width else {}
        header: dict[str, Any] = {
            "__metadata__": {
                **told,
                "kind": self.kind,
                "link": self.link,
                "calibrated": str(int(self.calibrated)),
                "value": self.value,
                "real": str(self.real),
            }
        }
        held = {name: (self.arrays[name], _type(self.arrays[name])) for name in sorted(self.arrays)}
        # the widest numbers first, so that each lies where a reader can take it as it is
        order = sorted(held, key=lambda name: -np.dtype(TYPES[held[name][1]]).itemsize)
        end, parts = 0, []
        for name in order:
            array, kind = held[name]
            parts.append(np.ascontiguousarray(array, dtype=TYPES[kind]).tobytes())
            start, end = end, end + len(parts[-1])
            header[name] = {
                "dtype": kind,
                "shape": list(array.shape),
                "data_offsets": [start, end],
            }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def smallest(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers, not negative, in the smallest type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def read(content: bytes, where: str) -> Stored:
    """What `packed` wrote. Raises BundleError for anything else."""
    try:
        return _read(content)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        found = str(error)[:100] or type(error).__name__
        raise BundleError(where, "a file of attributions", found, AGAIN) from None


def _read(content: bytes) -> Stored:
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size]
    if size > len(content) - 8:
        raise ValueError("a header longer than the file")
    if found := json_limits.violation(header, LIMITS):
        raise ValueError(f"{found[1]} where {found[0]} are allowed")
    entries = json.loads(header)
    told = entries.pop("__metadata__")
    arrays, end = dict[str, npt.NDArray[Any]](), 0
    data = memoryview(content)[8 + size :]
    for name, entry in sorted(entries.items(), key=lambda item: int(item[1]["data_offsets"][0])):
        types, dimensions = NAMES[name]
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in types or len(shape) != dimensions or min(shape) < 0 or start != end:
            raise ValueError(f"{name} of another form")
        if stop - start != math.prod(shape) * np.dtype(TYPES[kind]).itemsize or stop > len(data):
            raise ValueError(f"{name} with other bytes than its shape says")
        arrays[name] = np.frombuffer(data[start:stop], dtype=TYPES[kind]).reshape(shape)
        end = stop
    if end != len(data):
        raise ValueError("bytes behind the last array")
    return _checked(
        Stored(
            told["kind"],
            told["link"],
            told["calibrated"] == "1",
            told["value"],
            int(told["real"]),
            told.get("single") == "1",
            int(told.get("width", "0")),
            arrays,
        )
    )


def _checked(stored: Stored) -> Stored:
    if stored.kind not in get_args(Sum) or stored.link not in get_args(Link):
        raise ValueError("another kind of sum, or link")
    if not isinstance(stored.value, str) or stored.real < 0:
        raise ValueError("a value without a name, or a negative number of rows")
    needed = {"": set[str](), "linear": {"source", "weights", "mean", "bias"}}
    needed["network"] = {"source", "place", "code"}
    if set(stored.arrays) != needed.get(stored.kind, {"source", "cover"}):
        raise ValueError(f"the arrays {sorted(stored.arrays)} of {stored.kind or 'no sum'}")
    if stored.kind == "linear":
        found = stored.arrays
        widths = {len(found[name]) for name in ("source", "weights", "mean")}
        finite = all(np.isfinite(found[name]).all() for name in ("weights", "mean", "bias"))
        if len(widths) > 1 or found["weights"].shape[1:] != found["bias"].shape or not finite:
            raise ValueError("weights and means that do not belong together")
    if stored.kind == "network":
        place = stored.arrays["place"]
        lengths = {len(stored.arrays[name]) for name in ("source", "place", "code")}
        ordered = len(place) and place[0] >= 0 and (np.diff(place) > 0).all()
        if len(lengths) > 1 or not ordered or place[-1] >= stored.width:
            raise ValueError("features and codes that do not belong together")
    if "cover" in stored.arrays and stored.arrays["cover"].min(initial=1) < 1:
        raise ValueError("a leaf without training rows")
    return stored


def _type(array: npt.NDArray[Any]) -> str:
    return next(name for name, kind in TYPES.items() if np.dtype(kind) == array.dtype)
