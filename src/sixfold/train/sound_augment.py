"""Augmentation of training recordings, by numbers from the generator of the step: of their samples,
then of their spectrogram.
"""

# Letters: B rows of a batch, L samples, M bands, T frames.
from __future__ import annotations

from typing import Final

import torch
from pydantic import Field
from torch.nn import functional

from sixfold.recipe.section import Section

DRAWS: Final = 8  # random numbers for a recording of a batch; each change has its own, so that one more moves no other


class SoundAugment(Section):
    """How training recordings are changed from epoch to epoch."""

    shift: float = Field(
        0.1, ge=0, le=0.5, description="Random shift in time, at most this share of the length."
    )
    speed: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="Played faster or slower, and so higher or lower, by at most this share.",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=4,
        description="White noise is added, at most so many times the root of the recording's mean power.",
    )
    time_mask: float = Field(
        0.2, ge=0, lt=1, description="A stretch of time is blanked, at most this share of it."
    )
    band_mask: float = Field(
        0.2, ge=0, lt=1, description="A range of bands is blanked, at most this share of them."
    )

    def describe(self) -> str:
        """What is done, a sentence for the user."""
        shares = (
            ("shift", self.shift),
            ("speed", self.speed),
            ("noise", self.noise),
            ("time mask", self.time_mask),
            ("band mask", self.band_mask),
        )
        done = [f"{name} {share:.0%}" for name, share in shares if share]
        return f"Training recordings are augmented: {', '.join(done) or 'not at all'}."


def changed_samples(
    samples_BL: torch.Tensor, settings: SoundAugment, draws: torch.Tensor, draw: torch.Generator
) -> torch.Tensor:
    """Shift, speed and noise of float32 [B, L], not changed in place; `draws` [B, DRAWS] in [0, 1).
    Zero is what is shifted in.
    """
    if settings.shift or settings.speed:
        factors = 1 + settings.speed * (2 * draws[:, 0] - 1)
        offsets = settings.shift * (2 * draws[:, 1] - 1) * samples_BL.shape[1]
        samples_BL = replayed(samples_BL, factors, offsets)
    if settings.noise:
        power = samples_BL.pow(2).mean(1, keepdim=True)
        size = power.sqrt() * (settings.noise * draws[:, 2:3]).to(torch.float32)
        noise = torch.randn(samples_BL.shape, generator=draw, dtype=torch.float32)
        samples_BL = samples_BL + size * noise
    return samples_BL


def replayed(
    samples_BL: torch.Tensor, factors: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """Around its middle `factors` [B] times as fast, from `offsets` [B] samples later on; linear
    between two samples, zero beyond the ends.
    """
    length = samples_BL.shape[1]
    half = (length - 1) / 2
    steps = torch.arange(length, dtype=torch.float64) - half
    places = half + steps * factors.to(torch.float64)[:, None] + offsets.to(torch.float64)[:, None]
    places = places.clamp(-1, length)  # one zero beyond each end
    before = places.floor()
    share = (places - before).to(torch.float32)
    padded = functional.pad(samples_BL, (1, 2))
    index = before.to(torch.int64) + 1
    return padded.gather(1, index) * (1 - share) + padded.gather(1, index + 1) * share


def masked(
    spectrograms_BMT: torch.Tensor, settings: SoundAugment, draws: torch.Tensor
) -> torch.Tensor:
    """A stretch of time and a range of bands become the recording's mean (SpecAugment, Park et al.
    2019); `draws` [B, DRAWS] in [0, 1).
    """
    for axis, share, own in ((2, settings.time_mask, 3), (1, settings.band_mask, 5)):
        if share:
            count = spectrograms_BMT.shape[axis]
            width = share * count * draws[:, own]
            start = (count - width) * draws[:, own + 1]
            places = torch.arange(count) + 0.5
            inside = (places >= start[:, None]) & (places < (start + width)[:, None])
            mean = spectrograms_BMT.mean((1, 2), keepdim=True)
            spectrograms_BMT = torch.where(inside.unsqueeze(3 - axis), mean, spectrograms_BMT)
    return spectrograms_BMT
