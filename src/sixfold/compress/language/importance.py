"""How important: of layers by what the answers lose without them; of heads and channels by what they
add to the stream between the layers; both on calibration tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from sixfold.compress.language.calibration import (
    batches,
    diverging,
    log_probabilities,
    watching,
)
from sixfold.compress.language.removal import KeptLayers, KeptUnits
from sixfold.compress.language.structure import (
    READERS,
    DecoderShape,
    UnitKind,
    layers_of,
    matrix,
)
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.table import FloatArray, IntArray
from sixfold.parts.token_windows import WindowBatch

RIDGE: Final = 1e-4  # of the mean diagonal: keeps the least squares solvable


def least_layers(model: LanguageModel, windows: WindowBatch, count: int) -> KeptLayers:
    """`count` layers stay: one after the other that layer goes without which the answers diverge
    least from the whole model's, as it stands without those that went before.
    """
    network = model.network()
    kept = list(range(DecoderShape.of(model.fields).layers))
    while len(kept) > count:
        apart = divergences(network, kept, windows)
        kept.remove(kept[int(np.argmin(apart))])
    return KeptLayers(kept)


def divergences(network: PackedNetwork, kept: Sequence[int], windows: WindowBatch) -> FloatArray:
    """Of each layer in `kept`: the mean divergence from the whole network of the one that has the
    others of `kept` alone.
    """
    sums, count = np.zeros(len(kept)), 0
    with torch.inference_mode():
        for batch in batches(windows, network):
            goal = log_probabilities(network, batch)
            count += len(goal)
            for place, layer in enumerate(kept):
                with only(network, [other for other in kept if other != layer]):
                    found = log_probabilities(network, batch)
                sums[place] += float(diverging(found, goal).sum(dtype=torch.float64))
    return sums / max(1, count)


@contextmanager
def only(network: PackedNetwork, layers: Sequence[int]) -> Iterator[None]:
    """Inside, the network has these layers alone."""
    decoder, config = network.network.model, network.network.config
    every: nn.ModuleList = decoder.layers
    types: Any = config.to_dict().get("layer_types")
    decoder.layers = nn.ModuleList([every[layer] for layer in layers])
    if types:
        config.layer_types = [types[layer] for layer in layers]
    try:
        yield
    finally:
        decoder.layers = every
        if types:
            config.layer_types = types


@dataclass(frozen=True)
class UnitReader:
    """The matrix that reads a layer's units, [width, columns], and the moments of what it reads,
    [columns, columns].
    """

    weight: torch.Tensor
    moments: torch.Tensor

    def energy(self, columns: IntArray) -> torch.Tensor:
        """[units] mean squared length of what each adds to the stream. `columns`: [units, width]."""
        chosen = torch.from_numpy(columns)
        blocks = self.moments[chosen[:, :, None], chosen[:, None, :]]
        weights = self.weight[:, chosen].movedim(1, 0)  # [units, out, width]
        return torch.einsum("uow,uwv,uov->u", weights, blocks, weights)

    def without(self, kept: IntArray) -> torch.Tensor:
        """The matrix on the columns `kept` alone, changed so that it gives, in the least squares of
        the calibration tokens, what it gave with all: W_K + W_R · C_RK · C_KK⁻¹. Where the removed
        columns W_R are zero, W_K exactly.
        """
        removed = torch.from_numpy(np.setdiff1d(np.arange(self.weight.shape[1]), kept))
        stay = torch.from_numpy(kept)
        inside = self.moments[stay[:, None], stay[None, :]].double()
        across = self.moments[removed[:, None], stay[None, :]].double()
        ridge = RIDGE * float(inside.diagonal().mean().clamp_min(1e-12))
        factor = torch.linalg.cholesky(inside + ridge * torch.eye(len(inside), dtype=inside.dtype))
        change = torch.cholesky_solve((self.weight[:, removed].double() @ across).T, factor).T
        return self.weight[:, stay] + change.to(self.weight.dtype)


def unit_readers(network: PackedNetwork, kind: UnitKind, windows: WindowBatch) -> list[UnitReader]:
    """Of every layer."""
    layers = enumerate(layers_of(network))
    matrices = {str(number): matrix(layer, READERS[kind]) for number, layer in layers}
    with torch.inference_mode(), watching(matrices) as moments:
        for batch in batches(windows, network):
            network(batch.x)
    return [UnitReader(matrices[n].weight.detach(), moments[n].mean()) for n in matrices]


def least_units(
    model: LanguageModel, kind: UnitKind, windows: WindowBatch, count: int
) -> KeptUnits:
    """`count` units of every layer stay, those that add most; what reads them makes up for the
    others.
    """
    shape = DecoderShape.of(model.fields)
    every = np.arange(shape.units(kind))
    columns = shape.parts(kind)[-1].indices(every).reshape(len(every), -1)
    units, readers = [], []
    with torch.inference_mode():
        for reader in unit_readers(model.network(), kind, windows):
            ranked = torch.argsort(reader.energy(columns), descending=True, stable=True)
            kept = np.sort(ranked[:count].numpy())
            units.append(kept)
            readers.append(reader.without(columns[kept].reshape(-1)).numpy())
    return KeptUnits(kind, units, readers)
