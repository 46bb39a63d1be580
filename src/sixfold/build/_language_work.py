"""What the loop trains of a language model that learns preferences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch

from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.table import IntArray
from sixfold.parts.token_windows import Span, WindowBatch, filled
from sixfold.train.module import ExampleReader, ModuleFit
from sixfold.train.token_objectives import PairNetwork, preference_losses

FIRST: Final = 0.25  # of a window's tokens, with which a training begins; guessed
STEP: Final = 8  # tokens by which windows grow
AT_ONCE: Final = 8  # pairs that are scored together before the training


@dataclass(frozen=True)
class PairExamples:
    """Preferences, a pair of answers a row: an `ExampleReader`. `x`: int64 [B, 2, 4, T], as
    `PairNetwork` reads it; `y`: float32 [B, 2] the `reference`, scores of the answers by the model that
    the training starts from; zeros where there is none yet.
    """

    tokens: StoredTokens
    context: int
    reference: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self, rows: IntArray, draw: torch.Generator | None) -> WindowBatch:
        """As in `ExampleReader`; as long as the longest answer of the batch."""
        chosen = self.tokens
        rejected = self.tokens if self.tokens.rejected is None else self.tokens.rejected
        sides = [(side, self._inputs(side)) for side in (chosen, rejected)]
        length = max(int(inputs[rows].max()) for _, inputs in sides)
        whole = []
        for side, inputs in sides:
            windows = [[Span(row, 0, int(inputs[row]), 0)] for row in rows.tolist()]
            x, y = filled(windows, side, length)
            whole.append(torch.cat([x, y[:, None]], dim=1))
        told = torch.zeros(len(rows), 2) if self.reference is None else self.reference[rows]
        return WindowBatch(torch.stack(whole, dim=1), told)

    def longest(self) -> int:
        """The row of the longest answer."""
        rejected = self.tokens if self.tokens.rejected is None else self.tokens.rejected
        return int(np.argmax(np.maximum(self._inputs(self.tokens), self._inputs(rejected))))

    def _inputs(self, side: StoredTokens) -> IntArray:
        return np.minimum(side.lengths - 1, self.context)

    def scored(self, network: PairNetwork) -> PairExamples:
        """With the scores by a network, which does not change."""
        found = []
        for first in range(0, len(self), AT_ONCE):
            rows = np.arange(first, min(first + AT_ONCE, len(self)))
            with torch.no_grad():
                found.append(network(self.read(rows, None).x))
        return replace(self, reference=torch.cat(found))


def preferring(work: ModuleFit, network: PackedNetwork, beta: float) -> ModuleFit:
    """DPO: the reference is the network as it starts, whose scores are taken once."""
    pairs = PairNetwork(network).eval()
    examples = _scored(work.examples, pairs)
    return replace(
        work,
        module=pairs,
        examples=examples,
        first=examples.longest(),
        watched=None if work.watched is None else _scored(work.watched, pairs),
        losses=partial(preference_losses, beta=beta),
        counted=len,
    )


def shortened(
    x: torch.Tensor, y: torch.Tensor, done: float, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first tokens of each window while less than `share` of the training is `done`: FIRST of them
    at first, then more and more. `x`, `y`: tokens on the last axis.

    Li and others, The stability-efficiency dilemma: investigating sequence length warmup for training
    GPT models, 2022.
    """
    if done >= share:
        return x, y
    length = x.shape[-1]
    kept = length * (FIRST + (1 - FIRST) * done / share)
    kept = min(length, max(STEP, STEP * round(kept / STEP)))
    return x[..., :kept], y[..., :kept]


def student(module: torch.nn.Module) -> torch.nn.Module:
    """The network that was trained, without what scores its answers."""
    return module.network if isinstance(module, PairNetwork) else module


def _scored(examples: ExampleReader, pairs: PairNetwork) -> PairExamples:
    if not isinstance(examples, PairExamples):
        raise TypeError(f"{type(examples).__name__} holds no preferences")
    return examples.scored(pairs)
