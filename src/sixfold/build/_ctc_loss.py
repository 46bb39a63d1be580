"""The loss of connectionist temporal classification (Graves and others, ICML 2006): a text is as probable
as all of its paths together.
"""

# Shape letters: B recordings, S frames, V symbols.
from __future__ import annotations

import torch
from torch.nn import functional

from sixfold.bundle.transcription import paths


def ctc_losses(outputs_BSV: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """−ln of the probability of each text, for each of its characters, [B]; 0 of one that no path has.
    `targets`: int64 [B, characters], from 1, 0 behind a text's end.
    """
    lengths = (targets > 0).sum(dim=1)
    frames = torch.full_like(lengths, outputs_BSV.shape[1])
    found = functional.ctc_loss(
        outputs_BSV.log_softmax(dim=2).transpose(0, 1),
        targets,
        frames,
        lengths,
        blank=paths.BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return found / lengths.clamp(min=1)
