"""Recordings as statistics of their spectrograms: numbers that every family takes."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sixfold.core.errors import RecipeError
from sixfold.parts.table import Table
from sixfold.prepare.mel_block import MelBlock, MelShape
from sixfold.prepare.sound_settings import SoundSettings


class Settings(SoundSettings):
    """Mean and standard deviation of mel cepstral coefficients (MFCC) over equal parts of a
    recording: some hundred numbers, standardized, for every family. Rate and length are chosen as by
    `samples`.
    """

    bands: int = Field(40, ge=8, le=128, description="Mel bands of the spectrogram.")
    coefficients: int = Field(
        20,
        ge=0,
        le=128,
        description="Of the cepstrum, at most as many as bands; 0: the bands themselves.",
    )
    segments: int = Field(
        3, ge=1, le=32, description="Equal parts of the time, each with statistics of its own."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.coefficients > self.bands:
            raise RecipeError(
                "prepare.features, mel_statistics: coefficients",
                f"at most as many as bands, {self.bands}",
                f"{self.coefficients}",
                "Lower it, or raise bands.",
            )
        return self

    def block(self, name: str, table: Table) -> MelBlock:
        """Fit on the recordings of `table`."""
        form = self.form(table.columns[name].strings())
        shape = MelShape(self.bands, self.coefficients, self.segments)
        return MelBlock.fit(name, table, form, shape)
