"""The folds of `folds_mlp` on a GPU: steps played by a CUDA graph beside steps launched kernel by
kernel, and beside an eager loop on the same GPU and the same stack on the processor.

The same workload, and mean accuracies within two points. Then the epochs of `language_training` there, beside its
peers on the same GPU. Where there is no GPU the rows say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import torch

from bench import language_training
from bench.folds_mlp import Folds, eager, folds_of, ours
from bench.pairs import ROUNDS, Result, against, close
from sixfold.runs.context import Context
from sixfold.train import replicas

ABSENT = "no CUDA device here"


def captured(folds: Folds, epochs: int, device: str) -> float:
    """As `budget: {device: cuda}` trains."""
    return ours(folds, epochs, Context(device=device))


def launched(folds: Folds, epochs: int, device: str) -> float:
    """The same without a recording."""
    with mock.patch.object(replicas, "recorder_of", lambda device, operations: None):
        return captured(folds, epochs, device)


def measure(
    folds: int = 10,
    epochs: int = 30,
    rounds: int = ROUNDS,
    device: str = "cuda",
    language: dict[str, Any] | None = None,
) -> Iterator[Result]:
    """Seconds from arrays in memory to the accuracy of every fold, which is read at the end; and of an epoch of the
    language models. `language`: what is otherwise there.
    """
    some, title = folds_of(folds), f"digits, 64-128-64-10, {epochs} epochs, {folds} folds, on a GPU"
    peers: tuple[tuple[str, Callable[[], float]], ...] = (
        ("kernel by kernel", lambda: launched(some, epochs, device)),
        ("eager torch loop on the GPU", lambda: eager(some, epochs, device)),
        ("our stack on the processor", lambda: ours(some, epochs)),
    )
    missing = device == "cuda" and not torch.cuda.is_available()
    for name, peer in peers:
        form = Result(title, name)
        if missing:
            yield replace(form, absent=ABSENT)
        else:
            yield against(
                form, lambda: captured(some, epochs, device), peer, close("accuracy", 0.02), rounds
            )
    if missing:
        yield Result("language models, an epoch on a GPU", "a plain loop", absent=ABSENT)
    else:
        yield from language_training.measure(min(rounds, 3), device, **(language or {}))
