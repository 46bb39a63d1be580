"""How to cut a language model: fewer layers, heads or channels, as a standard checkpoint of the same
architecture, whose config.json says the new numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.compress.language.structure import (
    LAYERS,
    READERS,
    DecoderShape,
    UnitKind,
    UnitPart,
)
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import IntArray

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class KeptLayers:
    """Numbers of the layers that stay, rising."""

    layers: Sequence[int]


@dataclass(frozen=True)
class KeptUnits:
    """What stays of every layer. `units`: int64 of each layer, rising, equally many. `readers`: of
    each layer the whole new matrix that reads them, float32 [width, columns that stay], where it
    makes up for what is removed; () keeps its own numbers.
    """

    kind: UnitKind
    units: Sequence[IntArray]
    readers: Sequence[npt.NDArray[np.float32]] = ()


def with_layers(model: LanguageModel, config: KeptLayers) -> LanguageModel:
    """These layers alone, renumbered."""
    arrays: Arrays = {n: a for n, a in model.arrays.items() if not n.startswith(LAYERS)}
    for number, layer in enumerate(config.layers):
        before = f"{LAYERS}{layer}."
        for name, array in model.arrays.items():
            if name.startswith(before):
                arrays[f"{LAYERS}{number}.{name.removeprefix(before)}"] = array
    return _changed(model, _fewer_layers(model.fields, config.layers), arrays)


def with_units(model: LanguageModel, config: KeptUnits) -> LanguageModel:
    """These units alone in every layer."""
    shape, arrays = DecoderShape.of(model.fields), dict(model.arrays)
    for layer, units in enumerate(config.units):
        for part in shape.parts(config.kind):
            _cut(arrays, f"{LAYERS}{layer}.{part.matrix}", part, units)
    for layer, reader in enumerate(config.readers):
        arrays[f"{LAYERS}{layer}.{READERS[config.kind]}.weight"] = reader
    return _changed(model, shape.fields(config.kind, len(config.units[0])), arrays)


def _cut(arrays: Arrays, name: str, part: UnitPart, units: IntArray) -> None:
    """The part's indices of `units` stay, of the matrix and of the bias that belongs to its rows."""
    indices = part.indices(units)
    arrays[f"{name}.weight"] = np.take(arrays[f"{name}.weight"], indices, axis=part.axis)
    if part.axis == 0 and f"{name}.bias" in arrays:
        arrays[f"{name}.bias"] = arrays[f"{name}.bias"][indices]


def _fewer_layers(fields: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """What config.json says of these layers; Qwen's says of each which attention it has."""
    changed: dict[str, Any] = {"num_hidden_layers": len(layers)}
    if fields.get("layer_types"):
        changed["layer_types"] = [fields["layer_types"][layer] for layer in layers]
    if fields.get("max_window_layers") is not None:
        whole = int(fields["max_window_layers"])  # the first layers, which see all tokens
        changed["max_window_layers"] = sum(layer < whole for layer in layers)
    return changed


def _changed(model: LanguageModel, fields: Mapping[str, Any], arrays: Arrays) -> LanguageModel:
    config = json.dumps({**model.fields, **fields}, indent=1) + "\n"
    return replace(model, config=config, arrays=arrays, blocks=())
