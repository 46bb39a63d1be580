"""How to cut a language model: fewer layers, heads or channels, as a standard checkpoint of the same
architecture whose configuration says the new numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sixfold.compress.language.structure import (
    READERS,
    DecoderShape,
    Kind,
    UnitPart,
    configuration,
)
from sixfold.parts.draws import own_draws

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class KeptLayers:
    """Numbers of the layers that stay, rising."""

    layers: Sequence[int]


@dataclass(frozen=True)
class KeptUnits:
    """What stays of every layer. `units`: int64 of each layer, rising, equally many. `readers`: of
    each layer the whole new matrix that reads them, [width, columns that stay], where it makes up
    for what is removed; () keeps its own numbers.
    """

    kind: Kind
    units: Sequence[torch.Tensor]
    readers: Sequence[torch.Tensor] = ()


def with_layers(module: nn.Module, config: KeptLayers) -> nn.Module:
    """A copy with these layers alone, renumbered; `module` stays as it is."""
    old = module.state_dict()
    first = "model.layers."
    weights: Weights = {n: w.clone() for n, w in old.items() if not n.startswith(first)}
    for number, layer in enumerate(config.layers):
        before, after = f"{first}{layer}.", f"{first}{number}."
        for name, weight in old.items():
            if name.startswith(before):
                weights[after + name.removeprefix(before)] = weight.clone()
    return _made(module, _fewer_layers(configuration(module), config.layers), weights)


def with_units(module: nn.Module, config: KeptUnits) -> nn.Module:
    """A copy with these units alone in every layer; `module` stays as it is."""
    shape = DecoderShape.of(module)
    weights: Weights = {name: weight.clone() for name, weight in module.state_dict().items()}
    for layer, units in enumerate(config.units):
        for part in shape.parts(config.kind):
            _cut(weights, f"model.layers.{layer}.{part.linear}", part, units)
    for layer, reader in enumerate(config.readers):
        weights[f"model.layers.{layer}.{READERS[config.kind]}.weight"] = reader.clone()
    fields = {**configuration(module), **shape.fields(config.kind, len(config.units[0]))}
    return _made(module, fields, weights)


def _cut(weights: Weights, name: str, part: UnitPart, units: torch.Tensor) -> None:
    """The part's indices of `units` stay, of the matrix and of the bias that belongs to its rows."""
    indices = (units[:, None] * part.width + torch.arange(part.width)).reshape(-1)
    weights[f"{name}.weight"] = weights[f"{name}.weight"].index_select(part.axis, indices)
    if part.axis == 0 and f"{name}.bias" in weights:
        weights[f"{name}.bias"] = weights[f"{name}.bias"].index_select(0, indices)


def _fewer_layers(fields: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """The configuration with these layers; Qwen's says of each which attention it has."""
    changed = {**fields, "num_hidden_layers": len(layers)}
    if fields.get("layer_types"):
        changed["layer_types"] = [fields["layer_types"][layer] for layer in layers]
    if fields.get("max_window_layers") is not None:
        whole = int(fields["max_window_layers"])  # the first layers, which see all tokens
        changed["max_window_layers"] = sum(layer < whole for layer in layers)
    return changed


def _made(module: nn.Module, fields: Mapping[str, Any], weights: Weights) -> nn.Module:
    """A model of the same class with another configuration and these weights, in evaluation."""
    config: Any = module.config
    model: Any = type(module)
    with own_draws():
        made: nn.Module = model(type(config).from_dict(dict(fields)))
    made.load_state_dict(weights, assign=True)
    tie: Any = made
    tie.tie_weights()
    return made.eval()
