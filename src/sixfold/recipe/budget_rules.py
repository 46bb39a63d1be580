"""What the keys of `budget` demand of each other: rules of the list in `recipe.rules`."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.schema import Recipe
from sixfold.recipe.validate import show
from sixfold.recipe.yaml_nodes import Document


def workers_are_elsewhere(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """The run's own process does one stage after the other."""
    workers = recipe.budget.workers
    if recipe.budget.executor == "here" and workers is not None and workers > 1:
        yield RecipeError(
            document.place(("budget", "workers")),
            "1 with executor: here",
            show(workers),
            "Leave workers out, or choose executor: processes or ray.",
        )
