"""How a recipe writes what a search may choose: a range in the place of a value, and how long to search."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sixfold.recipe.section import Section


class Range(Section):
    """All values between two bounds, both included: `C: {low: 1e-3, high: 10, log: true}`.

    For an option that takes whole numbers, whole numbers. A list stays what it is in a grid: a choice without an order.
    """

    low: float = Field(description="The smallest value.")
    high: float = Field(description="The largest value, above low.")
    log: bool = Field(False, description="Every factor is as likely as another of its size; for values above 0.")
    step: float | None = Field(None, gt=0, description="Distance of the values, counted from low. Not with log.")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low below high")
        if self.log and self.low <= 0:
            raise ValueError("low above 0, for log")
        if self.log and self.step is not None:
            raise ValueError("log or step, not both")
        return self


class Search(Section):
    """A search in the place of a grid: candidates are proposed one after the other, each by what those before scored."""

    trials: int = Field(ge=1, le=10_000, description="Candidates that are proposed.")
    first_trials: int = Field(
        10, ge=1, description="Candidates proposed at random, before there is something to learn."
    )
    prune: Literal["median", "halving", "none"] = Field(
        "median",
        description="Who gets no more folds: whose mean so far is below the median of those before on as many folds; who is "
        "not in the better half (halving); nobody.",
    )


def is_range(value: Any) -> bool:
    """Whether a value in the recipe is written as a range: a mapping with low and high."""
    return isinstance(value, dict) and {"low", "high"} <= value.keys()


def holds_range(value: Any) -> bool:
    """Whether there is a range anywhere in `value`: only a search can choose from it."""
    if is_range(value):
        return True
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(holds_range(item) for item in inside)
