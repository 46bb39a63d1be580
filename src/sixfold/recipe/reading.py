"""How a table's file is read: its encoding, and the marks that its numbers are written with."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sixfold.core.encoding import check_codec
from sixfold.core.errors import RecipeError
from sixfold.core.marks import MINUS, NumberFormat
from sixfold.recipe.section import Section


class Marks(Section):
    """How numbers are written in text. Numbers of typed columns and of JSON need no marks, and are
    always read.
    """

    decimal: Literal[".", ","] | None = Field(
        None, description="Between whole and fraction. Left out: a point."
    )
    thousands: Literal["", ",", ".", " ", "'", "_"] | None = Field(
        None,
        description="Between groups of three digits. Left out: none. A space is also a no-break one.",
    )
    strip: tuple[str, ...] | None = Field(
        None,
        description="Texts before or behind a number that are taken off: `15%` becomes 15, `12 kg` 12.",
    )
    accounting: bool | None = Field(
        None, description="(3.2) and 3.2- are negative. Left out: true where another mark is given."
    )

    @field_validator("strip")
    @classmethod
    def _strip(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """A mark that holds a digit or a sign would change numbers, not uncover them. Raises
        RecipeError.
        """
        for mark in value or ():
            points_only = all(letter in ".,'" for letter in mark)
            if (
                points_only
                or mark != mark.strip()
                or any(c.isdecimal() or c in f"+-{MINUS}()" for c in mark)
            ):
                raise RecipeError(
                    "data.read.strip",
                    "marks such as '$', '%' or 'kg', without digits and signs",
                    repr(mark),
                    "Points and commas are for decimal and thousands, parentheses and signs for accounting.",
                )
        return value

    def over(self, other: Marks) -> Marks:
        """These marks, and those of `other` where nothing is said here."""
        own = {
            key: value for key in Marks.model_fields if (value := getattr(self, key)) is not None
        }
        return Marks(**{**{key: getattr(other, key) for key in Marks.model_fields}, **own})

    def format(self) -> NumberFormat | None:
        """What reads such numbers; None where nothing is said. Raises RecipeError for marks that
        contradict each other.
        """
        if all(getattr(self, key) in (None, False) for key in Marks.model_fields):
            return None
        decimal, thousands = self.decimal or ".", self.thousands or ""
        if decimal == thousands:
            other = "," if decimal == "." else "."
            raise RecipeError(
                "data.read",
                "different marks for decimals and thousands",
                f"'{decimal}' for both",
                f"Set decimal: '{other}', or leave out thousands.",
            )
        return NumberFormat(decimal, thousands, self.strip or (), self.accounting is not False)


class ReadFile(Marks):
    """How the file is read: marks of all its numbers, those of single columns, and the encoding of
    its text.
    """

    encoding: str | None = Field(
        None,
        description="Of text files: a codec of Python such as cp1252. Left out: UTF-8, or by a byte order mark.",
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse",
        description="Files of a folder that cannot be read: an error, or left out and counted.",
    )
    columns: dict[str, Marks] = Field(
        default_factory=dict, description="Per column; what is left out here is as for the file."
    )

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str | None) -> str | None:
        if value is not None:
            check_codec(value)
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("", *self.columns):
            self.format_of(name)
        return self

    def format_of(self, name: str) -> NumberFormat | None:
        """The format of a column's numbers; None where they have no marks. Raises RecipeError."""
        return self._of(name).format()

    def marks_of(self, name: str) -> Marks | None:
        """The same as a section, all of it said; None where the numbers have no marks."""
        found = self.format_of(name)
        if found is None:
            return None
        return Marks(
            decimal=self._of(name).decimal or ".",
            thousands=self._of(name).thousands or "",
            strip=found.strip,
            accounting=found.accounting,
        )

    def _of(self, name: str) -> Marks:
        return self.columns[name].over(self) if name in self.columns else self
