"""What a family says of how the answers of its network become texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from sixfold.build.module_family import ModuleFamily
from sixfold.bundle.transcription.characters import counted
from sixfold.recipe.ctc_decoder import WIDEST


class DecodingFamily(ModuleFamily):
    """The base of a family whose network gives scores of characters in time."""

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
