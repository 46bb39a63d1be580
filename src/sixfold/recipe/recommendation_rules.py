"""What a recipe of a recommendation says, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.interactions import InteractionColumns
from sixfold.recipe.schema import Recipe
from sixfold.recipe.yaml_nodes import Document, Path

Problems = Iterator[RecipeError]
TASK = "recommendation"
WITHOUT_FEATURES = frozenset({"popularity", "item_knn", "als", "bpr", "sasrec"})


def interactions_are_recommended(recipe: Recipe, document: Document) -> Problems:
    """Other tasks have columns, of which none is a user."""
    for key in ("interactions", "users", "items"):
        if getattr(recipe.data, key) is not None and recipe.task_name != TASK:
            yield RecipeError(
                document.place(("data", key)),
                f"the task recommendation, for {key}",
                str(recipe.task_name or "a task that is inferred"),
                f"Leave {key} out, or say task: recommendation.",
            )


def interactions_are_several_columns(recipe: Recipe, document: Document) -> Problems:
    """User, item, rating and time are different ones; least_rating is of a rating."""
    if recipe.task_name != TASK:
        return
    asked = recipe.data.interactions or InteractionColumns()
    named = {"user": asked.user, "item": asked.item, "rating": asked.rating}
    seen = {recipe.data.time: "data.time"} if recipe.data.time is not None else {}
    for key, name in named.items():
        if name in seen:
            yield RecipeError(
                document.place(("data", "interactions", key)),
                f"a column of its own, as '{name}' is {seen[name]}",
                f"'{name}'",
                "Name another column.",
            )
        elif name is not None:
            seen[name] = f"data.interactions.{key}"
    if asked.least_rating is not None and asked.rating is None:
        yield RecipeError(
            document.place(("data", "interactions", "least_rating")),
            "the column of ratings in data.interactions.rating",
            "none",
            "Name it, or leave least_rating out.",
        )


def interactions_have_no_other_parts(recipe: Recipe, document: Document) -> Problems:
    """Whole users are held out, or none; what else a row of a table may be is no interaction."""
    if recipe.task_name != TASK:
        return
    user = (recipe.data.interactions or InteractionColumns()).user
    if recipe.data.group not in (None, user):
        yield RecipeError(
            document.place(("data", "group")),
            f"the column of users, '{user}', to hold out whole users",
            f"'{recipe.data.group}'",
            f"Write group: {user}, or leave it out.",
        )
    refused: tuple[tuple[Path, object, str], ...] = (
        (("data", "weight"), recipe.data.weight, "Name it in data.interactions.rating."),
        (("data", "test"), recipe.data.test, "Join the files, and use data.holdout."),
        (("evaluate", "ensemble"), recipe.evaluate.ensemble or None, "Leave it out."),
        (("evaluate", "bag"), recipe.evaluate.bag or None, "Leave it out."),
    )
    if recipe.compress is not None:
        for key in ("prune", "fixed_point"):
            value = getattr(recipe.compress, key)
            refused += ((("compress", key), value or None, "Write compress: {quantize: int8}."),)
    for path, value, remedy in refused:
        if value is not None:
            yield RecipeError(
                document.place(path), f"no {path[-1]} for task: {TASK}", "one", remedy
            )


def features_are_read(recipe: Recipe, document: Document) -> Problems:
    """Features of users are nothing but what a family reads; those of items say which items there are, too."""
    families = recipe.families or []
    if recipe.data.users is not None and families and set(families) <= WITHOUT_FEATURES:
        yield RecipeError(
            document.place(("data", "users")),
            "a family that reads features of users, in build",
            ", ".join(families),
            "Add two_tower, or leave users out.",
        )


RULES = (
    features_are_read,
    interactions_are_recommended,
    interactions_are_several_columns,
    interactions_have_no_other_parts,
)
