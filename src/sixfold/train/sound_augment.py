"""Augmentation of training recordings, by numbers from the generator of the step: of their samples,
then of their spectrogram.
"""

# Letters: B rows of a batch, L samples, M bands, T frames.
from __future__ import annotations

import math
from typing import Annotated, Final

import torch
from pydantic import Field
from torch.nn import functional

from sixfold.recipe.section import Section

DRAWS: Final = 8  # random numbers for a recording of a batch; each change has its own, so that one more moves no other
ROOM_M3: Final = 60.0  # a living room; and how far its speaker is
DISTANCE_M: Final = 0.5


Shift = Annotated[
    float,
    Field(ge=0, le=0.5, description="Random shift in time, at most this share of the length."),
]
Speed = Annotated[
    float,
    Field(
        ge=0,
        le=0.5,
        description="Played faster or slower, and so higher or lower, by at most this share.",
    ),
]
Room = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="Heard in a room, whose sound fades by 60 dB in so many seconds at most; 0: in none.",
    ),
]
Noise = Annotated[
    float,
    Field(
        ge=0,
        le=4,
        description="White noise is added, at most so many times the root of the recording's mean power.",
    ),
]
TimeMask = Annotated[
    float,
    Field(ge=0, lt=1, description="A stretch of time is blanked, at most this share of it."),
]
BandMask = Annotated[
    float,
    Field(ge=0, lt=1, description="A range of bands is blanked, at most this share of them."),
]


class SoundAugment(Section):
    """How training recordings are changed from epoch to epoch. A family that does so is one, with values of its
    own.
    """

    shift: Shift = 0.1
    speed: Speed = 0.2
    room: Room = 0.0
    noise: Noise = 0.0
    time_mask: TimeMask = 0.2
    band_mask: BandMask = 0.2

    def changes(self) -> str:
        """What is done, a sentence for the user."""
        shares = (
            ("shift", f"{self.shift:.0%}", self.shift),
            ("speed", f"{self.speed:.0%}", self.speed),
            ("room", f"{self.room:g} s", self.room),
            ("noise", f"{self.noise:.0%}", self.noise),
            ("time mask", f"{self.time_mask:.0%}", self.time_mask),
            ("band mask", f"{self.band_mask:.0%}", self.band_mask),
        )
        done = [f"{name} {told}" for name, told, share in shares if share]
        return f"Training recordings are augmented: {', '.join(done) or 'not at all'}."


def changed_samples(
    samples_BL: torch.Tensor,
    settings: SoundAugment,
    rate: int,
    draws: torch.Tensor,
    draw: torch.Generator,
) -> torch.Tensor:
    """Shift, speed, room and noise of float32 [B, L], not changed in place; `rate` in Hz, `draws` [B, DRAWS]
    in [0, 1). Zero is what is shifted in.
    """
    if settings.shift or settings.speed:
        factors = 1 + settings.speed * (2 * draws[:, 0] - 1)
        offsets = settings.shift * (2 * draws[:, 1] - 1) * samples_BL.shape[1]
        samples_BL = replayed(samples_BL, factors, offsets)
    if settings.room:
        own = torch.Generator().manual_seed(int(draws[0, 7] * 2**53))
        shape = len(samples_BL), max(1, round(settings.room * rate))
        reflections = torch.randn(shape, generator=own, dtype=torch.float32)
        seconds = settings.room * draws[:, 7]
        samples_BL = heard_in(room_response(seconds, rate, reflections), samples_BL)
    if settings.noise:
        power = samples_BL.pow(2).mean(1, keepdim=True)
        size = power.sqrt() * (settings.noise * draws[:, 2:3]).to(torch.float32)
        noise = torch.randn(samples_BL.shape, generator=draw, dtype=torch.float32)
        samples_BL = samples_BL + size * noise
    return samples_BL


def room_response(seconds: torch.Tensor, rate: int, reflections: torch.Tensor) -> torch.Tensor:
    """What a room makes of one click: the click, and reflections that fade by 60 dB in `seconds` [B] (RT60):
    white noise under an exponential (Polack 1988). `reflections`: standard normal, [B, N].

    How loud they are: of a room of ROOM_M3 heard from DISTANCE_M, by Sabine's formula, energy that comes from
    the walls is 16π DISTANCE² RT60 / (0.161 ROOM) times that of the click (Kuttruff, Room acoustics). The powers
    of noise of 1 that fades so sum to RT60 · rate / (6 ln 10): RT60 is gone from how large one reflection is.
    """
    ratio = 16 * math.pi * DISTANCE_M**2 / (0.161 * ROOM_M3)
    size = math.sqrt(ratio * 6 * math.log(10) / rate)
    places = torch.arange(1, reflections.shape[1] + 1, dtype=torch.float64) / rate
    fading = 10 ** (-3 * places / seconds.to(torch.float64).clamp(min=1e-9)[:, None])
    tail = size * fading.to(torch.float32) * reflections
    return functional.pad(tail, (1, 0), value=1.0)


def heard_in(responses_BN: torch.Tensor, samples_BL: torch.Tensor) -> torch.Tensor:
    """[B, L] samples convolved with a response each, as loud as they were; what sounds on behind the end is
    cut.
    """
    length = samples_BL.shape[1]
    whole = 1 << (length + responses_BN.shape[1]).bit_length()  # nothing comes around
    spectra = torch.fft.rfft(samples_BL, whole) * torch.fft.rfft(responses_BN, whole)
    found: torch.Tensor = torch.fft.irfft(spectra, whole)[:, :length]
    before, after = (each.pow(2).mean(1, keepdim=True) for each in (samples_BL, found))
    return found * (before / after.clamp(min=1e-12)).sqrt()


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
