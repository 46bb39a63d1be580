"""What a modality's reader makes of a raw column for the graph: written by training into the
model's metadata.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from pydantic import Field

from sixfold.recipe.section import Section


class EncodedInput(Section, ABC):
    """One input of the graph, double [rows, cells], that is made of one raw column. `name`: the
    modality, `_`, and a number.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*_\d{1,4}$")
    column: str

    @property
    @abstractmethod
    def cells(self) -> int:
        """Features of a row."""
