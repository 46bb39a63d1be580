"""What `data.weight` and `train.class_weight` demand of the task."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.schema import Recipe
from sixfold.recipe.validate import show
from sixfold.recipe.yaml_nodes import Document

Problems = Iterator[RecipeError]


def texts_are_not_weighed(recipe: Recipe, document: Document) -> Problems:
    """A language model learns tokens, of which a text has more or fewer; weights of classes are for
    classes.
    """
    remedy = "Leave it out; to learn some texts more often, repeat them in the source."
    if recipe.task == "generation" and recipe.data.weight is not None:
        place, found = document.place(("data", "weight")), f"'{recipe.data.weight}'"
        yield RecipeError(place, "no weights of rows for task: generation", found, remedy)
    asked = recipe.train.get("class_weight")
    if recipe.task not in (None, "classification") and asked is not None:
        place, found = document.place(("train", "class_weight")), show(asked)
        remedy = "Leave it out; data.weight weighs rows." if recipe.task != "generation" else remedy
        yield RecipeError(place, f"no weights of classes for task: {recipe.task}", found, remedy)
