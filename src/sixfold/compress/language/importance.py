"""How important: of layers by what the answers lose without them; of heads and channels by what they
add to the stream between the layers; both on calibration tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from sixfold.compress.language.calibration import Moments, batches, distance, scores, watching
from sixfold.compress.language.removal import KeptLayers, KeptUnits, with_layers
from sixfold.compress.language.structure import (
    READERS,
    DecoderShape,
    Kind,
    layers_of,
    linear,
    reading_columns,
)

RIDGE: Final = 1e-4  # of the mean diagonal: keeps the least squares solvable


def least_layers(module: nn.Module, windows: torch.Tensor, count: int) -> KeptLayers:
    """`count` layers stay: one after the other that layer goes without which the answers diverge
    least from the whole model's, as it stands without those that went before.
    """
    kept = list(range(DecoderShape.of(module).layers))
    while len(kept) > count:
        apart = {}
        for layer in kept:
            attempt = [other for other in kept if other != layer]
            without = with_layers(module, KeptLayers(attempt))
            apart[layer] = distance(without, module, windows).divergence
        kept.remove(min(apart, key=lambda layer: (apart[layer], layer)))
    return KeptLayers(kept)


@dataclass(frozen=True)
class UnitReader:
    """The matrix that reads a layer's units, [width, columns], and the moments of what it reads,
    [columns, columns].
    """

    weight: torch.Tensor
    moments: torch.Tensor

    def energy(self, columns: torch.Tensor) -> torch.Tensor:
        """[units] mean squared length of what each adds to the stream; `columns`: [units, width]."""
        blocks = self.moments[columns[:, :, None], columns[:, None, :]]
        weights = self.weight[:, columns].movedim(1, 0)  # [units, out, width]
        return torch.einsum("uow,uwv,uov->u", weights, blocks, weights)

    def without(self, kept: torch.Tensor) -> torch.Tensor:
        """The matrix on the columns `kept` alone, changed so that it gives, in the least squares of
        the calibration tokens, what it gave with all: W_K + W_R · C_RK · C_KK⁻¹. Where the removed
        columns W_R are zero, W_K exactly.
        """
        gone = torch.ones(self.weight.shape[1], dtype=torch.bool)
        gone[kept] = False
        removed = gone.nonzero()[:, 0]
        inside = self.moments[kept[:, None], kept[None, :]].double()
        across = self.moments[removed[:, None], kept[None, :]].double()
        ridge = RIDGE * float(inside.diagonal().mean().clamp_min(1e-12))
        factor = torch.linalg.cholesky(inside + ridge * torch.eye(len(inside), dtype=inside.dtype))
        change = torch.cholesky_solve((self.weight[:, removed].double() @ across).T, factor).T
        return self.weight[:, kept] + change.to(self.weight.dtype)


def unit_readers(module: nn.Module, kind: Kind, windows: torch.Tensor) -> list[UnitReader]:
    """Of every layer, on windows [windows, context]."""
    name = READERS[kind]
    linears = {str(n): linear(layer, name) for n, layer in enumerate(layers_of(module))}
    with torch.inference_mode(), watching(linears) as moments:
        for tokens in batches(windows):
            scores(module, tokens)
    means: dict[str, Moments] = moments
    return [UnitReader(linears[n].weight.detach(), means[n].mean()) for n in linears]


def least_units(module: nn.Module, kind: Kind, windows: torch.Tensor, count: int) -> KeptUnits:
    """`count` units of every layer stay, those that add most; what reads them makes up for the
    others.
    """
    shape = DecoderShape.of(module)
    all_units = torch.arange(shape.units(kind))
    columns = reading_columns(shape, kind, all_units).reshape(len(all_units), -1)
    units, readers = [], []
    with torch.inference_mode():
        for reader in unit_readers(module, kind, windows):
            ranked = torch.argsort(reader.energy(columns), descending=True, stable=True)
            kept = ranked[:count].sort().values
            units.append(kept)
            readers.append(reader.without(columns[kept].reshape(-1)))
    return KeptUnits(kind, units, readers)
