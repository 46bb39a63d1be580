"""How features enter a tabular network: numbers as they are or as waves, categories as vectors from
a table.

Waves: Gorishniy, Rubachev and Babenko, On embeddings for numerical features in tabular deep
learning, 2022, with the linear layer shared by all numbers ("lite": Gorishniy and others, TabR,
2023), which is one product instead of one a number.

Shape letters: R rows, F features, N numbers among them, C codes of categories, Q frequencies, E
width of a vector, D width of the result. For torch any axes may lead: K replicas, or none.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sixfold.build._fitted_network import LayerParts
from sixfold.parts.fit import Shape
from sixfold.parts.state import State

TURN = 2.0 * math.pi


def linear(h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """[…, R, …, I], […, O, I], [..., O] → […, R, …, O]; one batched product where replicas lead."""
    if weight.ndim == 2:
        return functional.linear(h, weight, bias)
    if h.ndim > 3:  # several products a row
        return linear(h.flatten(1, -2), weight, bias).view(*h.shape[:-1], -1)
    return torch.baddbmm(bias.unsqueeze(-2), h, weight.mT)


def looked_up(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """[…, V, E], […, R, C] int64 → […, R, C · E]; its gradient adds up what the same row was asked
    for.
    """
    if table.ndim == 2:
        return functional.embedding(rows, table).flatten(-2)
    every = rows.flatten(-2)
    found = torch.gather(table, -2, every.unsqueeze(-1).expand(*every.shape, table.shape[-1]))
    return found.view(*rows.shape[:-1], -1)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _there(numbers: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """int64, kept on the device: a copy in every step would wait for the processor."""
    return torch.tensor(numbers, device=device)


@dataclass(frozen=True)
class FeatureEmbedding(State):
    """`numbers`, `codes`: their columns. `sizes`: rows of each category's table, the first for -1,
    a value never seen; the tables are one after the other in `table`. `frequencies`: waves a
    number, 0 for numbers as they are. `width`: E.
    """

    numbers: tuple[int, ...]
    codes: tuple[int, ...]
    sizes: tuple[int, ...]
    frequencies: int
    width: int

    @classmethod
    def of(cls, shape: Shape, frequencies: int, width: int) -> FeatureEmbedding:
        """For features of this shape."""
        levels = shape.levels or (0,) * shape.features
        codes = tuple(at for at, count in enumerate(levels) if count)
        numbers = tuple(at for at, count in enumerate(levels) if not count)
        return cls(
            numbers,
            codes,
            tuple(levels[at] + 1 for at in codes),
            frequencies if numbers else 0,
            width,
        )

    @property
    def outputs(self) -> int:
        """D."""
        return (
            len(self.numbers) * (self.width if self.frequencies else 1)
            + len(self.codes) * self.width
        )

    @property
    def held(self) -> int:
        """Numbers held for one row in training."""
        return self.outputs * 2 + len(self.numbers) * self.frequencies * 4

    @property
    def offset(self) -> npt.NDArray[np.int64]:
        """Where code 0 of each category stands in the table, [C]."""
        return np.cumsum([1, *self.sizes[:-1]]).astype(np.int64)[: len(self.codes)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters, by name."""
        waves = {
            "frequency": (len(self.numbers), self.frequencies),
            "wave_weight": (self.width, 2 * self.frequencies),
            "wave_bias": (self.width,),
        }
        table = {"table": (sum(self.sizes), self.width)}
        return {**(waves if self.frequencies else {}), **(table if self.codes else {})}

    def start(self, parts: LayerParts, scale: float, generator: torch.Generator) -> frozenset[str]:
        """Frequencies ~ N(0, scale²); vectors at 0, so that a value never seen adds nothing, as in
        one_hot.
        """
        with torch.no_grad():
            if self.frequencies:
                parts["frequency"].normal_(0.0, scale, generator=generator)
            if self.codes:
                parts["table"].zero_()
        return frozenset({"frequency", "table"} & parts.keys())

    def enter(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[…, R, F] → […, R, D]."""
        pieces = []
        if self.numbers:
            numbers = x if not self.codes else x.index_select(-1, _there(self.numbers, x.device))
            pieces.append(self._waves(parts, numbers) if self.frequencies else numbers)
        if self.codes:
            codes = x.index_select(-1, _there(self.codes, x.device)).long()
            rows = codes + _there(tuple(self.offset.tolist()), x.device)
            pieces.append(looked_up(parts["table"], rows))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, -1)

    def _waves(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        angle = x.unsqueeze(-1) * (TURN * parts["frequency"].unsqueeze(-3))
        wave = torch.cat([angle.cos(), angle.sin()], -1)
        return linear(wave, parts["wave_weight"], parts["wave_bias"]).relu().flatten(-2)
