"""What a language model does on calibration tokens: what its matrices read, and how far its answers
are from another model's.

Calibration tokens are windows of training rows, int64 [windows, context]; no held-out row is among
them. Everything is computed by one thread, so that the same rows give the same bits anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

AT_ONCE: Final = 4096  # tokens of a pass: with 50,000 words their scores take 800 MB


@dataclass(frozen=True)
class Distance:
    """Means over predicted tokens, in nats. `loss`: cross-entropy of the model itself; `divergence`:
    Kullback and Leibler's, of its distribution from the reference's; `tokens`: how many.
    """

    loss: float
    divergence: float
    tokens: int


def batches(windows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Windows [some, context] of about AT_ONCE tokens together, one after the other."""
    yield from windows.split(max(1, AT_ONCE // windows.shape[1]))


def scores(module: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """[B, T] tokens → [B, T, vocabulary] before the softmax, in single precision."""
    return module(input_ids=tokens, use_cache=False).logits.float()  # type: ignore[no-any-return]


def distance(module: nn.Module, reference: nn.Module, windows: torch.Tensor) -> Distance:
    """Of `module` from `reference` on windows [windows, context]."""
    loss = divergence = 0.0
    count = 0
    with torch.inference_mode():
        for tokens in batches(windows):
            found = functional.log_softmax(scores(module, tokens)[:, :-1], dim=-1)
            goal = functional.log_softmax(scores(reference, tokens)[:, :-1], dim=-1)
            apart = functional.kl_div(found, goal, reduction="none", log_target=True)
            divergence += float(apart.sum(dtype=torch.float64))
            chosen = found.gather(2, tokens[:, 1:, None])
            loss -= float(chosen.sum(dtype=torch.float64))
            count += chosen.numel()
    return Distance(loss / count, divergence / count, count)


class Moments:
    """Second moments of what a matrix reads: `sums` [columns, columns] of xxᵀ over `count` tokens."""

    def __init__(self, columns: int) -> None:
        self.sums = torch.zeros(columns, columns)
        self.count = 0

    def add(self, x: torch.Tensor) -> None:
        """`x`: [..., columns]."""
        rows = x.reshape(-1, x.shape[-1]).float()
        self.sums.addmm_(rows.T, rows)
        self.count += len(rows)

    def mean(self) -> torch.Tensor:
        """[columns, columns] over the tokens."""
        return self.sums / max(1, self.count)


@contextmanager
def watching(linears: Mapping[str, nn.Linear]) -> Iterator[dict[str, Moments]]:
    """Inside, what each of these matrices reads is added to its moments."""
    found = {name: Moments(linear.in_features) for name, linear in linears.items()}

    def hook(name: str) -> Any:
        def add(_: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
            found[name].add(inputs[0])

        return add

    handles = [linear.register_forward_pre_hook(hook(name)) for name, linear in linears.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
