"""Four bits a weight, chosen so that a layer's answers stay: GPTQ (Frantar, Ashkboos, Hoefler and
Alistarh, 2023), in the blocks of GGUF's `q4_0`.

A matrix W is to give on calibration tokens x what it gave: minimize Σ ‖(W - Q)x‖², which is
tr (W - Q) H (W - Q)ᵀ with H = Σ xxᵀ. Columns are rounded one after the other; what rounding
column i loses, (w - q) / U_ii, is taken from the columns that are still to come, in proportion to
row i of U, the upper Cholesky factor of H⁻¹. Then each number is chosen again, knowing all others
(coordinate descent: Behdin and others, QuantEase, 2023), and each scale is fitted to its numbers.

What a matrix reads has lost something already, in the matrices before it: x instead of x + d. It is
to give what W gave of x + d, so what is rounded is W + W D (H + λI)⁻¹ with D = Σ dxᵀ (Li and others,
GPTAQ, 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from sixfold.compress.language.calibration import Moments, batches
from sixfold.compress.language.structure import LAYERS, STAGES, layers_of, matrix
from sixfold.core.errors import FitError
from sixfold.parts.gguf_blocks import GROUP, OFFSET, FourBits
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.token_windows import WindowBatch

SHRINK: Final = tuple(
    0.7 + 0.025 * step for step in range(15)
)  # of the range: what sticks out is cut
DAMPING_STEPS: Final = 6  # ten times more each time until H can be factored


@dataclass(frozen=True)
class Gptq:
    """`damping`: share of H's mean diagonal that is added to it (0.01 as in the paper). `by_size`:
    columns that matter most, those of the largest diagonal, are rounded first, while the others can
    still make up for them. `sweeps`: how often all numbers are chosen again. `ridge`: share of H's mean
    diagonal that is added where losses of the matrices before are made up for.
    """

    damping: float = 0.01
    by_size: bool = True
    sweeps: int = 4
    ridge: float = 0.1


def rounded(weight: torch.Tensor, moments: torch.Tensor, config: Gptq = Gptq()) -> FourBits:
    """`weight` [rows, columns] in four bits; `moments`: H [columns, columns], of any scale. columns:
    a multiple of 32.
    """
    w = weight.detach().float().clone()
    diagonal = moments.diagonal().float()
    w[:, diagonal == 0] = 0  # a column that is never read
    scales = _scales(w, diagonal)
    order = torch.arange(w.shape[1])
    if config.by_size:
        order = torch.argsort(diagonal, descending=True, stable=True)
    factor = _inverse_factor(moments[order][:, order], config.damping)
    codes = _codes(w[:, order], scales[:, order // GROUP], factor)
    back = torch.empty_like(codes)
    back[:, order] = codes
    choice = _Choice(w, _damped(moments, config.damping), back.float() - OFFSET, scales)
    for _ in range(config.sweeps):
        choice.sweep()
    codes = (choice.integers + OFFSET).to(torch.uint8)
    return FourBits(codes.numpy(), choice.scales.numpy().astype(np.float16))


class _Choice:
    """Integers and scales of a matrix, which get better with each sweep. `lost`: W - Q, [rows,
    columns]; `pull`: (W - Q) H.
    """

    def __init__(
        self, w: torch.Tensor, h: torch.Tensor, integers: torch.Tensor, scales: torch.Tensor
    ) -> None:
        self.w, self.h, self.integers, self.scales = w, h, integers, scales
        self.lost = w - integers * scales.repeat_interleave(GROUP, dim=1)
        self.pull = self.lost @ h

    def sweep(self) -> None:
        """Every number once, and after each group its scale."""
        for group in range(self.scales.shape[1]):
            here = slice(group * GROUP, (group + 1) * GROUP)
            before = self.lost[:, here].clone()
            self._choose(here, self.scales[:, group])
            self._fit(here, group)
            change = self.lost[:, here] - before
            inside = self.pull[:, here].clone()  # known already
            self.pull += change @ self.h[here]
            self.pull[:, here] = inside

    def _choose(self, here: slice, scale: torch.Tensor) -> None:
        """The best value of one number, all others as they are: q + (W - Q)H / H_ii; the nearest."""
        h = self.h[here, here]
        lost, pull = self.lost[:, here], self.pull[:, here]
        for column in range(GROUP):
            best = (
                self.w[:, here.start + column]
                - lost[:, column]
                + pull[:, column] / h[column, column]
            )
            integer = _integers(best, scale)
            new = self.w[:, here.start + column] - integer * scale
            pull += torch.outer(new - lost[:, column], h[column])
            lost[:, column] = new
            self.integers[:, here.start + column] = integer

    def _fit(self, here: slice, group: int) -> None:
        """The best scale of these integers, all others as they are."""
        h, integers = self.h[here, here], self.integers[:, here]
        size = ((integers @ h) * integers).sum(dim=1)
        step = (self.pull[:, here] * integers).sum(dim=1) / size.clamp_min(1e-30)
        new = (self.scales[:, group] + step).half().float()
        change = (self.scales[:, group] - new)[:, None] * integers
        self.lost[:, here] += change
        self.pull[:, here] += change @ h
        self.scales[:, group] = new


def _damped(moments: torch.Tensor, damping: float) -> torch.Tensor:
    """H + λI, λ a share of the mean diagonal."""
    mean = moments.diagonal().mean().clamp_min(1e-12)
    return moments + damping * mean * torch.eye(len(moments), dtype=moments.dtype)


def _scales(w: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    """[rows, groups] representable in half precision: of some, that with the least error of
    rounding to the nearest, each column weighted by how much it is read.

    A scale has a sign, as -8 has no counterpart: the number farthest from zero may become -8.
    """
    rows = len(w)
    groups = w.reshape(rows, -1, GROUP)
    weights = diagonal.reshape(1, -1, GROUP)
    place = groups.abs().argmax(dim=2, keepdim=True)
    whole = groups.gather(2, place) / -OFFSET
    best = torch.zeros_like(whole)
    least = torch.full_like(whole, torch.inf)
    for share in (*SHRINK, *(-share * OFFSET / (OFFSET - 1) for share in SHRINK)):
        scale = (whole * share).half().float()
        error = (groups - _integers(groups, scale) * scale).square_().mul_(weights)
        total = error.sum(dim=2, keepdim=True)
        better = total < least
        best, least = torch.where(better, scale, best), torch.where(better, total, least)
    return best[..., 0]


def _integers(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The nearest of -8 to 7; 0 where the scale is."""
    parts = torch.where(scale == 0, 0.0, values / scale)
    return parts.round_().clamp_(-OFFSET, OFFSET - 1)


def _inverse_factor(moments: torch.Tensor, damping: float) -> torch.Tensor:
    """U, upper, with UᵀU = (H + λI)⁻¹; λ grows until that can be factored."""
    for step in range(DAMPING_STEPS):
        lower, failed = torch.linalg.cholesky_ex(_damped(moments.double(), damping * 10**step))
        if not failed:
            inverse = torch.cholesky_inverse(lower)
            upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
            if not failed:
                return torch.as_tensor(upper, dtype=torch.float32)
    raise FitError(
        "compress.quantize, gptq",
        "layers whose inputs are numbers",
        "moments that cannot be factored",
        "Write quantize: int4, which looks at no inputs; or train with a smaller rate.",
    )


def _codes(w: torch.Tensor, scales: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """uint8 [rows, columns]; `scales`: of every number. Blocks of columns: the rest of the matrix
    hears of a block's losses once, by one product.
    """
    w, columns = w.clone(), w.shape[1]
    codes = torch.empty(w.shape, dtype=torch.uint8)
    for start in range(0, columns, GROUP):
        stop = start + GROUP
        lost = torch.empty(len(w), GROUP)
        for column in range(start, stop):
            value, scale = w[:, column], scales[:, column]
            integer = _integers(value, scale)
            codes[:, column] = (integer + OFFSET).to(torch.uint8)
            lost[:, column - start] = (value - integer * scale) / factor[column, column]
            w[:, column:stop] -= torch.outer(lost[:, column - start], factor[column, column:stop])
        w[:, stop:] -= lost @ factor[start:stop, stop:]
    return codes


class Readings:
    """What a matrix reads: second moments of x, and `drift`, the mean of dxᵀ, where x + d is what the
    matrix of the whole network reads at the same place.
    """

    def __init__(self, columns: int) -> None:
        self.inputs = Moments(columns)
        self.drift = torch.zeros(columns, columns)

    def add(self, x: torch.Tensor, whole: torch.Tensor) -> None:
        """Both [tokens, columns]."""
        self.inputs.add(x)
        self.drift.addmm_((whole - x).T, x)

    def goal(self, weight: torch.Tensor, ridge: float) -> torch.Tensor:
        """What gives of x, in the least squares of all tokens, what `weight` gives of x + d."""
        h = _damped(self.inputs.mean().double(), ridge)
        drift = self.drift.double() / max(1, self.inputs.count)
        made_up = torch.as_tensor(torch.linalg.solve(h, drift.T).T, dtype=weight.dtype)
        return weight + weight @ made_up


class Passage:
    """Calibration tokens on their way through a network, layer by layer; its layers are called as it
    calls them.
    """

    def __init__(self, network: PackedNetwork, windows: WindowBatch) -> None:
        self.layers = layers_of(network)
        self.calls: list[list[Mapping[str, Any]]] = []  # of each batch, of each layer
        self.streams: list[torch.Tensor] = []  # of each batch, [B, T, width]
        for batch in batches(windows, network):
            self._record(network, batch)

    def _record(self, network: PackedNetwork, batch: WindowBatch) -> None:
        """What enters the first layer, and what else each layer is given: masks and places."""
        streams, calls = list[torch.Tensor](), list[Mapping[str, Any]]()

        def hook(_: nn.Module, inputs: Sequence[torch.Tensor], options: Mapping[str, Any]) -> None:
            streams.append(inputs[0])
            calls.append(dict(options))

        handles = [one.register_forward_pre_hook(hook, with_kwargs=True) for one in self.layers]
        try:
            network(batch.x)
        finally:
            for handle in handles:
                handle.remove()
        self.streams.append(streams[0])
        self.calls.append(calls)

    def read(self, layer: int, name: str) -> Iterator[torch.Tensor]:
        """What the matrix of that name reads, of each batch, [tokens, columns]."""
        found = list[torch.Tensor]()

        def hook(_: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
            found.append(inputs[0].reshape(-1, inputs[0].shape[-1]).float())

        handle = matrix(self.layers[layer], name).register_forward_pre_hook(hook)
        try:
            for calls, stream in zip(self.calls, self.streams, strict=True):
                self.layers[layer](stream, **calls[layer])
                yield found.pop()
        finally:
            handle.remove()

    def go_on(self, layer: int) -> None:
        """Through this layer, as it is now."""
        self.streams = [
            self.layers[layer](stream, **calls[layer])
            for calls, stream in zip(self.calls, self.streams, strict=True)
        ]


def quantized_layers(
    model: LanguageModel, windows: WindowBatch, config: Gptq = Gptq()
) -> dict[str, FourBits]:
    """Every matrix of the decoder's layers in four bits, by its name in the checkpoint, but those
    whose rows are no whole blocks.

    Layer by layer: each matrix is rounded for what it will read, from matrices that are rounded.
    """
    found = dict[str, FourBits]()
    with torch.inference_mode():
        network, whole = (Passage(model.network(), windows) for _ in range(2))
        for number, layer in enumerate(network.layers):
            for stage in STAGES:
                columns = matrix(layer, stage[0]).in_features
                if columns % GROUP:
                    continue
                readings = Readings(columns)
                pairs = (one.read(number, stage[0]) for one in (network, whole))
                for x, wanted in zip(*pairs, strict=True):
                    readings.add(x, wanted)
                for name in stage:
                    weight = matrix(layer, name).weight
                    goal = readings.goal(weight, config.ridge)
                    four = rounded(goal, readings.inputs.mean(), config)
                    found[f"{LAYERS}{number}.{name}.weight"] = four
                    weight.copy_(torch.from_numpy(four.values()))
            network.go_on(number)
            whole.go_on(number)
    return found
