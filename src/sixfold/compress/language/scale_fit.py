"""Scales and norms fitted to whole answers: once all matrices have four bits, what is still real (a scale
of each block, the vectors) is trained for a pass over the calibration tokens, so that the answers diverge
least from those of the whole model. The integers stay as they are.

As the second phase of Chen and others, EfficientQAT, 2024, by the divergence instead of the labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.func import functional_call

from sixfold.compress.language.calibration import distance, diverging, log_probabilities
from sixfold.parts.gguf_blocks import FourBits, TensorData, decoded, four_bits
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.token_windows import IGNORED, WindowBatch

NETWORK: Final = "network."  # what the names of its parameters begin with


@dataclass(frozen=True)
class ScaleFit:
    """`tokens`: of a step, about; `rate`: Adam's for the relative change of a number, falling to 0 with
    half a cosine. Measured on a model of width 64: 1e-2 is no better than 3e-3.
    """

    passes: int = 1
    tokens: int = 1024
    rate: float = 3e-3


class RelativeChanges:
    """Of each number that is trained, how much of itself is added to it."""

    def __init__(self, model: LanguageModel) -> None:
        self.blocks = {one.name: four_bits(one) for one in model.blocks if one.type == "q4_0"}
        self.scales = {n: _real(four.scales) for n, four in self.blocks.items()}
        self.vectors = {n: _real(a) for n, a in model.arrays.items() if a.ndim == 1}
        self.integers = {n: _real(four.codes) - 8 for n, four in self.blocks.items()}
        every = {**self.scales, **self.vectors}
        self.of = {n: torch.zeros_like(value, requires_grad=True) for n, value in every.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """Name in the network → what it computes with."""
        found = {n: value * (1 + self.of[n]) for n, value in self.vectors.items()}
        for name, integers in self.integers.items():
            scales = self.scales[name] * (1 + self.of[name])
            found[name] = integers * scales.repeat_interleave(
                integers.shape[1] // scales.shape[1], dim=1
            )
        return {f"{NETWORK}{name}": weight for name, weight in found.items()}

    def into(self, model: LanguageModel) -> LanguageModel:
        """With the numbers as they are now; scales in half precision."""
        arrays, blocks = dict(model.arrays), list[TensorData]()
        with torch.no_grad():
            for name, vector in self.vectors.items():
                arrays[name] = (vector * (1 + self.of[name])).numpy()
            for one in model.blocks:
                blocks.append(self._block(one) if one.name in self.blocks else one)
                arrays[one.name] = decoded(blocks[-1])
        return replace(model, arrays=arrays, blocks=tuple(blocks))

    def _block(self, block: TensorData) -> TensorData:
        scales = (self.scales[block.name] * (1 + self.of[block.name])).numpy()
        four = FourBits(self.blocks[block.name].codes, scales.astype(np.float16))
        return TensorData(block.name, block.type, four.packed())


def scales_fitted(
    model: LanguageModel, whole: LanguageModel, windows: WindowBatch, config: ScaleFit = ScaleFit()
) -> LanguageModel:
    """`model`, which has `blocks`, with the scales and vectors whose answers diverge less from those of
    `whole`; itself where they do not.
    """
    network, teacher = model.network(), whole.network()
    network.requires_grad_(False)
    changes = RelativeChanges(model)
    optimizer = torch.optim.Adam(changes.of.values(), config.rate)
    size = max(1, config.tokens // windows.y.shape[1])
    steps, step = config.passes * math.ceil(len(windows.y) / size), 0
    draws = torch.Generator().manual_seed(0)
    for _ in range(config.passes):
        order = torch.randperm(len(windows.y), generator=draws)
        for first in range(0, len(order), size):
            for group in optimizer.param_groups:
                group["lr"] = config.rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            batch = WindowBatch(*(part[order[first : first + size]] for part in windows))
            with torch.no_grad():
                goal = log_probabilities(teacher, batch)
            found = _log_probabilities(network, changes.weights(), batch)
            optimizer.zero_grad()
            torch.autograd.backward(diverging(found, goal).mean())
            optimizer.step()
            step += 1
    better = changes.into(model)
    apart = [distance(one.network(), teacher, windows).divergence for one in (better, model)]
    return better if apart[0] < apart[1] else model


def _log_probabilities(
    network: PackedNetwork, weights: Mapping[str, torch.Tensor], batch: WindowBatch
) -> torch.Tensor:
    scores = functional_call(network, dict(weights), (batch.x,))[batch.y != IGNORED]
    return torch.nn.functional.log_softmax(scores.float(), dim=-1)


def _real(values: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
