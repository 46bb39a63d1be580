"""The pinball loss of networks that give several quantiles: max(q·e, (q − 1)·e) with e = y − output, the
mean over the quantiles (Koenker and Bassett, Regression Quantiles, 1978).

Shape letters: R rows, M members, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def pinball_losses(
    quantiles: Sequence[float],
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Of outputs […, R, Q] or […, R, M, Q] and values […, R, Q]: the loss of every row, […, R]; of several
    members the mean of theirs.
    """

    def losses(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        alone = outputs.ndim == y.ndim
        error = y - outputs if alone else y.unsqueeze(-2) - outputs
        q = error.new_tensor(quantiles)
        each = torch.maximum(q * error, (q - 1.0) * error)
        return each.mean(-1) if alone else each.mean((-2, -1))

    return losses
