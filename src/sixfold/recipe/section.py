"""The base of every part of a recipe: frozen, keyword-only, unknown keys forbidden."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One mapping of the recipe. Fields carry unit and range in description and constraints; at
    most 12 of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
