"""The loss of each row of a batch."""

from __future__ import annotations

import torch
from torch.nn import functional


def row_losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """[B, O] against int64 [B] classes, or against float [B, O] shares of the classes that sum to
    1: cross-entropy, [B].

    Values are float [B]: squared error, the mean over the outputs where there are several.
    """
    if targets.dtype == torch.int64 or targets.ndim == 2:
        return functional.cross_entropy(outputs, targets, reduction="none")
    return (outputs - targets.reshape(outputs.shape)).square().mean(dim=1)
