"""Augmentation of training images, by numbers from the generator of the step."""

# Letters: B rows of a batch, C channels, H height, W width.
from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from pydantic import Field
from scipy.special import betaincinv
from torch.nn import functional

from sixfold.parts.table import FloatArray
from sixfold.recipe.section import Section

DRAWS: Final = 10  # random numbers for an example of a batch; each change has its own, so that one more moves no other


class Augment(Section):
    """How training images are changed from epoch to epoch. The defaults are safe for anything that
    has a right way up and a left and a right (digits, text): they only shift. A family that does so is one.
    """

    shift: float = Field(
        0.08,
        ge=0,
        le=0.5,
        description="Random shift, at most this share of a side; edges are zeros.",
    )
    flip: bool = Field(
        False,
        description="Mirror half of the images. Not for digits, text, or anything with a side.",
    )
    color: float = Field(
        0.0, ge=0, le=1, description="Brightness and contrast change by at most this share."
    )
    cutout: float = Field(
        0.0, ge=0, lt=1, description="Side of a square that is blanked, as a share of the image's."
    )
    mixup: float = Field(
        0.0, ge=0, le=8, description="Mix two images, weights by Beta(mixup, mixup); 0: not."
    )
    cutmix: float = Field(
        0.0, ge=0, le=8, description="Paste a box of another image, area by Beta; 0: not."
    )

    def describe(self) -> str:
        """What is done, a sentence for the user."""
        shares = {"shift": self.shift, "color": self.color, "cutout": self.cutout}
        done = [f"{name} {share:.0%}" for name, share in shares.items() if share]
        done += ["mirrored"] if self.flip else []
        done += [
            f"{name} {alpha:g}"
            for name, alpha in (("mixup", self.mixup), ("cutmix", self.cutmix))
            if alpha
        ]
        mirrored = (
            ""
            if self.flip
            else " (never mirrored: flip is false, which is safe for digits and text)"
        )
        return f"Training images are augmented: {', '.join(done) or 'not at all'}{mirrored}."


@dataclass(frozen=True)
class AugmentedImages:
    """`images`: float32 [B, C, H, W]. Where two are mixed, row i counts `weight[i]` of its own
    label and the rest of the label of row `partner[i]`: int64 [B] and float32 [B], or None.
    """

    images: torch.Tensor
    partner: torch.Tensor | None = None
    weight: torch.Tensor | None = None


def augment(images: torch.Tensor, settings: Augment, draw: torch.Generator) -> AugmentedImages:
    """`images`: float32 or uint8 [B, C, H, W], as cached; not changed in place. Zero is what is
    shifted in.
    """
    draws = torch.rand((len(images), DRAWS), generator=draw, dtype=torch.float64).numpy()
    if settings.shift:
        images = _shifted(images, settings.shift, draws[:, 0:2])
    if settings.flip:
        mirrored = torch.from_numpy(draws[:, 2] < 0.5)[:, None, None, None]
        images = torch.where(mirrored, images.flip(3), images)
    images = images.to(torch.float32)
    if settings.color:
        images = _recolored(images, settings.color, draws[:, 3:5])
    if settings.cutout:
        images = _cut_out(images, settings.cutout, draws[:, 5:7])
    return _mixed(images, settings, draws[:, 7:10])


def _shifted(images: torch.Tensor, share: float, draws: FloatArray) -> torch.Tensor:
    """Every image cut from itself with a border of zeros, at its own place."""
    rows, channels, height, width = images.shape
    most = max(1, round(share * min(height, width)))
    at = torch.from_numpy((draws * (2 * most + 1)).astype(np.int64))
    padded = functional.pad(images, (most, most, most, most)).contiguous()
    per_row, per_channel, per_line, _ = padded.stride()
    windows = padded.as_strided(
        (rows, 2 * most + 1, 2 * most + 1, channels, height, width),
        (per_row, per_line, 1, per_channel, per_line, 1),
    )
    return windows[torch.arange(rows), at[:, 0], at[:, 1]]


def _recolored(images: torch.Tensor, share: float, draws: FloatArray) -> torch.Tensor:
    """Brightness and contrast by factors in [1 - share, 1 + share], within the range of a byte."""
    factors = torch.from_numpy((1 + share * (2 * draws - 1)).astype(np.float32))[
        :, :, None, None, None
    ]
    brighter = images * factors[:, 0]
    mean = brighter.mean((1, 2, 3), keepdim=True)
    return ((brighter - mean) * factors[:, 1] + mean).clamp(0, 255)


def _cut_out(images: torch.Tensor, share: float, draws: FloatArray) -> torch.Tensor:
    """A square with its center anywhere in the image becomes its mean color (DeVries and Taylor
    2017).
    """
    height, width = images.shape[2:]
    sides = np.full(len(draws), share)
    blanked = _boxes(draws, sides, height, width)
    return torch.where(blanked, images.mean((2, 3), keepdim=True), images)


def _boxes(centers: FloatArray, sides: FloatArray, height: int, width: int) -> torch.Tensor:
    """bool [B, 1, H, W]: inside a box of `sides` [B] (shares) around `centers` [B, 2], cut at the
    edges.
    """
    inside = []
    for axis, length in enumerate((height, width)):
        center, half = np.floor(centers[:, axis] * length), np.rint(sides * length) / 2
        place = np.arange(length)[None, :] + 0.5
        inside.append((place >= (center - half)[:, None]) & (place < (center + half)[:, None]))
    return torch.from_numpy(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _mixed(images: torch.Tensor, settings: Augment, draws: FloatArray) -> AugmentedImages:
    """Each image with the one before it in the batch, which is shuffled. Where both are asked for,
    half of the batches each.
    """
    if not (settings.mixup or settings.cutmix):
        return AugmentedImages(images)
    rows = len(images)
    partner = (torch.arange(rows) - 1) % rows
    pasted = bool(settings.cutmix) and not (settings.mixup and draws[0, 2] < 0.5)
    if not pasted:
        own = torch.from_numpy(
            betaincinv(settings.mixup, settings.mixup, draws[:, 0]).astype(np.float32)
        )
        weight = own[:, None, None, None]
        return AugmentedImages(weight * images + (1 - weight) * images[partner], partner, own)
    area = 1 - betaincinv(
        settings.cutmix, settings.cutmix, draws[:, 0]
    )  # Yun et al. 2019: sides of √(1 - λ)
    inside = _boxes(draws[:, 1:3], np.sqrt(area), images.shape[2], images.shape[3])
    own = 1 - inside.to(torch.float32).mean((1, 2, 3))
    return AugmentedImages(torch.where(inside, images[partner], images), partner, own)
