"""A text as a raw value."""

from __future__ import annotations

from typing import Any, ClassVar

from sixfold.bundle.modality_reader import Cell, Shown, described_input, text_of
from sixfold.bundle.texts import LIMITS, TextEncoder, TokenEncoder, encoder_of
from sixfold.recipe.section import Section
from sixfold.recipe.texts import TextInput


class Settings(Section):
    """A text without spaces around it; '' where it is missing. Half surrogate pairs are let
    through: `TextForm` replaces them.
    """

    missing: ClassVar[str | None] = ""
    in_files: ClassVar[bool] = False
    shown: ClassVar[Shown] = Shown(
        hint="text", example="some text", in_csv="some text", field="area"
    )

    def cell(self, missing: frozenset[str]) -> Cell:
        """From anything that has one writing to its text."""

        def read(value: Any) -> str:
            if value is None:
                return ""
            text = text_of(value, "text")
            return "" if text in missing else text

        return read

    def encoder(self, name: str, described: bytes, where: str) -> TextEncoder | TokenEncoder:
        """By the terms that the fit on training rows wrote down. Raises BundleError."""
        return encoder_of(described_input(TextInput, name, described, LIMITS, where), where)
