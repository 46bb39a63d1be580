"""Which texts a language model does not learn from."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sixfold.recipe.section import Section


class TextFilters(Section):
    """For task generation: which training texts are left out, each reason counted. Left out: none."""

    near_duplicates: Literal["keep", "drop"] = Field(
        "keep",
        description="Texts that share nearly all groups of three words with an earlier one (MinHash).",
    )
    least: int = Field(0, ge=0, description="Characters of a text at least.")
    most: int | None = Field(
        None, ge=1, description="Characters of a text at most. Left out: any number."
    )
    symbols: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest share of a text's characters that are neither letters, digits nor space.",
    )
    bad_unicode: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Largest share of characters that stand for broken text: U+FFFD, control characters, halves of "
        "surrogate pairs, private ones.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most is not None and self.most < self.least:
            raise ValueError("most is at least as large as least")
        return self
