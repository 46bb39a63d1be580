"""What a language model does on calibration tokens: what its matrices read, and how far its answers
are from another model's.

Calibration tokens are windows of training texts, as the model was trained with them; no held-out text
is among them. A reference is the model as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sixfold.evaluate.model import Model
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import StoredTokens, stored_tokens
from sixfold.parts.table import Dataset
from sixfold.parts.token_windows import IGNORED, PackedTexts, WindowBatch
from sixfold.train import threads

TOKENS: Final = (
    32_768  # calibration tokens: GPTQ's authors take 128 windows of 2,048; guessed for small models
)
SCORES_AT_ONCE: Final = 1 << 24  # numbers of the last product that are held: 64 MiB, a few times


@dataclass(frozen=True)
class Distance:
    """Means over predicted tokens, in nats. `loss`: cross-entropy of the model itself; `divergence`:
    Kullback and Leibler's, of its distribution from the reference's; `tokens`: how many.
    """

    loss: float
    divergence: float
    tokens: int


def windows_of(tokens: StoredTokens, context: int, count: int = TOKENS) -> WindowBatch:
    """Evenly spaced windows of training texts, about `count` tokens together."""
    texts = PackedTexts(tokens, context)
    rows = np.linspace(0, len(texts) - 1, min(len(texts), max(1, count // context)))
    return texts.read(np.unique(rows.astype(np.int64)), None)


def calibration_of(model: Model, training: Dataset) -> tuple[LanguageModel, WindowBatch]:
    """The language model of a pipeline, and windows of its training texts. Raises TypeError for
    another kind of model.
    """
    if not isinstance(model.fitted, LanguageModel):
        raise TypeError(f"{type(model.fitted).__name__} is no LanguageModel")
    tokens = stored_tokens(model.preparer.transform(training.table))
    return model.fitted, windows_of(tokens, model.fitted.context)


def divergence_on(before: Model, after: Model, rows: Dataset) -> float:
    """Mean KL(before ‖ after) of a token of these texts, in nats; of many texts, of about TOKENS of
    them.
    """
    (old, windows), (new, _) = calibration_of(before, rows), calibration_of(after, rows)
    with threads.one_thread():
        return distance(new.network(), old.network(), windows).divergence


def batches(windows: WindowBatch, network: PackedNetwork) -> Iterator[WindowBatch]:
    """As many windows at once as their scores leave room for."""
    config: Any = network.network.config
    size = max(1, SCORES_AT_ONCE // (windows.y.shape[1] * config.vocab_size))
    for first in range(0, len(windows.y), size):
        yield WindowBatch(*(part[first : first + size] for part in windows))


def distance(network: PackedNetwork, reference: PackedNetwork, windows: WindowBatch) -> Distance:
    """Of `network` from `reference`."""
    loss = divergence = 0.0
    count = 0
    with torch.inference_mode():
        for batch in batches(windows, network):
            counted = batch.y != IGNORED
            found = log_probabilities(network, batch)
            goal = log_probabilities(reference, batch)
            divergence += float(diverging(found, goal).sum(dtype=torch.float64))
            chosen = found.gather(1, batch.y[counted][:, None])
            loss -= float(chosen.sum(dtype=torch.float64))
            count += len(chosen)
    return Distance(loss / count, divergence / count, count)


def log_probabilities(network: PackedNetwork, batch: WindowBatch) -> torch.Tensor:
    """Of every token after each place whose target counts: [places, vocabulary]."""
    scores = network(batch.x)[batch.y != IGNORED]
    return functional.log_softmax(scores.float(), dim=-1)


def diverging(found: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """KL(goal ‖ found) of each place, [places]; both are logarithms of probabilities."""
    apart = functional.kl_div(found, goal, reduction="none", log_target=True)
    return apart.sum(dim=-1)


class Moments:
    """Second moments of what a matrix reads: the sum [columns, columns] of xxᵀ, and of how many x."""

    def __init__(self, columns: int) -> None:
        self.sums = torch.zeros(columns, columns)
        self.count = 0

    def add(self, x: torch.Tensor) -> None:
        """`x`: [..., columns]."""
        rows = x.reshape(-1, x.shape[-1]).float()
        self.sums.addmm_(rows.T, rows)
        self.count += len(rows)

    def mean(self) -> torch.Tensor:
        """[columns, columns]."""
        return self.sums / max(1, self.count)


@contextmanager
def watching(matrices: Mapping[str, nn.Linear]) -> Iterator[dict[str, Moments]]:
    """Inside, what each of these matrices reads is added to its moments."""
    found = {name: Moments(matrix.in_features) for name, matrix in matrices.items()}

    def hook(name: str) -> Any:
        def add(_: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
            found[name].add(inputs[0])

        return add

    handles = [matrix.register_forward_pre_hook(hook(name)) for name, matrix in matrices.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
