"""What methods for recordings have in common: rate, length, noise, silence and loudness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sixfold.parts.sound_store import survey
from sixfold.prepare.sound_block import SoundForm
from sixfold.prepare.step import Role, Takes
from sixfold.recipe.audio import (
    HIGHEST_RATE,
    LONGEST_S,
    LOWEST_RATE,
    MOST_REDUCTION,
    MOST_SAMPLES,
)
from sixfold.recipe.section import Section


class SoundSettings(Section):
    """What every recording becomes."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"audio"})
    role: ClassVar[Role] = "change"

    rate: Literal["auto"] | Annotated[int, Field(ge=LOWEST_RATE, le=HIGHEST_RATE)] = Field(
        "auto", description=f"Samples a second, {LOWEST_RATE:,} to {HIGHEST_RATE:,}, or auto."
    )
    seconds: Literal["auto"] | Annotated[float, Field(gt=0, le=LONGEST_S)] = Field(
        "auto",
        description=f"Length, {LONGEST_S:g} at most, or auto: of what is longer the middle is kept, what is shorter gets silence",
    )
    noise_reduction: float = Field(
        0.0,
        ge=0,
        le=MOST_REDUCTION,
        description="Steady noise, as in a recording's quietest parts, is weaker by so many dB at most, say 12; 0: it stays.",
    )
    trim: float = Field(
        0.0,
        ge=0,
        le=120,
        description="Silence at both ends is cut: what is so many dB below the loudest 10 ms, or more; 0: nothing.",
    )
    level: float | None = Field(
        None,
        ge=-60,
        le=0,
        description="Mean power in dB of full scale that each recording gets, say -25; null: as it is.",
    )

    def form(self, names: Sequence[str]) -> SoundForm:
        """What every recording becomes, of these training recordings."""
        rate, seconds = self.rate, self.seconds
        if rate == "auto" or seconds == "auto":
            chosen_rate, chosen_s, _ = survey(names)
            rate = chosen_rate if rate == "auto" else rate
            seconds = chosen_s if seconds == "auto" else seconds
        samples = min(MOST_SAMPLES, max(1, round(rate * seconds)))
        return SoundForm(rate, samples, self.trim, self.level, self.noise_reduction)
