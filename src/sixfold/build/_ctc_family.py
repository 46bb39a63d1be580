"""What families share whose network learns where characters are by connectionist temporal classification
(Graves and others, ICML 2006): a text is as probable as all of its paths together.
"""

# Shape letters: B recordings, S frames, V symbols.
from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch.nn import functional

from sixfold.build.module_family import ModuleFamily
from sixfold.bundle.transcription import paths
from sixfold.bundle.transcription.characters import counted
from sixfold.parts.fit import Fit
from sixfold.parts.table import IntArray
from sixfold.recipe.ctc_decoder import WIDEST
from sixfold.runs.context import Context
from sixfold.train.module import ModuleFit

PRIOR: Final = 0.7  # by hand: with 0.25 some seeds still begin with a letter, with 1 short trainings end before it


class CtcFamily(ModuleFamily):
    """The base of a family whose network gives scores of characters, or of pieces of words, in time."""

    decode: Literal["greedy", "beam"] = Field(
        "greedy",
        description="The most probable path, or a search for the most probable text, with how probable its characters are.",
    )
    beam: int = Field(16, ge=2, le=WIDEST, description="Of a beam: texts that are kept.")
    order: int = Field(
        4,
        ge=1,
        le=8,
        description="Of a beam: a character's probability is looked at after so many others, less one.",
    )
    language_weight: float = Field(
        0.5,
        ge=0,
        le=10,
        description="Of a beam: what ln of the probability of characters counts beside what is heard; 0: nothing.",
    )
    length_bonus: float = Field(
        0.5,
        ge=-10,
        le=10,
        description="Of a beam: added for each character, as a longer text is less probable.",
    )

    _alphabet: tuple[str, ...] = PrivateAttr(())  # of all training rows, those that are watched too

    @abstractmethod
    def alphabet(self, fit: Fit) -> tuple[str, ...]:
        """What the network writes, in the order of its scores behind the blank."""

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """−ln of the probability of each text, for each of its symbols, [B]; 0 of one that no path has.
        `outputs`: [B, S, V]; `targets`: int64 [B, symbols], from 1, 0 behind a text's end.
        """
        lengths = (targets > 0).sum(dim=1)
        frames = torch.full_like(lengths, outputs.shape[1])
        found = functional.ctc_loss(
            outputs.log_softmax(dim=2).transpose(0, 1),
            targets,
            frames,
            lengths,
            blank=paths.BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return found / lengths.clamp(min=1)

    def work_of(self, fit: Fit, context: Context) -> ModuleFit:
        """With the alphabet of all of the fit's rows, of which some may be cut off to be watched."""
        own = self.model_copy()
        own._alphabet = self.alphabet(fit)
        return super(CtcFamily, own).work_of(fit, context)

    def decoding(self, texts: Sequence[str]) -> dict[str, Any]:
        """What a `CtcDecoder` says of it, by the training texts."""
        if self.decode == "greedy":
            return {}
        return {
            "method": "beam",
            "width": self.beam,
            "ngrams": counted(texts, self.order) if self.language_weight else {},
            "language_weight": self.language_weight,
            "length_bonus": self.length_bonus,
        }


def blank_start(targets: IntArray, frames: int, symbols: int) -> float:
    """By how much the bias of the blank starts over those of the other symbols: `PRIOR` of what makes each
    frame blank with the share of frames that have no symbol (Lin and others, Focal loss, ICCV 2017, section
    3.3, start from such a prior). Without it silence, most of what is heard, can become the symbol that is
    by chance the most probable at the start: repeated, it is one symbol, and its other places in a text are
    lost. `targets`: [rows, symbols], 0 behind a text's end; `symbols`: without the blank.
    """
    spoken = int(np.count_nonzero(targets))
    silent = max(targets.shape[0] * frames - spoken, spoken)
    return PRIOR * math.log(silent * symbols / spoken) if spoken else 0.0


def alphabet_of(codes: IntArray) -> tuple[str, ...]:
    """The characters of texts [rows, characters], in the order of their code points."""
    return tuple(map(chr, np.unique(codes[codes > 0]).tolist()))


def numbered(codes: IntArray, alphabet: tuple[str, ...]) -> IntArray:
    """Code points as places in the alphabet, from 1; 0 stays. One that is not in it is left out of its
    text.
    """
    known = np.array([0, *map(ord, alphabet)], dtype=np.int64)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found = np.where(known[places] == codes, places, 0)
    order = np.argsort(found == 0, axis=1, kind="stable")  # those that are there, in their order
    return np.asarray(np.take_along_axis(found, order, axis=1), dtype=np.int64)
