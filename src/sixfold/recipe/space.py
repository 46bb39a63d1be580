"""How a recipe writes what a search may choose: a range in the place of a value, and how long to
search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from sixfold.recipe.section import Section
from sixfold.recipe.yaml_nodes import Path


class Range(Section):
    """All values between two bounds, both included: `C: {low: 1e-3, high: 10, log: true}`.

    For an option that takes whole numbers, whole numbers. A list stays what it is in a grid: a
    choice without an order.
    """

    low: float = Field(description="The smallest value.")
    high: float = Field(description="The largest value, above low.")
    log: bool = Field(
        False, description="Every factor is as likely as another of its size; for values above 0."
    )
    step: float | None = Field(
        None, gt=0, description="Distance of the values, counted from low. Not with log."
    )

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
    """A search in the place of a grid: candidates are proposed one after the other, each by what
    those before scored.
    """

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


def ranges(path: Path, value: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every range in `value`, which stands at `path`, with its own path."""
    if is_range(value):
        yield path, value
        return
    numbered = dict(enumerate(value)) if isinstance(value, list) else {}
    inside: dict[Any, Any] = value if isinstance(value, dict) else numbered
    for key, item in inside.items():
        yield from ranges((*path, key), item)


def unfit(value: dict[str, Any]) -> str:
    """What is wrong with a range as it is written; '' where nothing is."""
    try:
        Range.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        return where + str(problem["msg"]).removeprefix("Value error, ").removeprefix(
            "Input should be "
        )
    return ""
