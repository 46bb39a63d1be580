"""What can be removed of a language model, each by its importance: layers, heads, channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from sixfold.compress.language.importance import least_layers, least_units
from sixfold.compress.language.pruning import Removal
from sixfold.compress.language.removal import with_layers, with_units
from sixfold.compress.language.structure import DecoderShape, UnitKind
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.token_windows import WindowBatch


def _layers(model: LanguageModel) -> int:
    return DecoderShape.of(model.fields).layers


def _layers_left(model: LanguageModel, share: float) -> int:
    return max(1, round(_layers(model) * (1 - share)))


def _fewer_layers(model: LanguageModel, windows: WindowBatch, left: int) -> LanguageModel:
    return with_layers(model, least_layers(model, windows, left))


def _units(kind: UnitKind, model: LanguageModel) -> int:
    return DecoderShape.of(model.fields).units(kind)


def _units_left(kind: UnitKind, model: LanguageModel, share: float) -> int:
    return DecoderShape.of(model.fields).share(kind, share)


def _fewer_units(
    kind: UnitKind, model: LanguageModel, windows: WindowBatch, left: int
) -> LanguageModel:
    return with_units(model, least_units(model, kind, windows, left))


def _heads(model: LanguageModel) -> int:
    return DecoderShape.of(model.fields).heads


def _of_units(kind: UnitKind, count: Callable[[LanguageModel], int]) -> Removal:
    units, left = partial(_units, kind), partial(_units_left, kind)
    return Removal(kind, count, units, left, partial(_fewer_units, kind))


LAYERS: Final = Removal("layers", _layers, _layers, _layers_left, _fewer_layers)
HEADS: Final = _of_units("heads", _heads)
CHANNELS: Final = _of_units("channels", partial(_units, "channels"))
