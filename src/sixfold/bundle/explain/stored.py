"""`explain.safetensors`: what attributions take besides the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from sixfold.bundle import named_arrays
from sixfold.bundle.named_arrays import ArrayForm, NamedArrays
from sixfold.core import json_limits

Sum = Literal["", "trees", "mean of trees", "linear", "network"]
SUMS: Final = frozenset({"trees", "mean of trees", "linear"})
Link = Literal["identity", "sigmoid", "softmax", "share"]
LIMITS: Final = json_limits.JsonLimits(64 << 10, values=100)
FORMS: Final = {
    "code": ArrayForm(("U8",), 1),
    "cover": ArrayForm(("U8", "U16", "U32"), 1),
    "source": ArrayForm(("I32",), 1),
    "weights": ArrayForm(("F64",), 2),
    "mean": ArrayForm(("F64",), 1),
    "place": ArrayForm(("I32",), 1),
    "bias": ArrayForm(("F64",), 1),
}


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
        texts = {
            **told,
            "kind": self.kind,
            "link": self.link,
            "calibrated": str(int(self.calibrated)),
            "value": self.value,
            "real": str(self.real),
        }
        return named_arrays.pack(texts, self.arrays)


def smallest(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers, not negative, in the smallest type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def read(content: bytes, where: str) -> Stored:
    """What `packed` wrote. Raises BundleError for anything else."""
    return named_arrays.read(content, FORMS, LIMITS, _stored, where, "a file of attributions")


def _stored(found: NamedArrays) -> Stored:
    told = found.texts
    return _checked(
        Stored(
            cast("Sum", told["kind"]),
            cast("Link", told["link"]),
            told["calibrated"] == "1",
            told["value"],
            int(told["real"]),
            told.get("single") == "1",
            int(told.get("width", "0")),
            found.arrays,
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
