"""`recommender.safetensors`: the names of users and items, what users did, and what scores items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from sixfold.bundle import named_arrays
from sixfold.bundle.named_arrays import ArrayForm, NamedArrays
from sixfold.bundle.recommend.histories import Histories
from sixfold.bundle.recommend.scorers import CODED, decoded
from sixfold.bundle.recommend.tower_scorer import TOWER
from sixfold.core import json_limits
from sixfold.core.values import LevelType

Kind = Literal["popularity", "neighbors", "factors", "sequence", "towers"]
LIMITS: Final = json_limits.JsonLimits(64 << 10, values=400)
FORMS: Final = {
    "user_names": ArrayForm(("U8",), 1),
    "user_ends": ArrayForm(("I64",), 1),
    "item_names": ArrayForm(("U8",), 1),
    "item_ends": ArrayForm(("I64",), 1),
    "starts": ArrayForm(("I64",), 1),
    "items": ArrayForm(("I32",), 1),
    "weights": ArrayForm(("F32",), 1),
    "user_counts": ArrayForm(("I64",), 1),
    "popularity": ArrayForm(("F32",), 1),
    "neighbor_starts": ArrayForm(("I64",), 1),
    "neighbor_items": ArrayForm(("I32",), 1),
    "neighbor_weights": ArrayForm(("F32",), 1),
    "item_factors": ArrayForm(("F32",), 2),
    "item_bias": ArrayForm(("F32",), 1),
    "user_factors": ArrayForm(("F32",), 2),
    "projection": ArrayForm(("F32",), 2),
    "item_codes": ArrayForm(("I8",), 2),
    "item_scales": ArrayForm(("F32",), 1),
    "user_codes": ArrayForm(("I8",), 2),
    "user_scales": ArrayForm(("F32",), 1),
    "sequence_start": ArrayForm(("F32",), 1),
    "sequence_positions": ArrayForm(("F32",), 2),
    "sequence_final_norm": ArrayForm(("F32",), 1),
    "sequence_final_shift": ArrayForm(("F32",), 1),
    "sequence_norm_1": ArrayForm(("F32",), 2),
    "sequence_shift_1": ArrayForm(("F32",), 2),
    "sequence_attention_in": ArrayForm(("F32",), 3),
    "sequence_attention_in_bias": ArrayForm(("F32",), 2),
    "sequence_attention_out": ArrayForm(("F32",), 3),
    "sequence_attention_out_bias": ArrayForm(("F32",), 2),
    "sequence_norm_2": ArrayForm(("F32",), 2),
    "sequence_shift_2": ArrayForm(("F32",), 2),
    "sequence_wide": ArrayForm(("F32",), 3),
    "sequence_wide_bias": ArrayForm(("F32",), 2),
    "sequence_narrow": ArrayForm(("F32",), 3),
    "sequence_narrow_bias": ArrayForm(("F32",), 2),
    "history_factors": ArrayForm(("F32",), 2),
    "user_features": ArrayForm(("F32",), 2),
    "tower_wide": ArrayForm(("F32",), 2),
    "tower_wide_bias": ArrayForm(("F32",), 1),
    "tower_narrow": ArrayForm(("F32",), 2),
    "tower_narrow_bias": ArrayForm(("F32",), 1),
    "feature_graph": ArrayForm(("U8",), 1),
    "feature_inputs": ArrayForm(("U8",), 1),
}
OF_ALL: Final = frozenset(list(FORMS)[:8])
OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "popularity": frozenset({"popularity"}),
    "neighbors": frozenset({"neighbor_starts", "neighbor_items", "neighbor_weights"}),
    "factors": frozenset({"item_factors"}),
    "sequence": frozenset(
        {"item_factors"} | {name for name in FORMS if name.startswith("sequence")}
    ),
    "towers": frozenset({"item_factors", "history_factors", "user_features", *TOWER}),
}
LONGEST: Final = 4_096  # of a sequence: attention takes its square
OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "factors": frozenset({"item_bias", "user_factors", "projection"}),
    "towers": frozenset({"feature_graph", "feature_inputs"}),  # of features of users, both or none
}
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "factors": ("confidence", "regularization"),
    "sequence": ("heads",),
}


@dataclass(frozen=True)
class StoredRecommender:
    """What the file holds. `arrays` and `options`: of the scorer; `seen`: what each user did;
    `user_type`, `item_type`: as of a category's levels.
    """

    kind: Kind
    options: Mapping[str, float]
    arrays: Mapping[str, npt.NDArray[Any]]
    users: tuple[str, ...]
    items: tuple[str, ...]
    seen: Histories
    user_counts: npt.NDArray[np.int64]
    user_type: LevelType = "text"
    item_type: LevelType = "text"

    def packed(self) -> bytes:
        """The content of the file; equal ones have equal bytes."""
        arrays = {
            **_names("user", self.users),
            **_names("item", self.items),
            "starts": self.seen.starts,
            "items": self.seen.items,
            "weights": self.seen.weights,
            "user_counts": self.user_counts,
            **self.arrays,
        }
        types = {"user_type": self.user_type, "item_type": self.item_type}
        told = {
            "kind": self.kind,
            **types,
            **{name: repr(value) for name, value in self.options.items()},
        }
        typed = {
            name: array.astype(named_arrays.TYPES[FORMS[name].types[0]])
            for name, array in arrays.items()
        }
        return named_arrays.pack(told, typed)


def read(content: bytes, where: str) -> StoredRecommender:
    """What `packed` wrote. Raises BundleError for anything else."""
    return named_arrays.read(content, FORMS, LIMITS, _checked, where, "a file of a recommender")


def _checked(found: NamedArrays) -> StoredRecommender:
    told, arrays = found
    kind, scores = told["kind"], {n: array for n, array in arrays.items() if n not in OF_ALL}
    if kind not in get_args(Kind) or not set(arrays) >= OF_ALL:
        raise ValueError("another kind of scores, or arrays that are missing")
    plain = _plain(scores)
    allowed = OF_KIND[kind] | OPTIONAL.get(kind, frozenset())
    if not OF_KIND[kind] <= set(plain) <= allowed:
        raise ValueError(f"the arrays {sorted(plain)} of {kind}")
    users, items = (_read_names(arrays, part) for part in ("user", "item"))
    seen = Histories(arrays["starts"], arrays["items"], arrays["weights"])
    _check_histories(seen, len(users), len(items))
    _check_scores(kind, plain, len(users), len(items))
    counts = arrays["user_counts"]
    if len(counts) != len(items) or counts.min(initial=1) < 0:
        raise ValueError("counts of other items")
    types = [told["user_type"], told["item_type"]]
    if not set(types) <= set(get_args(LevelType)):
        raise ValueError("names of another type")
    return StoredRecommender(
        cast("Kind", kind),
        _options(kind, told, plain),
        scores,
        users,
        items,
        seen,
        counts,
        *cast("list[LevelType]", types),
    )


def _plain(scores: dict[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
    """Without codes; vectors come in one form."""
    for vectors, (codes, scales) in CODED.items():
        coded = {codes, scales} & set(scores)
        if coded and (vectors in scores or len(scores[codes]) != len(scores[scales])):
            raise ValueError("scales of other vectors")
    return decoded(scores)


def _options(
    kind: str, told: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]
) -> dict[str, float]:
    options = {name: float(told[name]) for name in OPTIONS.get(kind, ())}
    if not all(math.isfinite(value) and value >= 0 for value in options.values()):
        raise ValueError("options that are no numbers")
    if kind == "sequence":
        _check_heads(options["heads"], arrays)
    return options


def _check_scores(
    kind: str, arrays: Mapping[str, npt.NDArray[Any]], users: int, items: int
) -> None:
    if kind == "neighbors":
        near = Histories(
            arrays["neighbor_starts"], arrays["neighbor_items"], arrays["neighbor_weights"]
        )
        _check_histories(near, items, items)
        return
    width = arrays["item_factors"].shape[1] if "item_factors" in arrays else 0
    layers = len(arrays["sequence_wide"]) if kind == "sequence" else 0
    length = len(arrays["sequence_positions"]) if kind == "sequence" else 0
    shapes: dict[str, tuple[int, ...]] = {
        "popularity": (items,),
        "item_factors": (items, width),
        "item_bias": (items,),
        "user_factors": (users, width),
        "projection": (width, width),
        **_sequence_shapes(width, length, layers),
        **(_tower_shapes(arrays, users, items, width) if kind == "towers" else {}),
    }
    if kind != "popularity" and not width:
        raise ValueError("factors of no numbers")
    for name, array in arrays.items():
        if array.shape != shapes[name] or not np.isfinite(array).all():
            raise ValueError(f"{name} of another shape, or of no numbers")
    if ("feature_graph" in arrays) != ("feature_inputs" in arrays):
        raise ValueError("features of users without what makes them")


def _sequence_shapes(width: int, length: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Of a transformer's arrays."""
    vectors = ("start", "final_norm", "final_shift")
    of_layers = ("norm_1", "shift_1", "attention_out_bias", "norm_2", "shift_2", "narrow_bias")
    found: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(vectors, (width,)),
        **dict.fromkeys(of_layers, (layers, width)),
        "positions": (length, width),
        "attention_in": (layers, width, 3 * width),
        "attention_in_bias": (layers, 3 * width),
        "attention_out": (layers, width, width),
        "wide": (layers, width, 4 * width),
        "wide_bias": (layers, 4 * width),
        "narrow": (layers, 4 * width, width),
    }
    return {f"sequence_{name}": shape for name, shape in found.items()}


def _tower_shapes(
    arrays: Mapping[str, npt.NDArray[Any]], users: int, items: int, width: int
) -> dict[str, tuple[int, ...]]:
    """Of the arrays of a tower of users: what it reads is the mean of a history, and features."""
    inner, features = arrays["history_factors"].shape[1], arrays["user_features"].shape[1]
    hidden = arrays["tower_wide"].shape[1]
    return {
        "history_factors": (items, inner),
        "user_features": (users + 1, features),
        "tower_wide": (inner + features, hidden),
        "tower_wide_bias": (hidden,),
        "tower_narrow": (hidden, width),
        "tower_narrow_bias": (width,),
        "feature_graph": arrays.get("feature_graph", np.empty(0)).shape,
        "feature_inputs": arrays.get("feature_inputs", np.empty(0)).shape,
    }


def _check_heads(heads: float, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    width, length = arrays["item_factors"].shape[1], len(arrays["sequence_positions"])
    if heads < 1 or heads != int(heads) or width % int(heads) or not 1 <= length <= LONGEST:
        raise ValueError("heads that do not divide the width, or no positions")


def _check_histories(found: Histories, rows: int, items: int) -> None:
    starts, ends = found.starts, (0, len(found.items))
    if len(starts) != rows + 1 or (int(starts[0]), int(starts[-1])) != ends:
        raise ValueError("rows of another number")
    inside = found.items.min(initial=0) >= 0 and found.items.max(initial=0) < max(1, items)
    if (np.diff(starts) < 0).any() or not inside or len(found.weights) != len(found.items):
        raise ValueError("items that are not there")
    if not np.isfinite(found.weights).all():
        raise ValueError("weights that are no numbers")


def _names(part: str, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    written = [name.encode("utf-8", "surrogatepass") for name in names]
    return {
        f"{part}_names": np.frombuffer(b"".join(written), dtype=np.uint8),
        f"{part}_ends": np.cumsum([len(each) for each in written], dtype=np.int64),
    }


def _read_names(arrays: Mapping[str, npt.NDArray[Any]], part: str) -> tuple[str, ...]:
    content, ends = arrays[f"{part}_names"].tobytes(), arrays[f"{part}_ends"]
    whole = int(ends[-1]) if len(ends) else 0
    if not len(ends) or (np.diff(ends, prepend=0) <= 0).any() or whole != len(content):
        raise ValueError(f"names of {part}s that are not there")
    starts = np.concatenate([[0], ends[:-1]]).tolist()
    pairs = zip(starts, ends.tolist(), strict=True)
    found = tuple(content[start:end].decode("utf-8", "surrogatepass") for start, end in pairs)
    if len(set(found)) < len(found):
        raise ValueError(f"names of {part}s twice")
    return found
