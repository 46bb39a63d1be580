"""Which columns of a table of interactions say who, what, and how much."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


class InteractionColumns(Section):
    """Of task: recommendation; when something was done stands in `data.time`."""

    user: str = Field("user", min_length=1, description="The column that says who.")
    item: str = Field("item", min_length=1, description="The column that says what.")
    rating: str | None = Field(
        None,
        min_length=1,
        description="A column of numbers, 0 or more: how much, or how often. Left out: every interaction counts the same.",
    )
    least_rating: float | None = Field(
        None, description="Rows with a lower rating are no interactions, and are left out."
    )
    unusable: Literal["refuse", "skip"] = Field(
        "refuse",
        description="Rows without a user, an item or a time, or with a rating that is missing or below 0: an error, or left out "
        "and counted.",
    )
