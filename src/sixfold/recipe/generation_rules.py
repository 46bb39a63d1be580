"""What a recipe says of texts that are learned, and what it cannot say of them."""

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
    if recipe.task_name == "generation" and recipe.data.weight is not None:
        place, found = document.place(("data", "weight")), f"'{recipe.data.weight}'"
        yield RecipeError(place, "no weights of rows for task: generation", found, remedy)
    asked = recipe.train.get("class_weight")
    if recipe.task_name not in (None, "classification") and asked is not None:
        place, found = document.place(("train", "class_weight")), show(asked)
        remedy = (
            "Leave it out; data.weight weighs rows." if recipe.task_name != "generation" else remedy
        )
        yield RecipeError(
            place, f"no weights of classes for task: {recipe.task_name}", found, remedy
        )


def texts_are_filtered_for_generation(recipe: Recipe, document: Document) -> Problems:
    """Other models keep their rows: a column of text is one of several."""
    if recipe.prepare.denoise.texts is not None and recipe.task_name != "generation":
        yield RecipeError(
            document.place(("prepare", "denoise", "texts")),
            "the task generation, for filters of texts",
            str(recipe.task_name or "a task that is inferred"),
            "Leave texts out, or say task: generation.",
        )


def texts_are_not_averaged(recipe: Recipe, document: Document) -> Problems:
    """An ensemble and a bag are means of answers."""
    for key in ("ensemble", "bag"):
        if recipe.task_name == "generation" and getattr(recipe.evaluate, key):
            place, asked = document.place(("evaluate", key)), f"no {key} for task: generation"
            yield RecipeError(place, asked, "one", "Leave it out.")
