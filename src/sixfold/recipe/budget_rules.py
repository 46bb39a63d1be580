"""What the keys of `budget` demand of each other: rules of the list in `recipe.rules`."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Recipe
from sixfold.recipe.validate import facts, show
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


def strategies_need_a_module(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """Stacked networks have no batch to divide, and one fused optimizer."""
    strategy, named = recipe.budget.asked_strategy(), recipe.families
    of_modules = ("micro_batch", "gradient_checkpointing", "offload")
    asked = [key for key in of_modules if getattr(strategy, key)]
    modules = [name for name in named or () if facts(FAMILY.name, name).get("one_module")]
    if asked and named is not None and not modules:
        place, remedy = document.place(("budget", "strategy", asked[0])), "Leave it out."
        yield RecipeError(place, "a family that is one module", ", ".join(named), remedy)
