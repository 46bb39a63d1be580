"""placeholder"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """x"""

    learning_rate: Literal["auto"] | None = Field(None, description="x")
