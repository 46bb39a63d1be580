"""What a recipe asks of a target besides its column: the positive class, and quantiles."""

from __future__ import annotations

from dataclasses import replace

from sixfold.core.errors import RecipeError
from sixfold.data.positive import positive_last
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Recipe


def as_asked(dataset: Dataset, recipe: Recipe) -> Dataset:
    """The dataset with the target that is learned. Raises RecipeError."""
    return with_quantiles(positive_last(dataset, recipe.evaluate.positive), recipe.quantiles)


def with_quantiles(dataset: Dataset, quantiles: tuple[float, ...]) -> Dataset:
    """A dataset whose target's `quantiles` are predicted; () for its values. Raises RecipeError for
    several targets.
    """
    if not quantiles:
        return dataset
    names = dataset.target.names
    if len(names) > 1:
        raise RecipeError(
            "task.regression.quantiles",
            "one target, of which quantiles are predicted",
            f"{len(names)}: {', '.join(names)}",
            "Name one column in data.target; make a run for each.",
        )
    return replace(dataset, target=replace(dataset.target, quantiles=quantiles))
